"""What the layer has to reach, each beside the figure that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .invariance import BATCHES
from .measure import BEST, BEST_LIBRARY, BOTH, FORWARD
from .peer import OURS


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


def _shares(forward: float, both: float, tiny: float, decode: float) -> list[Target]:
    made = [
        Target(f"{name}, {passed}: share of peak", f"{name}/{passed}/share/{OURS}", bound)
        for passed, bound in ((FORWARD, forward), (BOTH, both))
        for name in ("small", "mid", "fine")
    ]
    share = f"{FORWARD}/share/{OURS}"
    return [
        *made,
        Target(f"tiny, {FORWARD}: share of peak", f"tiny/{share}", tiny),
        Target(f"decode, {FORWARD}: share of reading speed", f"decode/{share}", decode),
    ]


def _times(bounds: Mapping[str, Mapping[str, float]]) -> list[Target]:
    return [
        Target(
            f"{name}, {passed}: times the best peer's speed",
            f"{name}/{passed}/times/{BEST}",
            bound,
        )
        for passed, by_name in bounds.items()
        for name, bound in by_name.items()
    ]


DECODE = Target(
    f"decode, {FORWARD}: times transformers' best", f"decode/{FORWARD}/times/{BEST_LIBRARY}", 2.0
)
DIFFERENCES = [
    Target(
        "8 threads x 200 calls: results that differ from serial ones",
        "concurrent/differences",
        0,
        at_least=False,
    ),
    *(
        Target(
            f"tokens whose bits of {what} change in a batch of {n}",
            f"batch/{what}/{n}/{OURS}",
            0,
            at_least=False,
        )
        for what in ("y", "dx")
        for n in BATCHES
    ),
]
# What a machine with 64-byte vectors has to reach, and what one with 32-byte vectors.
WIDE = [
    *_shares(forward=0.9, both=0.85, tiny=0.45, decode=0.65),
    Target(
        f"decode16, {FORWARD}: share of reading speed", f"decode16/{FORWARD}/share/{OURS}", 0.65
    ),
    *_times(
        {
            FORWARD: {"tiny": 2.2, "small": 1.25, "mid": 1.4, "fine": 1.4, "decode16": 2.0},
            BOTH: {"tiny": 2.2, "small": 1.35, "mid": 1.6, "fine": 2.0},
        }
    ),
    DECODE,
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
    *DIFFERENCES,
]
NARROW = [
    *_shares(forward=0.9, both=0.87, tiny=0.35, decode=0.65),
    *_times({FORWARD: {"tiny": 2.2, "small": 1.3, "mid": 1.35, "fine": 1.8}}),
    DECODE,
    *DIFFERENCES,
]


def targets(vector_bytes: int) -> list[Target]:
    """What kernels of that width have to reach."""
    return WIDE if vector_bytes == 64 else NARROW


def judged(
    figures: Mapping[str, Mapping[str, float]], complete: bool, vector_bytes: int
) -> list[dict[str, Any]]:
    """Every target with its measured median; None where it was not measured.

    `complete`: all peers took part; without them a best peer means nothing.
    """
    rows = []
    for target in targets(vector_bytes):
        beside_peers = target.figure.endswith((BEST, BEST_LIBRARY))
        known = target.figure in figures and (complete or not beside_peers)
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
