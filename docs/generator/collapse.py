"""The page on why experts collapse, made from docs/studies/collapse.jsonl and nothing else."""

from __future__ import annotations

from docs.generator.studies import Study, distinct
from moe.studies.collapse import INTERVENTIONS, NONE
from moe.sweeps.report import Spread

from . import studies
from .methods import page_text, table

PAGE, NAME, LANGUAGE = "why-collapse.md", "collapse", "lm-collapse"
RATE = 0.01  # of the main table
EXPERTS, GATE, EMBEDDING = "experts", "gate", "embedding"
CENTRE, FREQUENCIES, SGD = "centre", "frequencies", "sgd"


def page() -> str:
    """Return the page."""
    return page_of(studies.read(NAME))


def page_of(study: Study) -> str:
    """Return what a study says."""
    settings = study.settings
    n_experts, k = settings["n_experts"], settings["k"]
    seeds = study.seeds()
    return page_text(
        f"docs/studies/{NAME}.jsonl",
        "# Why experts collapse",
        "The usual explanation: *an expert that is chosen early is trained more, gets better, and "
        "is chosen again.* It is old (arXiv 1701.06538, section 4) and one can test it: freeze the "
        "experts, so that none gets better, and see whether the collapse goes away.",
        "Guess first. Then read on.",
        "## The test",
        _experts_words(study),
        "## What does it here",
        _common_words(study),
        _frequencies_words(study),
        _gate_words(study),
        "## What was measured",
        f"The default run ({n_experts} experts, k = {k}, {settings['steps']} steps of "
        f"{settings['batch']} tokens, learning rate {RATE:g}, no balancing) with one thing "
        f"changed, or two; mean ± standard deviation over {len(seeds)} seeds. *Busiest* is the "
        f"busiest expert's share of all choices: {1 / n_experts:.1%} would be fair, {1 / k:.0%} is "
        "the most there can be. *Common part* is the share of the tokens' squared length that is "
        "their mean's: 0 if they point everywhere, 1 if all are the same vector.",
        _main_table(study),
        _other_words(study),
        "## At other learning rates",
        _rates_words(study),
        _rates_table(study),
        "## In a language model",
        *_language_model(studies.read(LANGUAGE)),
        "## What this does not say",
        "Two tiny models. The first has one layer, tokens that are sums of embeddings, no "
        "normalisation before the gate, no bias at the output, Adam, hundreds of steps, one text. "
        "And these are experiments, not methods: the mean is that of the batch, later tokens "
        "included. A large model has other places for the frequencies, and other reasons for a "
        "common direction; whether its gates collapse for the same reason is open, and the same "
        "runs can be made on any model that is a `Subject` of `moe.studies.collapse`. What the "
        "experts learn may also matter more there. One half of the saying holds in every such "
        "layer: an expert that no token chooses gets no gradient.",
        "## Again",
        f"`moe sweep docs/studies/{NAME}.toml` does the runs, "
        f'`make pages ARGS="--study {NAME}"` writes this page from them. One of them by hand: '
        "`moe train --freeze experts`.",
    )


def cell(
    study: Study, figure: str, freeze: str = NONE, change: str = NONE, rate: float = RATE
) -> Spread:
    """Mean and deviation over the seeds of one case."""
    return study.spread(figure, freeze=freeze, intervention=change, learning_rate=rate)


def percent(spread: Spread) -> str:
    """Return a share with its deviation: 32.9 ± 5.5 %."""
    return f"{100 * spread.mean:.1f}\u00a0±\u00a0{100 * spread.deviation:.1f}\u00a0%"


def number(spread: Spread, spec: str = ".2f") -> str:
    """Return a number with its deviation: 4.28 ± 0.89."""
    return f"{spread.mean:{spec}}\u00a0±\u00a0{spread.deviation:{spec}}"


SAME = "stays within the spread"


def moves(before: Spread, after: Spread) -> str:
    """How a figure changes, in a word: a change within both deviations is none."""
    if abs(after.mean - before.mean) <= before.deviation + after.deviation:
        return SAME
    return "rises" if after.mean > before.mean else "falls"


