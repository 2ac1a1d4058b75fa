"""`moe routers` and `moe balancers`: the methods, with their options and sources."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ..balance import BALANCERS
from ..registry import method_rows
from ..routers import ROUTERS
from .output import Json, show, table


def routers(
    probe: Annotated[
        bool, typer.Option("--probe", help="Check which routers and drop policies look ahead.")
    ] = False,
    json_output: Json = False,
) -> None:
    """List the routers with their options and sources.

    Example: moe routers --probe
    """
    if probe:
        from ..studies.causality import causality_rows

        rows = [asdict(row) for row in causality_rows()]
    else:
        rows = method_rows(ROUTERS, "causal", "batch_invariant")
    show(rows, json_output, table(rows))


def balancers(json_output: Json = False) -> None:
    """List the balancing methods with their options and sources.

    Example: moe balancers --json
    """
    rows = method_rows(BALANCERS)
    show(rows, json_output, table(rows))
