"""`moe train`: train a tiny model, with a line of JSON for each step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import GateWarning
from ..router_check import gate_words
from ..training import TrainSettings
from .kernels import prepare_kernels
from .output import err, json_line, say, table
from .settings import settings_command

if TYPE_CHECKING:
    from ..training.runs import Run


@settings_command(TrainSettings)
def train(settings: Any, json_output: bool) -> None:
    """Train a tiny MoE model and watch its experts' load.

    Example: moe train --task text --router topk --balance bias --steps 300
    """
    from ..training.runs import Run, run_steps

    if words := gate_words(settings.make_router()):
        err.print(f"moe: {words}", soft_wrap=True)
    prepare_kernels()
    steps = run_steps(settings)
    columns = [TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()]
    with (
        warnings.catch_warnings(action="ignore", category=GateWarning),  # printed above
        Progress(*columns, console=err, transient=True) as progress,
    ):
        bar = progress.add_task("training", total=settings.steps)
        for record in steps:
            if isinstance(record, Run):
                finished = record
                break
            if json_output:
                json_line(record)
            text = f"loss {record.loss:.3f}  MaxVio {record.max_vio:.2f}  idle {record.dead}"
            progress.update(bar, advance=1, description=text)
    if not json_output:
        say(*_run_parts(finished))


def _run_parts(run: Run) -> Iterator[RenderableType]:
    """The load of every expert as a bar, and the figures of the last steps."""
    summary, last = run.summary(), "load, last step"
    yield table(
        [{"expert": expert, last: load, "": bar} for expert, load, bar in run.load_bars()],
        right=("expert", last),
        unbroken=("",),
        title=f"router {run.settings.router}, balance {run.settings.balance}",
    )
    yield (
        f"loss {summary.loss:.3f} (held out {summary.held_out_loss:.3f}), "
        f"MaxVio {summary.max_vio:.2f}, idle experts {summary.dead}, "
        f"dropped {summary.dropped:.1%}; means over the last steps"
    )
