"""`moe cluster`: experts on many GPUs; what moves, how long it takes, what is published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from ..cluster.simulate import ClusterSettings
from ..cluster.simulate import simulate as simulate_batches
from .kernels import prepare_kernels
from .output import Json, cell, err, show, spaced, table
from .settings import settings_command

NUMBER = ",.4g"
cluster = typer.Typer(
    no_args_is_help=True, help="Experts on many GPUs: what moves, and how long it takes."
)


@cluster.command()
@settings_command(ClusterSettings)
def simulate(settings: Any, json_output: bool) -> None:
    """Count what every link carries, and time it.

    Example: moe cluster simulate --n-nodes 40 --redundant 64 --placement balanced --skew 0.5
    """
    prepare_kernels()
    with err.status("routing") as status:
        for record in simulate_batches(settings):
            result = record
            status.update(f"routed {result.traffic.n_tokens:,} tokens")
    figures = result.summary()
    rows = [{"figure": title, "value": figures[name]} for name, title in spaced(figures).items()]
    show(result, json_output, _table(rows, right=("value",)))


@cluster.command()
def calibrate(json_output: Json = False) -> None:
    """Fit the time model to half of DeepEP's published rows, and show the error of each.

    Example: moe cluster calibrate --json
    """
    from ..cluster.calibration import calibrate as fit
    from ..cluster.published import calibration_json

    prepare_kernels()
    with err.status("routing as DeepEP's benchmarks do, and fitting"):
        found = calibration_json(fit())
    show(found, json_output, *_calibration_parts(found))


def _calibration_parts(found: dict[str, Any]) -> Iterator[RenderableType]:
    """Every measurement beside the model, the fitted figures, and the median errors."""
    yield _table([_measurement(row) for row in found["rows"]])
    for name, kernels in found["kernels"].items():
        fitted = (f"{key} {cell(value, NUMBER)}" for key, value in kernels.items())
        yield f"{name}: {', '.join(fitted)}"
    for role, error in found["median_error"].items():
        yield f"median error, {role}: {error:.1%}"


@cluster.command()
def copies(
    tokens: Annotated[int, typer.Option(help="Tokens to route.", min=1)] = 262_144,
    seed: Annotated[int, typer.Option(help="Of the random experts.", min=0)] = 0,
    json_output: Json = False,
) -> None:
    """Copies of a token: per expert, per node, with a limit on nodes; formula and simulation.

    Example: moe cluster copies
    """
    from ..cluster.published import copies_rows

    prepare_kernels()
    with err.status("routing"):
        rows = [asdict(row) for row in copies_rows(tokens, seed)]
    show(rows, json_output, _table(rows))


@cluster.command()
def bubbles(
    stages: Annotated[int, typer.Option(help="Stages of the pipeline.")] = 16,
    forward: Annotated[float, typer.Option(help="Time of a forward chunk.")] = 1.0,
    backward: Annotated[float, typer.Option(help="Time of a whole backward chunk.")] = 2.0,
    weight: Annotated[float, typer.Option(help="Its part for the weights.")] = 1.0,
    both: Annotated[
        float | None, typer.Option(help="Both overlapped; their sum if not given.")
    ] = None,
    micro_batches: Annotated[
        int | None, typer.Option(help="Batches of a step; twice the stages if not given.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Idle time and memory of the pipeline schedules 1F1B, ZB1P and DualPipe.

    Example: moe cluster bubbles --stages 16 --both 2.4
    """
    from ..cluster.published import bubble_rows

    rows = bubble_rows(stages, forward, backward, weight, both, micro_batches)
    show(rows, json_output, _table(rows))


def _measurement(row: dict[str, Any]) -> dict[str, str]:
    """The columns of a measurement that fit on a screen."""
    return {
        "table": row["table"],
        "role": row["role"],
        "phase": f"{row['phase']} EP{row['ep']}",
        "published µs": f"{row['published_us']:.0f}",
        "model µs": f"{row['us']:.0f}",
        "published GB/s": f"{row['published_gb_s']:.0f}",
        "model GB/s": f"{row['gb_s']:.0f}",
        "error": f"{row['error']:+.1%}",
        "bound by": row["bound_by"],
        "source": row["source"],
    }


def _table(rows: list[dict[str, Any]], right: tuple[str, ...] = ()) -> Table:
    return table(rows, spaced(rows[0]), number=NUMBER, right=right, box=SIMPLE_HEAD)
