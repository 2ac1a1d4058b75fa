"""`moe place`: which experts get a second copy, and on which GPU each lives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import shown
from .output import Json, show, table

if TYPE_CHECKING:
    from ..cluster.rebalancing import BreakEven

BATCH, MOST_DIGITS = 512, 9


def place(
    file: Annotated[
        Path,
        typer.Argument(
            help="A trace, or loads as .csv, .json or .npy: a row per layer, a number per expert."
        ),
    ],
    gpus: Annotated[int, typer.Option(help="GPUs in all nodes together.", min=1)] = 8,
    replicas: Annotated[
        int,
        typer.Option(help="Copies of experts in all; 0: one each, and what fills the GPUs.", min=0),
    ] = 0,
    groups: Annotated[int, typer.Option(help="Groups of experts.", min=1)] = 1,
    nodes: Annotated[
        int, typer.Option(help="Nodes; where they divide the groups, groups stay whole.", min=1)
    ] = 1,
    search: Annotated[
        bool, typer.Option("--search", help="Improve the published placement by local search.")
    ] = False,
    restarts: Annotated[
        int | None,
        typer.Option(help="Random starts of --search, 20 by default; the best is kept.", min=0),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the random starts of --search.", min=0)
    ] = None,
    measure_on: Annotated[
        list[Path] | None,
        typer.Option(
            help="Place for each task of the file instead, for all and not at all, and measure on "
            "each task of this trace or table; may be given more than once."
        ),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(
            help="With --measure-on of a trace: place anew every so many batches; numbers with "
            "commas between, beside never and least loaded."
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Tokens of a batch of --every, 512 by default.", min=1)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="With --measure-on: whose experts move, a name from moe models; says from how "
            "many tokens on moving pays."
        ),
    ] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Write the placement to this JSON file.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Place experts on GPUs by their loads, as DeepSeek's EPLB does.

    Example: moe place trace.npz --gpus 8 --replicas 72 --groups 8 --nodes 2 --search
    Example: moe place old.npz --replicas 72 --measure-on new.npz --model deepseek-v2-lite
    """  # fmt: skip
    from ..cluster.eplb_report import RESTARTS, place_experts

    for name, given, partner, there in (
        ("model", model, "measure-on", measure_on),
        ("every", every, "model", model),
        ("batch", batch, "every", every),
        ("restarts", restarts, "search", search),
        ("seed", seed, "search", search),
    ):
        if given is not None and not there:
            raise ValueError(f"{name}: got it without --{partner}, allowed is both")
    if measure_on:
        for name, other in (("search", search), ("out", out_file)):
            if other:
                raise ValueError(f"{name}: got it with --measure-on, allowed is one of both")
        sizes = replicas, groups, nodes, gpus
        _measured(file, measure_on, sizes, every, batch or BATCH, model, json_output)
        return
    starts = RESTARTS if restarts is None else restarts
    placement = place_experts(file, replicas, groups, nodes, gpus, search, starts, seed or 0)
    if out_file is not None:
        placement.save(out_file)
    rows = placement.rows()
    loads = table(
        rows,
        number=".3f",
        right=rows[0],
        title=f"load of the fullest GPU, mean = 1 ({placement.policy} policy)",
        caption="twice: experts with more than one copy on a GPU",
    )
    show(placement, json_output, loads, *placement.notes)


def _measured(
    file: Path,
    measure_on: list[Path],
    sizes: tuple[int, int, int, int],
    every: str | None,
    batch: int,
    model: str | None,
    json_output: bool,
) -> None:
    """Show the matrix of placements, and what placing anew costs if that was asked for."""
    from ..cluster.eplb_report import ignored_sizes
    from ..cluster.placed_for import HEAD, joined, matrix_of, read_task_loads
    from ..cluster.rebalancing import ASSUMPTIONS, Moving, break_evens, trace_streams

    carried = joined([read_task_loads(path) for path in measure_on])
    matrix = matrix_of(read_task_loads(file), carried, *sizes)
    rows = matrix.rows()
    title = "load of the fullest GPU, mean = 1: a row's placement, measured on each column"
    notes = ignored_sizes(*sizes[1:3])
    parts: list[Any] = [table(rows, number=".3f", right=rows[0], title=title), *notes]
    answer = matrix.as_json() | {"notes": list(notes)}
    if model:
        for name, size in zip(("groups", "nodes"), sizes[1:3], strict=True):
            if size > 1:
                raise ValueError(f"{name}: got {size}, allowed with --model is 1")
        settings = Moving(model=model, gpus=sizes[3], replicas=matrix.replicas)
        found = break_evens(matrix, carried, settings)
        answer["break_even_tokens"] = [[one.tokens_or_none for one in row] for row in found]
        pays = [
            {HEAD: name} | dict(zip(matrix.measured_on, map(_tokens, row), strict=True))
            for name, row in zip(matrix.placed_for, found, strict=True)
        ]
        parts.append(table(pays, right=pays[0], title="tokens from which on moving experts pays"))
    if every:
        counts = tuple(_whole(word.strip()) for word in every.split(","))
        ways = trace_streams(measure_on, matrix.widest, counts, batch, settings)
        answer["streams"] = [one.as_row() for one in ways]
        parts.append(table(answer["streams"], number=".4g", title=f"batches of {batch} tokens"))
    if model:
        parts.append(ASSUMPTIONS)
    show(answer, json_output, *parts)


def _tokens(one: BreakEven) -> str:
    if one.tokens_or_none is None:
        return "never"
    return f"{one.tokens:,.0f}" if one.moved else "at home"


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS):
        raise ValueError(
            f"every: got {shown(text)}, allowed are whole numbers >= 1 of up to {MOST_DIGITS} "
            "digits, with commas between"
        )
    return int(text)
