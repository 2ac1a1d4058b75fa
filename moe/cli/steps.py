"""`moe step`: build a layer yourself, in steps that are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown

from .output import Json, err, show, table


def step(
    name: Annotated[
        str | None, typer.Argument(help="A step; without one, all of them are listed.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Argument(help="Your file of functions; without one, the step's text is shown."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Build a layer yourself: what the next function has to do, and whether yours is right.

    The file runs in a process that can compute and do nothing else, where the system offers that.
    Ends with exit code 0 if the function is right, 1 if it is not, 2 if it cannot be checked.

    Example: moe step scores my_layer.py
    """
    from ..lessons.steps.submission import check_file, unguarded_words
    from ..lessons.steps.texts import description, step_rows

    if name is None:
        rows = step_rows()
        show(rows, json_output, table(rows))
        return
    if file is None:
        described = description(name)
        show(described, json_output, Markdown(described["text"]))
        return
    report, unguarded = check_file(name, file)
    show(report.as_json() | {"unguarded": list(unguarded)}, json_output, report.words())
    if words := unguarded_words(unguarded):
        err.print(f"moe: {words}", soft_wrap=True)
    if not report.right:
        raise typer.Exit(1)
