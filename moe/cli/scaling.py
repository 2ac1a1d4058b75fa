"""`moe scaling`: how many experts for a budget, by the law of published runs."""

from __future__ import annotations

from typing import Annotated

import typer

from .output import Json, show, table


def scaling(
    active: Annotated[
        float, typer.Option(help="Parameters that a token uses, without embeddings.")
    ] = 370e6,
    experts: Annotated[int, typer.Option(help="Experts of a layer; a token uses one.")] = 64,
    router: Annotated[str, typer.Option(help="Whose runs: S-Base, RL-R or Hash.")] = "S-Base",
    gpu: Annotated[str, typer.Option(help="A key from `moe hardware`.")] = "m3-ultra",
    precision: Annotated[str, typer.Option(help="Of the weights: bf16, fp8 or 4-bit.")] = "4-bit",
    batch: Annotated[int, typer.Option(help="Sequences written at once.")] = 1,
    json_output: Json = False,
) -> None:
    """Say what a mixture is worth: loss, memory and speed beside three dense models.

    Example: moe scaling --active 370e6 --experts 64
    """
    from ..scaling.budget import compare

    found = compare(active, experts, router, gpu, precision, batch)
    rows = found.rows()
    title = (
        f"the law of {found.router}; {found.gpu}, {found.precision} weights, batch {found.batch}"
    )
    caption = "beside it, dense models of the same loss, the same memory and the same speed"
    figures = table(rows, right=[*rows[0]][1:], title=title, caption=caption)
    show(found, json_output, figures, *found.words())
