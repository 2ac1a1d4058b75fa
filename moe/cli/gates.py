"""`moe check-gate` and `moe golden`: known bugs in a gate, and what a port of one must compute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from .kernels import prepare_kernels
from .output import Json, show, table


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

    prepare_kernels()
    if gate is None:
        _turn_on_every_bug(json_output)
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
    findings = table(report.rows())
    show(report, json_output, report.summary(), findings, *report.notes, *report.unchecked)
    _end(report.clean)


def golden(
    family: Annotated[
        str, typer.Argument(help="A model type that loads, such as deepseek_v3 or qwen3_moe.")
    ],
    out_file: Annotated[Path, typer.Option("--out", help="Write the vectors to this JSON file.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Also write the layer to this folder: config.json and safetensors."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    seed: Annotated[int, typer.Option(help="Seed of weights and tokens.")] = 0,
    chosen: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="KEY=VALUE: an option of config.json, where not the class's default; may be "
            "given more than once.",
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Write what a port of a family's layer must compute: 64 named tokens, with all numbers.

    Example: moe golden deepseek_v3 --out deepseek_v3.json
    """
    from ..porting.document import golden as golden_of
    from ..porting.tiny import written_options

    options = written_options(chosen or [])
    prepare_kernels()
    made = golden_of(family, dtype, seed, options)
    if checkpoint is not None:  # refused if there is one; then the vectors of it stay as well
        made.save_checkpoint(checkpoint)
    made.save(out_file)
    written = {"summary": made.summary(), "names": made.names, "file": str(out_file)}
    show(written, json_output, table(made.rows(), title=made.summary()))


def _turn_on_every_bug(json_output: bool) -> NoReturn:
    """Turn each bug on in the library's own gate, and show whether it is found."""
    from ..gates.self_check import show_bugs

    bugs = show_bugs()
    show(bugs, json_output, table([bug.row() for bug in bugs]))
    _end(all(bug.detected for bug in bugs))


def _end(well: bool) -> NoReturn:
    raise typer.Exit(0 if well else 1)
