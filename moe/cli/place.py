"""`moe place`: which experts get a second copy, and on which GPU each lives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import Json, show, table


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
    json_output: Json = False,
) -> None:
    """Place experts on GPUs by their loads, as DeepSeek's EPLB does.

    Example: moe place trace.npz --gpus 8 --replicas 72 --groups 8 --nodes 2 --search
    """
    from ..cluster.eplb_report import place_experts

    placement = place_experts(file, replicas, groups, nodes, gpus, search, restarts, seed)
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
