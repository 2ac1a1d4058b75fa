"""What a lesson measured on every seed, where that takes longer than a reader waits.

Such a lesson's module has a function `measure(seed)`, whose results ship with the library:

    python -m moe.lessons.recorded reads teacher thinking

measures them anew and writes them. A lesson's own code does the same on one seed.
"""

from __future__ import annotations

import importlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import check_choice

MEASURED = ("reads", "teacher", "thinking")
SEEDS = (0, 1, 2)
FOLDER = Path(__file__).with_name("records")


@cache
def recorded(name: str) -> list[dict[str, Any]]:
    """Return what a lesson measured, a dictionary for each of `SEEDS`.

    Raises
    ------
    ValueError
        If nothing ships for a lesson of that name.
    """
    check_choice("record", name, MEASURED)
    runs: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return runs


def measure(name: str, seed: int) -> dict[str, Any]:
    """Measure one seed anew, which takes up to a minute."""
    check_choice("record", name, MEASURED)
    module = importlib.import_module(f".course.{name}", __package__)
    found: dict[str, Any] = module.measure(seed)
    return found


def main(names: list[str]) -> None:
    """Measure lessons on every seed, and write their records."""
    for name in names:
        runs = [measure(name, seed) for seed in SEEDS]
        (FOLDER / f"{name}.json").write_text(json.dumps(runs, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
