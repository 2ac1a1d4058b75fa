"""`moe lesson`: lessons in the terminal, as notebooks, and answers judged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markdown import Markdown

from .kernels import prepare_kernels
from .output import Json, show, table


def lesson(
    name: Annotated[str | None, typer.Argument(help="A lesson's name; all if left out.")] = None,
    student: Annotated[str, typer.Option(help="Whose numbers the questions have: any text.")] = "",
    notebook: Annotated[
        Path | None, typer.Option(help="Write the lesson to this .ipynb file.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Draw the lesson's figures into this folder, as SVG.")
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option(help="QUESTION=NUMBER, to be judged. May be given more than once."),
    ] = None,
    json_output: Json = False,
) -> None:
    """List the lessons, show one, or judge answers to its questions.

    Ends with exit code 0; of answers, 0 if all are right and 1 if one is not; 2 if there is no
    such lesson, or a file cannot be written.

    Example: moe lesson letters --student ada --answer letters.third=0.5
    """
    from ..lessons.report import answers, catalogue_rows, lesson_json, lesson_text

    if name is None:
        if notebook is not None or figures is not None or answer:
            raise ValueError("lesson: got none, allowed is the name of one with these options")
        rows = catalogue_rows()
        show(rows, json_output, table(rows, right=("minutes", "words", "longest", "grade")))
        return
    if answer:
        prepare_kernels()
        judged = answers(name, answer, student)
        show(judged, json_output, *(f"{one['question']}: {one['says']}" for one in judged))
        raise typer.Exit(0 if all(one["right"] for one in judged) else 1)
    said: Any = lesson_json(name, student)
    text: Any = Markdown(lesson_text(name, student))
    if notebook is not None:
        said, text = _written(name, student, notebook)
    elif figures is not None:
        prepare_kernels()
        drawn = _drawn(name, figures)
        said, text = {"lesson": name, "figures": drawn}, "\n".join(f"drawn to {it}" for it in drawn)
    show(said, json_output, text)


def _drawn(name: str, folder: Path) -> list[str]:
    """Draw a lesson's figures; return their files."""
    from ..lessons import lesson as lesson_of
    from ..lessons import show as shown

    paths = []
    for part in lesson_of(name).of("figure"):
        path = folder / f"{part.name}.svg"
        drawing = shown(part.name).svg()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(drawing, "utf-8")
        except OSError as error:
            raise ValueError(
                f"figures: got {str(folder)!r}, which cannot be written: {error}"
            ) from None
        paths.append(str(path))
    return paths


def _written(name: str, student: str, path: Path) -> tuple[dict[str, str], str]:
    """Write a notebook; return what to say of it."""
    from ..lessons import make_notebook

    made = make_notebook(name, student)
    try:
        path.write_bytes(made)
    except OSError as error:
        raise ValueError(f"notebook: got {str(path)!r}, which cannot be written: {error}") from None
    return {"lesson": name, "student": student, "notebook": str(path)}, f"written to {path}"
