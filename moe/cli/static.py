"""`moe static`: some pages as a folder that any web host serves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .kernels import prepare_kernels
from .output import Json, json_line, say


def static(
    folder: Annotated[Path, typer.Argument(help="Where to write; new, empty, or an earlier one.")],
    steps: Annotated[
        int, typer.Option(help="Steps of each recorded run of Play.", min=1, max=2000)
    ] = 300,
    json_output: Json = False,
) -> None:
    """Write the static edition: first page, Play with recorded runs, Balance, Savings, $5M.

    Example: moe static edition
    """
    from ..app.static import build

    prepare_kernels()
    pages = []
    for page in build(folder, steps):
        pages.append(str(page))
        if not json_output:
            say(str(page))
    if json_output:
        json_line({"folder": str(folder), "pages": pages})
