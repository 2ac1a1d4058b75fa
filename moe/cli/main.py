"""The commands of the library itself, and how every command ends; thin, as all of them are."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..version import __version__
from .cluster import add_cluster_commands
from .cost import add_cost_commands
from .kernels import prepare_kernels
from .output import Json, err, out
from .place import add_place_command
from .settings import settings_command
from .sweep import add_sweep_commands
from .traces import add_trace_commands

cli = typer.Typer(
    name="moe",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="MoEscope: see, measure and check mixture-of-experts layers.",
)
UsageError: Any = typer.BadParameter.__base__  # its own class in some versions, click's in others


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"moescope {__version__}")
        raise typer.Exit


@cli.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """MoEscope: see, measure and check mixture-of-experts layers."""


@cli.command()
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
    from .. import kernels
    from ..speed.warm import unsaved
    from ..speed.warm import warm as warm_parts

    if not json_output:
        out.print(f"Kernels for vectors of {kernels.VECTOR_BYTES} bytes")
    for step in warm_parts(float64):
        if json_output:
            print(json.dumps(asdict(step)), flush=True)
        else:
            out.print(step.describe())
    if unsaved():
        typer.echo(f"moe: {unsaved()}", err=True)
        raise typer.Exit(1)


@cli.command()
def app(
    port: Annotated[int, typer.Option(help="Port to serve on.", min=1, max=65535)] = 8501,
    address: Annotated[
        str, typer.Option(help="Address to serve on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    json_output: Json = False,
) -> None:
    """Open the app in a browser.

    Example: moe app --port 8600
    """
    from ..app.serve import app_file, check_place, serve

    script = app_file()
    check_place(address, port)
    prepare_kernels()
    if json_output:
        typer.echo(json.dumps({"url": f"http://localhost:{port}"}))
    serve(script, port, browser, address)


def _train_settings() -> type:
    from ..training import TrainSettings

    return TrainSettings


@cli.command()
@settings_command(_train_settings())
def train(settings: Any, json_output: bool) -> None:
    """Train a tiny MoE model and watch its experts' load.

    Example: moe train --task text --router topk --balance bias --steps 300
    """
    from ..errors import GateWarning
    from ..router_check import gate_words
    from ..training.runs import Run, run_steps

    if words := gate_words(settings.make_router()):
        err.print(f"moe: {words}", markup=False, soft_wrap=True)
    prepare_kernels()
    steps = run_steps(settings)
    columns = [TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()]
    with (
        warnings.catch_warnings(action="ignore", category=GateWarning),  # it is said already
        Progress(*columns, console=err, transient=True) as progress,
    ):
        bar = progress.add_task("training", total=settings.steps)
        for record in steps:
            if isinstance(record, Run):
                finished = record
                break
            if json_output:
                print(json.dumps(record.as_json()), flush=True)
            text = f"loss {record.loss:.3f}  MaxVio {record.max_vio:.2f}  idle {record.dead}"
            progress.update(bar, advance=1, description=text)
    if not json_output:
        _print_run(finished)


def _print_run(run: Any) -> None:
    summary = run.summary()
    table = Table(title=f"router {run.settings.router}, balance {run.settings.balance}")
    table.add_column("expert", justify="right")
    table.add_column("load, last step", justify="right")
    table.add_column("", no_wrap=True)
    for expert, load, bar in run.load_bars():
        table.add_row(str(expert), str(load), bar)
    out.print(table)
    out.print(
        f"loss {summary.loss:.3f} (held out {summary.held_out_loss:.3f}), "
        f"MaxVio {summary.max_vio:.2f}, idle experts {summary.dead}, "
        f"dropped {summary.dropped:.1%}; means over the last steps"
    )


def _print_registry(rows: list[dict[str, Any]], json_output: bool) -> None:
    if json_output:
        typer.echo(json.dumps(rows))
        return
    table = Table()
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    out.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={default}" for name, default in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


@cli.command()
def routers(
    probe: Annotated[
        bool, typer.Option("--probe", help="Check which routers and drop policies look ahead.")
    ] = False,
    json_output: Json = False,
) -> None:
    """List the routers with their options and sources.

    Example: moe routers --probe
    """
    from ..studies.causality import causality_rows
    from .registry_rows import router_rows

    rows = [asdict(row) for row in causality_rows()] if probe else router_rows()
    _print_registry(rows, json_output)


@cli.command()
def balancers(json_output: Json = False) -> None:
    """List the balancing methods with their options and sources.

    Example: moe balancers --json
    """
    from .registry_rows import balancer_rows

    _print_registry(balancer_rows(), json_output)


@cli.command("check-gate")
def check_gate(
    gate: Annotated[
        str | None,
        typer.Argument(help="A .npz file of recorded routing, or package.module:function."),
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="What it is meant to be: a name in moe routers.")
    ] = None,
    aux_loss: Annotated[
        str | None, typer.Option(help="Its balance loss, as package.module:function.")
    ] = None,
    k: Annotated[int | None, typer.Option(help="Experts per token.")] = None,
    n_group: Annotated[int | None, typer.Option(help="Groups of experts.")] = None,
    topk_group: Annotated[int | None, typer.Option(help="Groups that a token may reach.")] = None,
    score: Annotated[str | None, typer.Option(help="Score function, such as sigmoid.")] = None,
    renormalize: Annotated[
        bool | None, typer.Option(help="Whether weights are divided by their sum.")
    ] = None,
    scale: Annotated[float | None, typer.Option(help="Factor on the weights.")] = None,
    n_experts: Annotated[int, typer.Option(help="Experts that a function is asked with.")] = 16,
    coefficient: Annotated[
        float | None, typer.Option(help="Factor in the balance loss, 1 by default.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Largest relative difference that counts as none.")
    ] = 1e-3,
    json_output: Json = False,
) -> None:
    """Say which known bugs a gate has; without a gate, show them in the library's own.

    Ends with exit code 0 if the gate is clean, 1 if it is not, 2 if it cannot be checked.

    Example: moe check-gate routing.npz --like deepseek_v3 --n-group 8 --topk-group 4
    """
    from ..gates.check import check_gate as check
    from ..gates.probe import named_callable, named_gate
    from ..gates.self_check import show_bugs

    prepare_kernels()
    if gate is None:
        shown = show_bugs()
        rows = [asdict(bug) if json_output else bug.row() for bug in shown]
        _print_registry(rows, json_output)
        raise typer.Exit(0 if all(bug.detected for bug in shown) else 1)
    known = {
        "k": k, "n_group": n_group, "topk_group": topk_group, "score": score,
        "renormalize": renormalize, "scale": scale,
    }  # fmt: skip
    report = check(
        named_gate(gate),
        like=like,
        aux_loss=None if aux_loss is None else named_callable("aux_loss", aux_loss),
        n_experts=n_experts,
        coefficient=coefficient,
        tolerance=tolerance,
        **{name: value for name, value in known.items() if value is not None},
    )
    if json_output:
        typer.echo(json.dumps(report.as_json()))
    else:
        out.print(report.summary(), markup=False)
        _print_registry(report.rows(), False)
        for note in (*report.notes, *report.unchecked):
            out.print(note, markup=False)
    raise typer.Exit(0 if report.clean else 1)


@cli.command()
def bench(json_output: Json = False) -> None:
    """Measure this machine and the layer on it.

    Example: moe bench --json
    """
    from ..speed.machine import measure_layers, measure_machine, versions

    prepare_kernels()
    with err.status("measuring matrix products and memory"):
        machine = measure_machine()
    speeds = []
    with err.status("timing the layer") as status:
        for speed in measure_layers():
            speeds.append(asdict(speed))
            status.update(f"timed {speed.shape}")
    if json_output:
        report = {"machine": asdict(machine), "versions": versions(), "layers": speeds}
        typer.echo(json.dumps(report))
        return
    out.print(machine.describe())
    out.print(f"Kernels for vectors of {machine.vector_bytes} bytes")
    _print_speeds(speeds)


def _print_speeds(speeds: Iterable[dict[str, Any]]) -> None:
    table = Table(title="MoE layer, float32, SwiGLU")
    names = (
        "shape", "forward_ms", "forward_gflops_per_s", "share_of_peak", "forward_backward_ms",
        "share_of_peak_both", "gigabytes_per_s",
    )  # fmt: skip
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for row in speeds:
        cells = [row[name] for name in names]
        table.add_row(*(c if isinstance(c, str) else f"{c:.3g}" for c in cells))
    out.print(table)


add_cluster_commands(cli)
add_place_command(cli)
add_trace_commands(cli)
add_cost_commands(cli)
add_sweep_commands(cli)


def main() -> None:
    """Run the command line; a wrong value ends with one line and exit code 2."""
    try:
        code = cli(standalone_mode=False)
    except UsageError as error:
        _fail(error.format_message(), error)
    except ValueError as error:
        _fail(str(error), error)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, error: Exception) -> None:
    one_line = " ".join(message.split())
    if not one_line:  # `moe` alone has shown its help
        raise SystemExit(0) from error
    typer.echo(f"moe: {one_line}", err=True)
    raise SystemExit(2) from error


if __name__ == "__main__":
    main()
