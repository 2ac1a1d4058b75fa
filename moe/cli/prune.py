"""`moe prune`: experts are taken away from a language model or from a layer's file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..pruning import CRITERIA
from .kernels import prepare_kernels
from .output import Json, show, table

WINDOWS = 256


def prune(
    model: Annotated[
        Path,
        typer.Argument(help="Folder that moe lm train wrote, a checkpoint, or a layer's file."),
    ],
    out_path: Annotated[
        Path, typer.Option("--out", help="Where to write: a new folder, or a file for a layer.")
    ],
    keep: Annotated[int, typer.Option(help="Experts that every layer keeps.", min=1)],
    by: Annotated[str, typer.Option(help=f"Which ones: {', '.join(CRITERIA)}.")] = "reap",
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="A text file, or a folder of them, to calibrate by; may be given more than once. "
            "Without one it is text that the run learnt."
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(help="Tokens to calibrate a layer's file by: an .npy of floats, (N, D)."),
    ] = None,
    windows: Annotated[
        int | None,
        typer.Option(help=f"Pieces of text to calibrate by at most; by default {WINDOWS}.", min=1),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the pieces, and of 'random'.", min=0)] = 0,
    json_output: Json = False,
) -> None:
    """Take away the experts that matter least to some text, in every layer as many.

    REAP keeps those whose results are long where they are chosen, times their weight.

    Example: moe prune run --keep 8 --out smaller
    """
    from ..lm.pruning_files import prune_folder, prune_layer_file

    prepare_kernels()
    if model.is_file():
        for name, given in (("text", text), ("windows", windows)):
            if given:
                raise ValueError(f"{name}: got {given} with a layer's file, allowed is --inputs")
        if inputs is None:
            raise ValueError("inputs: got none, allowed is an .npy of tokens for a layer's file")
        found = prune_layer_file(model, out_path, inputs, keep, by, seed)
    else:
        if inputs is not None:
            raise ValueError("inputs: got a file with a folder, allowed is --text")
        found = prune_folder(model, out_path, keep, by, text or [], windows or WINDOWS, seed)
    rows = found.rows()
    titles = {name: name.replace("_", " ") for name in rows[0]}
    show(found, json_output, table(rows, titles, right=("layer",)), found.words())
