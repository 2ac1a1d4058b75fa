"""`moe check-gate`: known bugs in somebody's gate, or in the library's own with each turned on."""

from __future__ import annotations

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


def _turn_on_every_bug(json_output: bool) -> NoReturn:
    """Turn each bug on in the library's own gate, and show whether it is found."""
    from ..gates.self_check import show_bugs

    bugs = show_bugs()
    show(bugs, json_output, table([bug.row() for bug in bugs]))
    _end(all(bug.detected for bug in bugs))


def _end(well: bool) -> NoReturn:
    raise typer.Exit(0 if well else 1)
