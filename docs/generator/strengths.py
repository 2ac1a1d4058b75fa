"""The page on how strong balancers must be, made from two studies in docs/studies/."""

from __future__ import annotations

from collections.abc import Sequence

from docs.generator.ablation import Row, read
from docs.generator.studies import Study, distinct
from moe.balance import BALANCERS
from moe.pictures.figure import Figure
from moe.studies.interference import ENDS, EVERY
from moe.training.runs import LAST

from . import studies
from .collapse import number
from .methods import link, page_text, table
from .strength_chart import EVEN, Point, chosen, evenness_and_loss, lengths, points

PAGE, PICTURE = "strengths.md", "img/strengths.svg"
STRENGTHS, ANGLES = "strengths", "interference"
ONE_ROUTER = "topk"
UNEVEN = 1.0  # MaxVio from which a router counts as not mended
WORST = 1.07  # times the lowest loss: what is worse stands in the table only
NEAR = 0.1  # a cosine this small is about a right angle: 84 degrees


def figure() -> Figure:
    """Loss against evenness at the end of the longest runs, of the balancers on one router."""
    study = studies.read(STRENGTHS)
    shown, found = _in_picture(study)[0], chosen(study)
    return evenness_and_loss(shown, [p for p in shown if p.rate == found[p.balance]])


def _in_picture(study: Study) -> tuple[list[Point], list[Point]]:
    """Points of the picture, and those so much worse that they would squeeze the others."""
    longest = lengths(study)[-1]
    own = [p for p in points(study) if p.router == ONE_ROUTER and p.steps == longest]
    limit = WORST * min(p.held_out_loss.mean for p in own)
    return (
        [p for p in own if p.held_out_loss.mean <= limit],
        [p for p in own if p.held_out_loss.mean > limit],
    )


def page(alt: str) -> str:
    """Return the page; `alt` says the picture in words."""
    rows = read(studies.FOLDER.parent / "ablation.jsonl")[1]
    return page_of(studies.read(STRENGTHS), studies.read(ANGLES), rows, alt)


def page_of(study: Study, angles: Study, ablation: Sequence[Row], alt: str) -> str:
    """Return what both studies say, and what the ablation says of other routers."""
    settings, steps = study.settings, lengths(study)
    return page_text(
        f"docs/studies/{STRENGTHS}.jsonl and {ANGLES}.jsonl",
        "# How strong a balancer must be",
        "A balancer has a strength, and strengths of different balancers have different units: "
        "comparing two of them at their published values compares the values. So each gets its "
        "strength by one rule here: **the weakest of the grid at which the mean MaxVio of the last "
        f"{LAST} steps is at most {EVEN:g}, in runs of {' and of '.join(map(str, steps))} steps**, "
        f"over {len(study.seeds())} seeds of the default run ({settings['n_experts']} experts). "
        "Random choices would come to half of that. These are the strengths that the app, `moe "
        "train` and the [ablation](ablation.md) take if none is given. Balancers that aim at "
        "something else, such as devices or few experts, keep the strength that shows it.",
        "## Loss against evenness",
        f"![{alt}]({PICTURE})",
        f"Balancers on the router {link('methods/routers', ONE_ROUTER, up='')} after {steps[-1]} "
        "steps, each strength a point, joined from weak to strong; the rings are the chosen ones.",
        *_left_out_words(study),
        *_pair_words(study),
        _chosen_table(study),
        *_elsewhere_words(study, ablation),
        "## All strengths",
        f"MaxVio after {' and '.join(map(str, steps))} steps, and held-out loss after "
        f"{steps[-1]}; mean ± standard deviation over the seeds.",
        _all_table(study),
        "## Does the loss pull against the task?",
        "That is the reason given for balancing by a bias: a loss adds its own gradient to the "
        f"task's. Here both gradients are taken apart every {EVERY} steps. A cosine of 0 means "
        "that neither minds the other, a negative one that they pull against each other; *length* "
        "is the balance loss's gradient in lengths of the task's.",
        _angle_words(angles),
        _angle_table(angles),
        "A bias has no gradient, so there is nothing to measure. What it does instead is to send "
        "tokens elsewhere than the scores say; and its step does not shrink as the load gets even.",
        "One tiny model, and hundreds of steps where the papers took a million: how much of this "
        "holds in a large one is open.",
        "## Again",
        f"`moe sweep docs/studies/{STRENGTHS}.toml` and `moe sweep docs/studies/{ANGLES}.toml` do "
        f'the runs, `make pages ARGS="--study {STRENGTHS} --study {ANGLES}"` writes this page.',
    )


def _left_out_words(study: Study) -> list[str]:
    left = _in_picture(study)[1]
    said = ", ".join(f"{p.balance} at {p.rate:g} (loss {p.held_out_loss.mean:.2f})" for p in left)
    return [f"Too strong, and far above the picture: {said}."] if left else []