def _experts_words(study: Study) -> str:
    plain, frozen = cell(study, "hottest_share"), cell(study, "hottest_share", EXPERTS)
    said = {
        "rises": "The collapse does not go away; it gets worse. So the gate alone is enough here, "
        "and what the experts learn works against it.",
        "falls": "The collapse gets weaker, so the experts' learning is part of it.",
    }.get(moves(plain, frozen), "The collapse stays, so it does not need the experts' learning.")
    worse = sum(
        b["hottest_share"] > a["hottest_share"]
        for a, b in zip(
            study.own(freeze=NONE, intervention=NONE, learning_rate=RATE),
            study.own(freeze=EXPERTS, intervention=NONE, learning_rate=RATE),
            strict=True,
        )
    )
    return (
        f"With everything trained the busiest expert ends with {percent(plain)} of all choices. "
        f"With the experts' weights frozen it has {percent(frozen)}, more in {worse} of "
        f"{len(study.seeds())} seeds. {said}"
    )


def _common_words(study: Study) -> str:
    first, early = cell(study, "common_input_first"), cell(study, "common_input_early")
    logits = cell(study, "common_logits_early")
    plain, centred = (cell(study, "max_vio", change=c) for c in (NONE, CENTRE))
    both = cell(study, "max_vio", EXPERTS, CENTRE)
    return (
        "**All tokens come to share a direction, and to the gate that is a bonus for the same few "
        f"experts.** At first the common part of the tokens' vectors is {percent(first)}; after "
        f"20 steps it is {percent(early)}, and {percent(logits)} of what tells the experts apart "
        "in the logits is the same for every token. Take the mean token away, at the gate only, "
        f"and MaxVio {moves(plain, centred)} from {number(plain)} to {number(centred)}; with "
        f"frozen experts, where the common part grows to "
        f"{percent(cell(study, 'common_input_early', EXPERTS))}, it is then {number(both)} instead "
        f"of {number(cell(study, 'max_vio', EXPERTS))}."
    )


def _frequencies_words(study: Study) -> str:
    plain, known = (cell(study, "max_vio", change=c) for c in (NONE, FREQUENCIES))
    early = cell(study, "common_input_early", change=FREQUENCIES)
    says = cell(study, "says_frequency")
    frozen = cell(study, "max_vio", EMBEDDING)
    return (
        "**The direction is how the model says which characters are frequent.** It has no bias at "
        "its output, so the first thing that it learns, that spaces and e are common, has to be a "
        "vector that all tokens carry: what the mean token alone says at the output after 20 steps "
        f"has a correlation of {number(says)} with the logarithm of the frequencies. Give that "
        "logarithm to the output, fixed, "
        f"and the common part stays at {percent(early)}; MaxVio {moves(plain, known)} from "
        f"{number(plain)} to {number(known)}. Or freeze the embedding, so that no such vector can "
        f"grow: {number(frozen)}. What is left in both is near what a fresh gate has: its "
        f"busiest expert has {percent(cell(study, 'first_share'))} in the first step."
    )


def _gate_words(study: Study) -> str:
    plain, fixed = cell(study, "hottest_share"), cell(study, "hottest_share", GATE)
    return (
        f"**The gate's learning enlarges it.** With the gate frozen the busiest expert's share "
        f"{moves(plain, fixed)} to {percent(fixed)}, though the common part of its input is "
        f"{percent(cell(study, 'common_input_early', GATE))} after 20 steps; of the logits, "
        f"{percent(cell(study, 'common_logits_early', GATE))} is then the same for every token."
    )


def _other_words(study: Study) -> str:
    plain = cell(study, "max_vio")
    sgd, moved = cell(study, "max_vio", change=SGD), cell(study, "gate_moved", change=SGD)
    small, large, slow = (cell(study, "max_vio", change=c) for c in ("small", "large", "slow"))
    return (
        "**Adam is not the reason.** With plain gradient descent for the gate, which then moves by "
        f"{number(moved)} of its first length (with Adam {number(cell(study, 'gate_moved'))}), "
        f"MaxVio is {number(sgd)} against {number(plain)}. **How far the gate moves, measured by "
        f"its first weights, matters**: MaxVio is {number(small)} with first weights a tenth as "
        f"large, {number(large)} with weights ten times as large, and {number(slow)} with a tenth "
        "of the learning rate at the gate."
    )


