"""The page on the scaling law: constants, errors, the border that moves, and an example."""

from __future__ import annotations

from moe.numbers import count
from moe.scaling.budget import border_words, compare
from moe.scaling.runs import END, MOMENTS, ROUTERS, fitted, laws, origin, runs

from .methods import page_text, table

PAGE = "scaling.md"
ACTIVE, EXPERTS = 370e6, 64

INTRO = """\
A mixture of experts gets better with experts and does not get slower. How much better, and what
memory does it cost? `moe scaling` answers from a law that is fitted to published runs:

```
moe scaling --active 370e6 --experts 64
moe scaling --active 370e6 --experts 64 --router Hash --gpu rtx-4090 --batch 16 --json
```

Beside the mixture stand three dense models: one of the same loss, one that fills the same memory,
one that writes as fast. Loss is by the law; parameters, memory, bytes and speed are those of
[`moe cost`](cost.md).\
"""
LAW = """\
Clark et al. ([arXiv 2202.01169](https://arxiv.org/abs/2202.01169), equation 1) found that one
formula describes all their runs:

```math
\\begin{aligned}
\\log L &= a \\log N + b \\log \\hat E + c \\log N \\log \\hat E + d \\\\
1/\\hat E &= 1 \\Big/ \\Big( E - 1 + \\frac{1}{1/E_s - 1/E_m} \\Big) + 1/E_m
\\end{aligned}
```

*L*: validation loss in nats; *N*: parameters that a token uses, embeddings not counted; *E*: \
experts of a layer, of which a token uses one, in every other block; *Ê*: what they count as; \
*E_s*: what one expert counts as; *E_m*: what no number of experts exceeds; *a, b, c, d*: \
constants of the router; *log*: logarithm of base 10\
"""


def page() -> str:
    """Return the page."""
    said = origin()
    found = compare(ACTIVE, EXPERTS)
    rows = [[*row.values()] for row in found.rows()]
    return page_text(
        "docs/generator/scaling.py and moe/scaling/",
        "# How many experts",
        INTRO,
        "## An example",
        table(["", *(option.name for option in found.options)], rows),
        *found.words()[:-1],
        "## The law",
        LAW,
        f"The constants are fitted here by least squares of log L. Of {len(runs())} published "
        "runs, of 15M to 1.3B parameters and up to 512 experts, a router's law takes those "
        "with one expert per token in every other block, and dense ones as one expert.",
        table(
            [
                "Router",
                "a",
                "b",
                "c",
                "d",
                "E_s",
                "E_m",
                "Runs",
                "Largest error",
                "A size left out",
            ],
            [_constants(router) for router in ROUTERS],
        ),
        "Errors are in nats: the largest distance of a run from its law, and of a run from the law "
        "of all other sizes. With S-Base, two runs of the smallest size with 256 and 512 experts "
        "are left out: their loss flattens early, and would set for all sizes where experts "
        "saturate. A fit by another method gives the same constants.",
        "## Do experts stop helping?",
        "Where log N is -b / c, the formula has no place for experts any more.",
        border_words(ROUTERS[0]),
        table(["Steps", *ROUTERS], [_borders(moment) for moment in MOMENTS]),
        "Each row is the law of the same runs, with the losses that they had after so many steps; "
        "they were planned for the last row, and are on their way in the others. Krajewski et al. "
        "let tokens grow with the model, and find that the gap in efficiency between dense models "
        "and mixtures grows with size and training "
        "([arXiv 2402.07871](https://arxiv.org/abs/2402.07871)).",
        "## The data",
        f"Runs: {said['source']}, commit `{said['commit']}`. Licence: {said['licence']}. "
        f"`{said['command'].partition(',')[0]}` fits again from a folder with their curves; the "
        "losses that ship are rounded to four digits, and tests fit them to the same constants. "
        "[Every router](ablation.md) has what these runs say of the order of routers.",
    )


def _constants(router: str) -> list[str]:
    one = fitted(router)
    law = one.law
    assert one.left_out is not None
    return [
        router, f"{law.a:.4f}", f"{law.b:.4f}", f"{law.c:.4f}", f"{law.d:.4f}", f"{law.start:.2f}",
        f"{law.most:.1f}", str(one.runs), f"{one.worst:.3f}", f"{one.left_out:.3f}",
    ]  # fmt: skip


def _borders(moment: str) -> list[str]:
    borders = [one.law.border for one in laws() if one.moment == moment]
    name = f"all ({END})" if moment == END else f"{int(moment):,}"
    return [name, *(count(border) for border in borders)]
