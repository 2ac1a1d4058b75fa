"""The ablation's section on the order of routers: published runs of whole models, and ours beside.

Clark et al., Unified scaling laws for routed language models (arXiv 2202.01169), trained dense
models of 15M to 1.3B parameters and three ways of routing them, 2 to 512 experts, k = 1. Their
losses are public (github.com/google-deepmind/scaling_laws_for_routing, commit 42da0c39, data under
CC-BY 4.0); what stands here is computed from the table of these runs that ships.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from docs.generator.ablation import Row, pairs_of
from docs.generator.studies import Study
from moe.routers import ROUTERS
from moe.scaling.runs import differences, runs

from .collapse import number
from .methods import table


@dataclass(frozen=True)
class Published:
    """How often one family had the lower validation loss, and by how much on average, in nats."""

    better: str
    worse: str
    cells: int
    of: int
    mean: float


@dataclass(frozen=True)
class Family:
    """A published family and its counterpart here.

    Attributes
    ----------
    name, title
        As published, and in words.
    ours
        What tells its runs in the study.
    words
        What stands for it here.
    """

    name: str
    title: str
    ours: Mapping[str, Any]
    words: str


# Best first, as in 36 of the 51 cells (size and number of experts) that have all four.
FAMILIES = (
    Family("S-Base", "Sinkhorn-BASE", {"router": "sinkhorn"}, "`sinkhorn`, the same method"),
    Family(
        "RL-R", "a learned router, by reinforcement", {"router": "switch"},
        "`switch` with `aux`: learned too, but by gradient",
    ),
    Family("Hash", "a table by token", {"router": "hash"}, "`hash`, the same method"),
    Family("Dense", "no routing", {"n_experts": 1}, "one expert for all, of the same active size"),
)  # fmt: skip
PAIRS = (("S-Base", "Hash"), ("RL-R", "Hash"), ("S-Base", "RL-R"), ("Hash", "Dense"))


def _published(better: str, worse: str) -> Published:
    """The comparison in the cells that have all three ways of routing."""
    three = differences(runs(), "Hash", "S-Base").keys() & differences(runs(), "Hash", "RL-R")
    by_cell = differences(runs(), worse, better)
    higher = [by_cell[cell] for cell in sorted(three)]
    cells, mean = sum(one > 0 for one in higher), sum(higher) / len(higher)
    return Published(better, worse, cells, len(higher), mean)


PUBLISHED = tuple(_published(*pair) for pair in PAIRS)


def losses(study: Study, seed: int | None = None) -> list[float]:
    """Held-out loss of each of `FAMILIES`, of one seed or the mean over all."""
    chosen = {} if seed is None else {"seed": seed}
    return [study.spread("held_out_loss", **family.ours, **chosen).mean for family in FAMILIES]


def agreement(values: Sequence[float]) -> float:
    """Kendall's tau of values with the order in which they are listed: 1 if they rise, -1 if not.

    Raises
    ------
    ValueError
        If there are fewer than two.
    """
    if len(values) < 2:
        raise ValueError(f"values: got {len(values)}, allowed are two or more")
    signs = [(b > a) - (b < a) for a, b in combinations(values, 2)]
    return sum(signs) / len(signs)


HASH = "hash"
MORE_WORK = 1.5  # times the operations of hash, up to which a router counts as doing equal work


def section(rows: Sequence[Row], study: Study) -> list[str]:
    """Return the section's parts.

    Parameters
    ----------
    rows
        Of the ablation.
    study
        The same families on a planted language.
    """
    settings = study.settings
    mean = losses(study)
    taus = [agreement(losses(study, seed)) for seed in study.seeds()]
    return [
        "## What published runs found",
        _here_words(rows),
        "In published language models it is the other way round (Clark et al., "
        "[arXiv 2202.01169](https://arxiv.org/abs/2202.01169); losses computed from "
        "[their data](https://github.com/google-deepmind/scaling_laws_for_routing), CC-BY 4.0, "
        "DeepMind): 15M to 1.3B parameters, 2 to 512 experts, one expert per token.",
        table(
            ["Lower validation loss", "than", "in so many cells of size and experts", "on average"],
            [
                [row.better, row.worse, f"{row.cells} of {row.of}", f"{row.mean:.3f} nats"]
                for row in PUBLISHED
            ],
        ),
        "So the table above is no ranking of methods. In its task the current character, by which "
        "`hash` routes, tells nearly all about the next; in language much is decided by what "
        "stands before. In the task `dialects`, a planted language, the same token asks for "
        "different experts in different dialects (`moe train --task dialects`). There, after "
        f"{settings['steps']} steps with experts of width {settings['d_expert']}, mean ± standard "
        f"deviation over {len(study.seeds())} seeds:",
        table(
            ["Published, best first", "Here", "Held-out loss", "MaxVio"],
            [
                [
                    f"{family.name}: {family.title}",
                    family.words,
                    number(study.spread("held_out_loss", **family.ours)),
                    number(study.spread("max_vio", **family.ours)),
                ]
                for family in FAMILIES
            ],
        ),
        f"Kendall's tau with the published order is {agreement(mean):.2f} for the means, and "
        f"{min(taus):.2f} to {max(taus):.2f} for single seeds (1: the same order, -1: the "
        f"reverse). {_swapped_words(mean)} A table can fill no more experts than there are "
        "particles to route by, as in text, where a few tokens are most of the tokens; that is a "
        "part of its loss here. The task was made to show this, so it shows that the order depends "
        "on what the current token tells, and not how often that is so.",
    ]


def _here_words(rows: Sequence[Row]) -> str:
    best = {pair.best.router: pair.best for pair in pairs_of(list(rows))}
    limit = MORE_WORK * best[HASH].full.flops_per_token
    learned = [
        row
        for name, row in best.items()
        if ROUTERS[name].projections and row.full.flops_per_token <= limit
    ]
    behind = [r for r in learned if r.full.held_out_loss > best[HASH].full.held_out_loss]
    return (
        f"In this table `{HASH}`, which learns nothing, is ahead of {len(behind)} of the "
        f"{len(learned)} learned routers that do at most {MORE_WORK:g} times its work."
    )


def _swapped_words(mean: Sequence[float]) -> str:
    swapped = [
        f"{better.name} and {worse.name}"
        for i, better in enumerate(FAMILIES)
        for j, worse in enumerate(FAMILIES)
        if i < j and mean[j] < mean[i]
    ]
    if not swapped:
        return "No pair of means is swapped."
    return f"Swapped: {', '.join(swapped)}."