def _rates_words(study: Study) -> str:
    rates = [rate for (rate,) in distinct(study.rows, "learning_rate")]
    holds = [
        rate
        for rate in rates
        if cell(study, "max_vio", EXPERTS, rate=rate).mean > cell(study, "max_vio", rate=rate).mean
        and all(
            cell(study, "max_vio", change=c, rate=rate).mean
            < cell(study, "max_vio", rate=rate).mean / 2
            for c in (CENTRE, FREQUENCIES)
        )
    ]
    return (
        "That frozen experts collapse further, and that each of the two changes at least halves "
        f"MaxVio, holds at {len(holds)} of {len(rates)} rates. MaxVio:"
    )


def _language_model(study: Study) -> list[str]:
    """The same question where the router sees a context: words, and a table of all cases."""
    settings = study.settings

    def figures(name: str, freeze: str = NONE, change: str = NONE) -> Spread:
        return study.spread(name, freeze=freeze, intervention=change)

    def each(name: str, freeze: str = NONE, change: str = NONE) -> list[float]:
        return [float(row[name]) for row in study.own(freeze=freeze, intervention=change)]

    def more(freeze: str, change: str) -> int:
        pairs = zip(each("max_vio", freeze, change), each("max_vio"), strict=True)
        return sum(after > before for after, before in pairs)

    seeds, plain = len(study.seeds()), figures("max_vio")
    frozen, still = figures("max_vio", EXPERTS), figures("max_vio", GATE)
    centred = figures("max_vio", change=CENTRE)
    words = {"rises": "further", "falls": "less far"}
    how = words.get(moves(plain, frozen), "as far, within the spread")
    rows = [
        [
            title(*case),
            percent(figures("hottest_share", *case)),
            number(figures("max_vio", *case)),
            percent(figures("common_input_early", *case)),
            percent(figures("common_input_end", *case)),
            number(figures("held_out_loss", *case)),
        ]
        for case in distinct(study.rows, "freeze", "intervention")
    ]
    head = ["What was changed", "Busiest", "MaxVio", "Common part, step 20", "at the end"]
    return [
        f"A transformer of {settings['n_layers']} layers ({settings['n_experts']} experts, k = "
        f"{settings['k']}, {settings['steps']} steps of {settings['batch'] * settings['context']} "
        "tokens, no balancing) has attention before each router and a norm in front of it. With "
        f"its experts frozen it collapses {how}: MaxVio is {number(frozen)} against "
        f"{number(plain)}, higher in {more(EXPERTS, NONE)} of {seeds} seeds. With its gates frozen "
        f"it is {number(still)}, higher in {more(GATE, NONE)} of {seeds}. Take the mean token "
        f"away at every gate, and it is {number(centred)}, higher in {more(NONE, CENTRE)} of "
        f"{seeds}. After 20 steps {percent(figures('common_input_early'))} of what the gates see "
        "is the same for all tokens, and what the mean says at the output has a correlation of "
        f"{number(figures('says_frequency'))} with the logarithm of the frequencies.",
        table([*head, "Held-out loss"], rows),
        f"Mean ± standard deviation over {seeds} seeds, and over the layers. "
        f"`moe sweep docs/studies/{LANGUAGE}.toml` does these runs.",
    ]


def title(freeze: str, change: str) -> str:
    """Name of a case in the table."""
    said = [f"{freeze} frozen"] if freeze != NONE else []
    said += [INTERVENTIONS[change].title] if change != NONE else []
    return "; ".join(said) or "nothing changed"


def _main_table(study: Study) -> str:
    cases = distinct(study.own(learning_rate=RATE), "freeze", "intervention")
    rows = [
        [
            title(*case),
            percent(cell(study, "hottest_share", *case)),
            number(cell(study, "max_vio", *case)),
            percent(cell(study, "common_input_early", *case)),
            percent(cell(study, "common_input_end", *case)),
            number(cell(study, "held_out_loss", *case)),
        ]
        for case in cases
    ]
    head = ["What was changed", "Busiest", "MaxVio", "Common part, step 20", "at the end"]
    return table([*head, "Held-out loss"], rows)


def _rates_table(study: Study) -> str:
    rates = sorted(rate for (rate,) in distinct(study.rows, "learning_rate"))
    wanted = [
        (freeze, change)
        for freeze, change in distinct(study.rows, "freeze", "intervention")
        if all(study.own(freeze=freeze, intervention=change, learning_rate=r) for r in rates)
    ]
    rows = [
        [
            title(freeze, change),
            *(number(cell(study, "max_vio", freeze, change, rate)) for rate in rates),
        ]
        for freeze, change in wanted
    ]
    return table(["What was changed", *(f"rate {rate:g}" for rate in rates)], rows)
