"""What a visitor takes along from the page: its run as JSON, and what reproduces it."""

from __future__ import annotations

import shlex
from dataclasses import asdict

from ...cost import Range, TrainingCost
from ...cost.rows import training_row
from ..shared.sharing import json_document
from . import chips, claim
from . import story as money


def document(cost: TrainingCost) -> bytes:
    """Cost under the page's assumptions, what it leaves out, and both claims beside it."""
    return json_document(
        "five-million",
        {
            "published": [asdict(part) for part in money.published_parts()],
            "beside": [asdict(cost) for cost in money.beside()],
            "training": training_row(cost),
            "swings": [asdict(swing) for swing in money.swings(cost)],
            "compared": [asdict(row) for row in claim.compared(cost)],
            "ways": [asdict(way) for way in claim.ways(cost)],
            "limits": {
                gpu.name: [asdict(limit) for limit in chips.limits(gpu)]
                for gpu in chips.CHOICES.values()
            },
        },
    )


def code(cost: TrainingCost) -> str:
    """Code of the page on money: hours, dollars and energy of a training."""
    return f"""\
from moe.cost import Range, TrainingCost

cost = {cost.as_call()}
result = cost.result()
print(result.gpu_hours, result.dollars, result.energy_mwh)
for assumption in result.assumptions:
    print(assumption)
print(2.0 * (2664e3 + 119e3 + 5e3))  # what was published for DeepSeek-V3
"""


def command(cost: TrainingCost) -> str | None:
    """Command line of the same training; None for a model that is known by its size only."""
    if cost.active_params:
        return None
    words = ["moe", "cost", str(cost.model)]
    for flag, value in (
        ("tokens", f"{cost.tokens:g}"),
        ("gpu", cost.hardware.key),
        ("mfu", _ends(cost.mfu)),
        ("price", _ends(cost.dollars_per_hour)),
        ("context", cost.context),
        ("formula", cost.formula),
        ("precision", cost.precision),
        ("extra-hours", f"{cost.extra_hours:g}"),
        ("n-gpus", cost.n_gpus),
    ):
        words += [f"--{flag}", str(value)]
    words += [] if cost.causal else ["--no-causal"]
    words += ["--mtp"] if cost.mtp else []
    return shlex.join(words)


def _ends(span: Range) -> str:
    return f"{span.low:g}:{span.mid:g}:{span.high:g}"
