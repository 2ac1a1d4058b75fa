"""Six runs to begin with; tests/app/play/test_presets.py measures what each one promises."""

from __future__ import annotations

from dataclasses import dataclass

from ...training import Change
from .plan import Plan


@dataclass(frozen=True)
class Preset:
    """A run to begin with: its name, what to watch for, and the plan."""

    name: str
    hint: str
    plan: Plan


PRESETS = (
    Preset("Collapse", "Nothing keeps the work even. Watch a few experts win it all.", Plan()),
    Preset(
        "Repair",
        "At step 120 DeepSeek's balancing comes in. Watch the idle experts come back.",
        Plan(changes=(Change(120, "balancing", "deepseek"),)),
    ),
    Preset(
        "Too strong",
        "Even from the start, but the push is so hard that the model learns worse. Watch the loss.",
        Plan(changes=(Change(0, "balancing", "strong"),)),
    ),
    Preset(
        "Full experts",
        "Each expert has room for its fair share only. Watch what finds no place fall away.",
        Plan(changes=(Change(0, "room", 1.0),)),
    ),
    Preset(
        "One expert only",
        "Each character asks a single expert. Watch one of eight take nearly everything.",
        Plan(changes=(Change(0, "k", 1),)),
    ),
    Preset(
        "64 experts",
        "Eight times as many, each a quarter of the size. Watch how many get no work.",
        Plan(experts=64),
    ),
)