def _pair_words(study: Study) -> list[str]:
    found = {name: _ends(study, name, rate) for name, rate in chosen(study).items()}
    if not found.get("aux") or not found.get("bias"):
        return []
    aux, bias = found["aux"][-1], found["bias"][-1]
    gap = aux.held_out_loss.mean - bias.held_out_loss.mean
    noise = aux.held_out_loss.deviation + bias.held_out_loss.deviation
    verdict = (
        "the difference is within the spread of the seeds"
        if abs(gap) <= noise
        else f"{'the bias' if gap > 0 else 'the loss'} predicts better by {abs(gap):.3f}"
    )
    return [
        f"At equal evenness the auxiliary loss ({aux.rate:g}, MaxVio {number(aux.max_vio)}) has a "
        f"held-out loss of {_loss(aux)}, the bias ({bias.rate:g}, MaxVio {number(bias.max_vio)}) "
        f"of {_loss(bias)}: {verdict}."
    ]


def _ends(study: Study, balance: str, rate: float | None) -> list[Point]:
    """A balancer's points at one strength, the shortest runs first; none for no strength."""
    return [p for p in points(study) if p.balance == balance and p.rate == rate]


def _loss(point: Point) -> str:
    return number(point.held_out_loss, ".3f")


def _chosen_table(study: Study) -> str:
    rows = []
    for name, rate in chosen(study).items():
        kind = BALANCERS[name]
        published = getattr(kind(), kind.rate_name)
        taken = "none" if rate is None else f"{rate:g}"
        ends = _ends(study, name, rate)
        found = [*(number(p.max_vio) for p in ends), *(_loss(p) for p in ends[-1:])]
        rows.append(
            [
                link("methods/balancers", name, up=""),
                f"`{kind.rate_name}`",
                f"{published:g}",
                taken,
                *(found or ["–"] * (len(lengths(study)) + 1)),
            ]
        )
    head = ["Balancer", "Its strength", "Default", "By the rule"]
    return table([*head, *_end_titles(study)], rows)


def _elsewhere_words(study: Study, ablation: Sequence[Row]) -> list[str]:
    """Routers on which a chosen strength is too weak, since their scores have another scale."""
    weak = {
        name: [
            f"`{row.router}` ({row.full.max_vio:.2f})"
            for row in ablation
            if row.balance == name and row.full.max_vio > UNEVEN
        ]
        for name, rate in chosen(study).items()
        if rate is not None
    }
    said = [f"`{name}` on {', '.join(found)}" for name, found in weak.items() if found]
    if not said:
        return []
    return [
        "A strength also depends on the scale of a router's scores. On other routers, in the "
        f"[ablation](ablation.md), the same strengths leave MaxVio above {UNEVEN:g} with "
        f"{'; '.join(said)}."
    ]


def _all_table(study: Study) -> str:
    cases = dict.fromkeys((p.balance, p.router, p.rate) for p in points(study))
    rows = []
    for balance, router, rate in cases:
        ends = _ends(study, balance, rate)
        found = [*(number(p.max_vio) for p in ends), _loss(ends[-1])]
        rows.append([balance, router, f"{rate:g}", *found])
    return table(["Balancer", "Router", "Strength", *_end_titles(study)], rows)


def _end_titles(study: Study) -> list[str]:
    return [*(f"MaxVio, {steps} steps" for steps in lengths(study)), "Held-out loss"]


def _angle_words(angles: Study) -> str:
    rates = sorted(rate for (rate,) in distinct(angles.rows, "balance_rate"))
    cosines = {rate: angles.spread("gate_cosine", balance_rate=rate) for rate in rates}
    against = [rate for rate, spread in cosines.items() if spread.mean < -spread.deviation]
    ratios = {rate: angles.spread("gate_ratio", balance_rate=rate) for rate in rates}
    even = [rate for rate in rates if angles.spread("max_vio", balance_rate=rate).mean <= EVEN]
    text = (
        f"At the gate the mean cosine is negative, beyond the spread of the seeds, at "
        f"{len(against)} of {len(rates)} coefficients"
    )
    if not even:
        return f"{text}."
    rate = even[0]
    cosine = cosines[rate].mean
    verdict = (
        "So there they pull neither against each other nor together"
        if abs(cosine) < NEAR
        else "So there they pull against each other"
        if cosine < 0
        else "So there they pull together"
    )
    return (
        f"{text}. At {rate:g}, the weakest of these at which MaxVio is at most {EVEN:g} in the "
        f"end, it is {number(cosines[rate])}: "
        f"{100 * angles.spread('gate_opposed', balance_rate=rate).mean:.0f}\u00a0% of the looks "
        "find both opposed, and the balance loss's gradient at the gate is "
        f"{number(ratios[rate])} times as long as the task's. {verdict}. At the embedding, which "
        "the balance loss reaches through the gate, the cosine is "
        f"{number(angles.spread('embedding_cosine', balance_rate=rate))} and the length "
        f"{number(angles.spread('embedding_ratio', balance_rate=rate))}."
    )


def _angle_table(angles: Study) -> str:
    figures = (
        "gate_cosine", "gate_cosine_early", "gate_cosine_late", "gate_opposed", "gate_ratio",
        "embedding_cosine", "embedding_ratio", "max_vio",
    )  # fmt: skip
    rows = [
        [f"{rate:g}", *(number(angles.spread(name, balance_rate=rate)) for name in figures)]
        for (rate,) in distinct(angles.rows, "balance_rate")
    ]
    head = [
        "Coefficient of `aux`", "Cosine at the gate", f"first {ENDS} looks", f"last {ENDS} looks",
        "Share opposed", "Length at the gate",
        "Cosine at the embedding", "Length at the embedding", "MaxVio",
    ]  # fmt: skip
    return table(head, rows)
