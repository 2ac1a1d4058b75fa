"""What a visitor takes along from the page: its run as JSON, and what reproduces it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from ...speed.machine import Machine
from ...studies.savings import CountedCost, MeasuredCost, SavingsSettings
from ..shared.sharing import json_document


def document(
    settings: SavingsSettings,
    counted: Sequence[CountedCost],
    measured: list[MeasuredCost],
    machine: Machine | None,
) -> bytes:
    """Counted costs, and measured ones with the machine if there are any."""
    return json_document(
        "savings",
        {
            "settings": asdict(settings),
            "machine": asdict(machine) if machine else None,
            "counted": [asdict(row) for row in counted],
            "measured": [asdict(row) for row in measured],
        },
    )


def code(settings: SavingsSettings) -> str:
    """Code of the page on savings: counted costs, then measured ones."""
    return f"""\
from moe.app.savings.story import verdict
from moe.speed.machine import measure_machine
from moe.studies.savings import SavingsSettings, count, measure

settings = {settings.as_call()}
for cost in count(settings):
    print(cost)

measured = measure(settings)  # five runs that take turns: up to a minute
print(verdict(settings, measured, measure_machine()).text)
"""
