"""`moe lm reason` and `moe lm distil`: a model is rewarded for right answers; a teacher teaches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..lm.distil import DistilSettings
from ..lm.reason import ReasonSettings
from .kernels import prepare_kernels
from .output import Json, err, json_line, out, say, table
from .settings import settings_command, with_flags

if TYPE_CHECKING:
    from ..lm.model import LanguageModel

COLUMNS = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()


@settings_command(ReasonSettings)
def reason(settings: Any, json_output: bool) -> None:
    """Teach a small mixture by rewards for right answers alone, after a supervised cold start.

    With --json there is a line for each iteration: what the policy does after so many updates.

    Example: moe lm reason --task mod5 --seed 0
    """
    from ..lm.reason import ColdStep, ReasonRun

    prepare_kernels()
    learning, last = ReasonRun(settings), None
    with Progress(*COLUMNS, console=err, transient=True) as progress:
        bar = progress.add_task("cold start", total=learning.n_steps)
        for record in learning.run():
            progress.update(bar, advance=1, description=record.words())
            if isinstance(record, ColdStep):
                continue
            if json_output:
                json_line(record)
            elif record.examined:
                progress.console.print(record.words(), soft_wrap=True, highlight=False)
            last = record
    if last is not None and not json_output:
        say(table([{"answers": one} for one in last.samples], unbroken=("answers",)), last.words())


def _distil(
    teacher: Annotated[
        Path | None,
        typer.Option(help="Folder that moe lm train wrote; by default a teacher is trained first."),
    ] = None,
    json_output: Json = False,
    **options: Any,
) -> None:
    """Let a trained mixture teach a smaller student, by its chances or by its text.

    With --json there is a line for each step of the student.

    Example: moe lm distil --student dense --method logits
    """
    from ..lm.distil import PLAIN, Distillation

    settings = DistilSettings(**options)
    prepare_kernels()
    model = None if settings.method == PLAIN else _teacher(teacher)
    if settings.method == PLAIN and teacher is not None:
        raise ValueError("teacher: got a folder with method 'plain', allowed is none")
    with Progress(*COLUMNS, console=err, transient=True) as progress:
        bar = progress.add_task("student", total=settings.steps)
        for record in Distillation(settings, model).run():
            if json_output:
                json_line(record)
            progress.update(bar, advance=1, description=f"student, loss {record.loss:.3f} nats")
    if not json_output:
        out.print(settings.words(record), soft_wrap=True, highlight=False)


def _teacher(folder: Path | None) -> LanguageModel:
    """A saved model, or one that is trained now."""
    from ..lm.distil import train_teacher
    from ..lm.run_folder import model_of

    if folder is not None:
        return model_of(folder)
    with Progress(*COLUMNS, console=err, transient=True) as progress:
        bar = progress.add_task("teacher")
        for trainer in train_teacher():
            progress.update(bar, completed=trainer.step_number, total=trainer.settings.steps)
    return trainer.model


distil = with_flags(DistilSettings, *DistilSettings.__dataclass_fields__)(_distil)
