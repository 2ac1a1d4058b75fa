"""`moe place`: which experts get a second copy, and on which GPU each lives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from .output import out

if TYPE_CHECKING:
    from ..cluster.eplb_report import Placement


def add_place_command(cli: typer.Typer) -> None:
    """Register the command of this file."""
    cli.command()(place)


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
        int, typer.Option(help="Random starts of the search; the best is kept.", min=0)
    ] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the random starts.", min=0)] = 0,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Write the placement to this JSON file.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Place experts on GPUs by their loads, as DeepSeek's EPLB does.

    Example: moe place trace.npz --gpus 8 --replicas 72 --groups 8 --nodes 2 --search
    """
    from ..cluster.eplb_report import place_experts

    made = place_experts(file, replicas, groups, nodes, gpus, search, restarts, seed)
    if out_file is not None:
        made.save(out_file)
    if json_output:
        typer.echo(json.dumps(made.as_json()))
        return
    _print_placement(made)


def _print_placement(made: Placement) -> None:
    rows = made.rows()
    table = Table(
        title=f"load of the fullest GPU, mean = 1 ({made.policy} policy)",
        caption="twice: experts with more than one copy on a GPU",
    )
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(c if isinstance(c, str) else f"{c:.3f}" for c in row.values()))
    out.print(table)
    for note in made.notes:
        out.print(note)
