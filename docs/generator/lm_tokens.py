"""The page on where a language model sends its tokens, made from docs/studies/lm-tokens.jsonl."""

from __future__ import annotations

from docs.generator.studies import Study
from moe.studies.lm_tokens import LOOKS, LMTokensSettings
from moe.sweeps.report import Spread
from moe.traces.myths import SIGNIFICANT

from . import studies
from .collapse import moves, number, percent
from .methods import page_text, table

PAGE, NAME = "where-tokens-go.md", "lm-tokens"
PAGE_LINK = f"[Where do tokens go?]({PAGE})"
EVEN, FREE = "aux", "none"
LITTLE = 0.05  # share of the choice below which context is said to change little
PLACES = ("first", "last")


def page() -> str:
    """Return the page."""
    return page_of(studies.read(NAME))


def page_of(study: Study) -> str:
    """Return what a study says."""
    settings = LMTokensSettings(**study.settings)
    return page_text(
        f"docs/studies/{NAME}.jsonl",
        "# Where do tokens go?",
        "*Experts are specialists: one for code, one for prose.* A router that sees a token alone "
        "cannot know what the text is about; all it can do is to sort tokens. The router of a "
        "[language model](language-model.md) stands behind attention, so it can. Does it?",
        "Guess first: of what decides the choice of expert, how much is the topic?",
        "## What was measured",
        f"{settings.n_layers} layers of {settings.n_experts} experts, k = {settings.k}, "
        f"{settings.steps} steps of {settings.tokens_per_step:,} bytes, {len(study.seeds())} seeds "
        "(mean ± standard deviation), on held-out text of six kinds: prose, code in two languages, "
        "web pages, tables and names. A share is of all there is to know of the choice, its "
        "entropy, less what the same count gives with shuffled labels. *Topic, given the token* "
        "shuffles topics among equal tokens only: what is left is no matter of vocabulary.",
        _table(study),
        _topic_words(study),
        _depth_words(study),
        "## How soon is it settled?",
        "Saturation is the share of a token's experts at the end that it had already (OLMoE, "
        "[arXiv 2409.02060](https://arxiv.org/abs/2409.02060), section 5.1).",
        _saturation_table(study),
        _saturation_words(study),
        "## Without an even load",
        _free_words(study),
        "## Look at it",
        "`moe lm train --layers 4 --out run`, then `moe lm trace run` writes the routing of "
        "held-out text, and `moe analyze` gives these figures for every layer. The app's page "
        "*Does it read better with experts?* colours letters by expert while a model learns.",
        "## What this does not say",
        f"A token is a byte here and the model sees {settings.context} of them, so a topic has to "
        "show in one line. Published models differ among themselves: Mixtral's authors found "
        "hardly any specialisation by topic (arXiv 2401.04088, section 5), OLMoE's a clear one for "
        "arXiv and GitHub (arXiv 2409.02060, section 5.3).",
        "## Again",
        f"`moe sweep docs/studies/{NAME}.toml` does the runs, "
        f'`make pages ARGS="--study {NAME}"` writes this page from them.',
    )


def in_a_line() -> str:
    """What the record says of specialists, for the article."""
    study = studies.read(NAME)
    even, free = (figure_of(study, "topic", "last", balance) for balance in (EVEN, FREE))
    how = {"rises": "more of", "falls": "less of"}.get(moves(even, free), "no more of")
    return (
        "In a language model, whose routers stand behind attention, the topic explains "
        f"{how} the choice where the load is not kept even than where it is ({PAGE_LINK})."
    )


def figure_of(study: Study, figure: str, layer: str, balance: str = EVEN) -> Spread:
    """A figure of one layer, over the seeds."""
    return study.spread(f"{figure}_{layer}", balance=balance)


def _table(study: Study) -> str:
    head = ["Layer", "The token", "The topic", "The topic, given the token"]
    rows = [
        [
            layer,
            *(percent(figure_of(study, name, layer)) for name in ("token", "topic", "beyond")),
        ]
        for layer in PLACES
    ]
    return table(head, rows)


def _beyond_chance(study: Study, layer: str, balance: str = EVEN) -> int:
    """Seeds in which shuffled topics hardly ever explain as much of one and the same token."""
    rows = study.own(balance=balance)
    return sum(row[f"beyond_p_{layer}"] <= SIGNIFICANT for row in rows)


def _topic_words(study: Study) -> str:
    token, topic, beyond = (figure_of(study, n, "last") for n in ("token", "topic", "beyond"))
    more = "mostly sorts tokens" if token.mean > 2 * topic.mean else "sorts by topic too"
    seeds = len(study.seeds())
    verdict = "changes the verdict" if beyond.mean > LITTLE else "changes little"
    return (
        f"**The router {more}.** In the last layer the token "
        f"explains {percent(token)} of the choice and the topic {percent(topic)}; of one and the "
        f"same token the topic still explains {percent(beyond)}, more than chance in "
        f"{_beyond_chance(study, 'last')} of {seeds} seeds. A router without context has none of "
        f"that last share by construction: here context {verdict}."
    )


def _depth_words(study: Study) -> str:
    token, topic = (
        moves(figure_of(study, name, "first"), figure_of(study, name, "last"))
        for name in ("token", "topic")
    )
    return (
        f"From the first layer to the last, what the token explains {token}, and what the topic "
        f"explains {topic}."
    )


def _saturation_table(study: Study) -> str:
    head = ["Layer", *(f"after {share:.0%} of the steps" for share in LOOKS.values()), "chance"]
    rows = [
        [
            layer,
            *(percent(figure_of(study, look, layer)) for look in LOOKS),
            f"{study.spread('chance', balance=EVEN).mean:.1%}",
        ]
        for layer in PLACES
    ]
    return table(head, rows)


def _saturation_words(study: Study) -> str:
    first, last = (figure_of(study, "tenth", layer) for layer in PLACES)
    sooner = {
        "rises": "The last layer is settled sooner than the first",
        "falls": "The first layer is settled sooner than the last",
    }.get(moves(first, last), "First and last layer are settled about as soon")
    return (
        f"{sooner}: after a tenth of the steps {percent(first)} of the first layer's choices are "
        f"those of the end, and {percent(last)} of the last one's."
    )


def _free_words(study: Study) -> str:
    vio, free = (study.spread("worst_max_vio", balance=b) for b in (EVEN, FREE))
    topic, topic_free = (figure_of(study, "topic", "last", b) for b in (EVEN, FREE))
    bits, bits_free = (study.spread("bits_per_byte", balance=b) for b in (EVEN, FREE))
    return (
        f"Without balancing MaxVio is {number(free)} instead of {number(vio)} (worst layer), and "
        f"what the topic explains in the last layer {moves(topic, topic_free)}: "
        f"{percent(topic_free)} against {percent(topic)}. {_published(topic, topic_free)}"
        f"Bits per byte: {number(bits_free, '.3f')} against {number(bits, '.3f')}."
    )


def _published(topic: Spread, topic_free: Spread) -> str:
    if moves(topic, topic_free) != "rises":
        return ""
    return (
        "DeepSeek-V3's authors report the same direction: more specialists by topic where no loss "
        "evens the load of each sequence (arXiv 2412.19437, section 4.5.3). "
    )
