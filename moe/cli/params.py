"""`moe params`: how many parameters a model has, all and active, by part."""

from __future__ import annotations

from typing import Annotated

import typer

from ..cost.parts import parameters_of, part_lines, part_words
from ..numbers import short
from .output import Json, show, table

COLUMNS = {"part": "", "all": "parameters", "active": "a token uses"}


def params(
    model: Annotated[
        str,
        typer.Argument(
            help="A folder, a config.json, a name from `moe models`, or the name of a model in "
            "the local cache."
        ),
    ],
    json_output: Json = False,
) -> None:
    """Count a model's parameters: all, active, by part, and the memory that they take.

    Of a folder with tensors it says whether the headers of its files agree; nothing else of them
    is read.

    Example: moe params deepseek-v3
    """
    row = parameters_of(model)
    title = f"{row['name']} ({row['model_type']}): {row['total_params']:,} parameters"
    parts = table(part_lines(row), COLUMNS, number=short, right=("all", "active"))
    show(row, json_output, title, parts, *part_words(row))
