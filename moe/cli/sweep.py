"""`moe sweep` and `moe sweep report`: grids of runs that survive being killed, and their table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..kernels.cores import allowed_cores
from .groups import by_default
from .kernels import prepare_kernels
from .output import Json, err, json_line, out, show_lines, table

if TYPE_CHECKING:
    from ..sweeps.plan import SweepPlan
    from ..sweeps.run import Tally


sweep = typer.Typer(cls=by_default("run"), no_args_is_help=True, rich_markup_mode="rich")


@sweep.callback()
def _sweep() -> None:
    """Run grids of experiments; moe sweep FILE.toml is short for moe sweep run FILE.toml.

    What is finished is kept when a sweep is stopped or killed: the same command goes on. Both
    commands take --json.

    Example: moe sweep rates.toml --workers 2
    """


@sweep.command()
def run(
    file: Annotated[Path, typer.Argument(help="A TOML file that names experiment and settings.")],
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the results; by default FILE with .parquet."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes, one thread each; by default one a core.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a Dask cluster that does the runs, as tcp://host:8786."),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Do failed runs again.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs and do none of them.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Do the runs of a TOML file that the results do not hold yet.

    Ends with exit code 1 if runs failed, and 130 after Ctrl-C; what is finished is kept.

    Example: moe sweep rates.toml --workers 2
    """
    from ..sweeps.plan import read_plan
    from ..sweeps.run import sweep as rows_of

    plan = read_plan(file)
    folder = file.with_suffix(".parquet") if out_folder is None else out_folder
    if dry_run:
        _list_runs(plan, folder, retry, json_output)
        return
    if scheduler is None:
        prepare_kernels()
    rows = rows_of(
        plan,
        folder,
        workers=allowed_cores() if workers is None else workers,
        scheduler=scheduler,
        retry=retry,
    )
    try:
        failed = _follow(rows, plan, json_output)
    except KeyboardInterrupt:
        err.print("Stopped. What is finished is kept; the same command goes on.")
        raise
    finally:
        rows.close()
    if failed:
        err.print(
            f"{failed} of {len(plan.runs)} runs failed: see error in moe sweep report {folder}; "
            "--retry does them again.",
            soft_wrap=True,
        )
        raise typer.Exit(1)
    if not json_output:
        out.print(f"All is in {folder}: moe sweep report {folder}", soft_wrap=True)


def _follow(rows: Any, plan: SweepPlan, json_output: bool) -> int:
    """Draw the progress, print the rows, and return how many runs have failed."""
    from ..sweeps.report import plain
    from ..sweeps.run import tally

    counted = tally(rows)
    _, state = next(counted)  # before the bar: a wrong value ends here, with one line
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    with Progress(*columns, TimeRemainingColumn(), console=err) as progress:
        bar = progress.add_task(_words(plan, state), total=state.to_do)
        for row, state in counted:
            progress.update(bar, description=_words(plan, state), completed=state.done)
            if json_output:
                json_line(plain(row))
    return state.failed


def _words(plan: SweepPlan, state: Tally) -> str:
    return f"{plan.experiment}, {state.kept} there before, {state.failed} failed"


def _list_runs(plan: SweepPlan, folder: Path, retry: bool, json_output: bool) -> None:
    from ..sweeps.run import planned

    runs = planned(plan, folder, retry)
    names = ("id", "state", *plan.varied, "repeat")
    rows = [{name: str(row[name]) for name in names} for row in runs]
    caption = f"{len(runs)} runs; combinations left out as invalid: {plan.skipped}"
    show_lines(runs, json_output, table(rows, caption=caption))


@sweep.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of the results.")],
    figure: Annotated[
        list[str] | None,
        typer.Option(help="Figure to show; the first ranks. May be given more than once."),
    ] = None,
    chart: Annotated[
        str | None, typer.Option(help="Draw the first figure into a .png, .svg or .html file.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Show what a sweep found: mean ± standard deviation over seeds, and the best.

    Example: moe sweep report rates.parquet --chart rates.png
    """
    from ..sweeps.report import report as summarise

    found = summarise(folder, figure or ())
    if chart is not None:
        from ..sweeps.chart import sweep_figure, write_figure

        write_figure(sweep_figure(found), chart)
    rows = found.table()
    show_lines(found.groups, json_output, *([table(rows)] if rows else []))
    if not json_output:
        out.print(found.words(), highlight=False, soft_wrap=True)
