"""`moe step` and `moe grade`: build a layer yourself, in steps that are checked and marked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown

from .output import Json, err, json_line, out, show, table


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


def grade(
    folder: Annotated[Path, typer.Argument(help="Folder of files, one .py for each person.")],
    out_file: Annotated[
        Path, typer.Option("--out", help="Table of marks, a .csv file; what it holds is kept.")
    ],
    steps: Annotated[
        str, typer.Option(help="Steps to check, joined by commas; by default all.")
    ] = "",
    seconds: Annotated[
        float, typer.Option(help="Longest that one call may take, by the clock.", min=0.1)
    ] = 10,
    unguarded: Annotated[
        bool,
        typer.Option("--unguarded", help="Go on where the system cannot guard against a file."),
    ] = False,
    gradescope: Annotated[
        Path | None,
        typer.Option(help="Also write a single file's marks as results.json of Gradescope."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Mark every file of a folder, each in a process that can compute and do nothing else.

    Ends with exit code 0 if all steps of all files are right, 1 if not, 2 if they cannot be
    marked. What is finished is kept when it is stopped: the same command goes on.

    Example: moe grade submissions --out marks.csv
    """
    from ..lessons.cage.outside import Limits
    from ..lessons.steps import STEPS
    from ..lessons.steps.grade import grade as marks_of
    from ..lessons.steps.grade import gradescope_file

    names = steps.split(",") if steps else tuple(STEPS)
    limits = Limits(call_seconds=seconds)
    done = []
    for marks in marks_of(folder, out_file, names, limits, unguarded):
        done.append(marks)
        if json_output:
            json_line(marks)
        else:
            out.print(marks.words(), soft_wrap=True, highlight=False)
    if gradescope is not None:
        gradescope_file(done, gradescope)
    if not all(marks.all_right for marks in done):
        raise typer.Exit(1)
