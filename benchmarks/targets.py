"""What the layer has to reach, each beside the figure that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .measure import BEST, BOTH, FORWARD
from .peers import OURS


@dataclass(frozen=True)
class Target:
    """One promise: `figure` is at least, or at most, `bound`."""

    what: str
    figure: str
    bound: float
    at_least: bool = True

    def met(self, value: float) -> bool:
        """Say whether a value keeps the promise."""
        return value >= self.bound if self.at_least else value <= self.bound


def _shares() -> list[Target]:
    made = [
        Target(f"{name}, {passed}: share of peak", f"{name}/{passed}/share/{OURS}", bound)
        for passed, bound in ((FORWARD, 0.9), (BOTH, 0.85))
        for name in ("small", "mid", "fine")
    ]
    made.append(Target(f"tiny, {FORWARD}: share of peak", f"tiny/{FORWARD}/share/{OURS}", 0.45))
    return made + [
        Target(f"{name}, {FORWARD}: share of reading speed", f"{name}/{FORWARD}/share/{OURS}", 0.8)
        for name in ("decode", "decode16")
    ]


def _times() -> list[Target]:
    bounds = {
        FORWARD: {
            "tiny": 2.2, "small": 1.25, "mid": 1.4, "fine": 1.4, "decode": 3.0, "decode16": 2.0,
        },
        BOTH: {"tiny": 2.2, "small": 1.35, "mid": 1.6, "fine": 2.0},
    }  # fmt: skip
    return [
        Target(
            f"{name}, {passed}: times the best peer's speed",
            f"{name}/{passed}/times/{BEST}",
            bound,
        )
        for passed, by_name in bounds.items()
        for name, bound in by_name.items()
    ]


TARGETS = [
    *_shares(),
    *_times(),
    *(
        Target(
            f"{name}: speed-up over dense, share of E / k",
            f"{name}/{FORWARD}/speed-up over theory",
            0.85,
        )
        for name in ("mid", "fine")
    ),
    Target("mid: 2 threads against 1", f"mid/{FORWARD}/threads", 1.9),
    Target("mid: peak memory over what is needed", f"memory/{OURS}", 1.3, at_least=False),
    Target(
        "8 threads x 200 calls: results that differ from serial ones",
        "concurrent/differences",
        0,
        at_least=False,
    ),
]


def judged(figures: Mapping[str, Mapping[str, float]], complete: bool) -> list[dict[str, Any]]:
    """Every target with its measured median; None where it was not measured.

    `complete`: all peers took part; without them a best peer means nothing.
    """
    rows = []
    for target in TARGETS:
        known = target.figure in figures and (complete or not target.figure.endswith(BEST))
        found = figures[target.figure] if known else dict.fromkeys(("median", "low", "high"))
        value = found["median"]
        rows.append(
            {
                "what": target.what,
                "measured": value,
                "low": found["low"],
                "high": found["high"],
                "target": target.bound,
                "at_least": target.at_least,
                "met": None if value is None else target.met(value),
            }
        )
    return rows
