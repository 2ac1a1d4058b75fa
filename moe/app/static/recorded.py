"""Runs of Play that are recorded when the static edition is made: the presets, and their repair.

The browser then answers the wishes of Play's component from these records, as the server does.
"""

from __future__ import annotations

from typing import Any

from ...training import Change
from ..play.plan import Plan
from ..play.presets import PRESETS
from ..play.session import PlaySession, Wish
from ..shared.stage.packing import experts_for_stage

STEPS = 300  # of each recorded run
REPAIRS_EVERY, REPAIRS_TO = 20, 240  # steps at which DeepSeek's balancing may come in
REPAIR_STEPS = 200
COLLAPSE = PRESETS[0].plan


def recordings(steps: int = STEPS) -> dict[str, Any]:
    """Return all recorded runs by their plan, and the steps at which a repair was recorded."""
    plans = [(preset.plan, 0, steps) for preset in PRESETS]
    repairs = list(range(0, min(REPAIRS_TO, steps) + 1, REPAIRS_EVERY))
    plans += [(repaired(at), at, REPAIR_STEPS) for at in repairs]
    return {
        "runs": {plan.written(): _record(plan, start, n) for plan, start, n in plans},
        "base": COLLAPSE.written(),
        "repairs": repairs,
    }


def repaired(at: int) -> Plan:
    """The run that collapses, with DeepSeek's balancing from a step on."""
    return Plan(COLLAPSE.experts, COLLAPSE.seed, (Change(at, "balancing", "deepseek"),))


def _record(plan: Plan, start: int, n: int) -> dict[str, Any]:
    answer = PlaySession().answer(Wish(plan, start, n, 1), budget=float("inf"))
    return {"experts": experts_for_stage(plan.experts), "records": answer["records"]}
