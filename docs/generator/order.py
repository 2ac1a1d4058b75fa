"""The ablation's section on the order of routers: ours beside that of published runs."""

from __future__ import annotations

from collections.abc import Sequence

from moe.lab.ablation import Row, pairs_of
from moe.lab.order import FAMILIES, PUBLISHED, agreement, losses
from moe.lab.study import Study
from moe.routers import ROUTERS

from .collapse import number
from .methods import table

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
