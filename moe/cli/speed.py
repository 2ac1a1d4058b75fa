"""`moe warm` and `moe bench`: kernels compiled ahead, and how fast this machine is."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import kernels
from .kernels import prepare_kernels
from .output import Json, err, json_line, out, show, spaced, table

COLUMNS = (
    "shape", "forward_ms", "forward_gflops_per_s", "share_of_peak", "forward_backward_ms",
    "share_of_peak_both", "gigabytes_per_s",
)  # fmt: skip


def warm(
    float64: Annotated[
        bool,
        typer.Option("--float64", help="Those of float64 layers too: about two thirds longer."),
    ] = False,
    json_output: Json = False,
) -> None:
    """Compile the kernels ahead, so that nothing waits for it later, and say which.

    Example: moe warm
    """
    from ..speed.warm import unsaved
    from ..speed.warm import warm as warm_parts

    if not json_output:
        out.print(f"Kernels for vectors of {kernels.VECTOR_BYTES} bytes")
    for step in warm_parts(float64, language=True):
        if json_output:
            json_line(step)
        else:
            out.print(step.describe())
    if unsaved():
        typer.echo(f"moe: {unsaved()}", err=True)
        raise typer.Exit(1)


def bench(json_output: Json = False) -> None:
    """Measure this machine and the layer on it.

    Example: moe bench --json
    """
    from ..speed.machine import measure_layers, measure_machine, versions

    prepare_kernels()
    with err.status("measuring matrix products and memory"):
        machine = measure_machine()
    layers = []
    with err.status("timing the layer") as status:
        for layer in measure_layers():
            layers.append(layer)
            status.update(f"timed {layer.shape}")
    show(
        {"machine": machine, "versions": versions(), "layers": layers},
        json_output,
        machine.describe(),
        f"Kernels for vectors of {machine.vector_bytes} bytes",
        table(
            [vars(layer) for layer in layers],
            spaced(COLUMNS),
            right=COLUMNS,
            title="MoE layer, float32, SwiGLU",
        ),
    )
