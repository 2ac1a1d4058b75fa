"""Runs joined to results, results on disk, and one result beside another."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from moe import kernels
from moe.speed.machine import versions

from .measure import Figures, Plan
from .targets import judged

Joined = dict[str, dict[str, float]]


def joined(runs: Sequence[Figures]) -> Joined:
    """Median, lowest and highest of each figure over the runs."""
    return {
        name: {
            "median": float(np.median(values)),
            "low": float(min(values)),
            "high": float(max(values)),
        }
        for name in runs[0]
        for values in [[run[name] for run in runs if name in run]]
    }


def made(runs: Sequence[Figures], plan: Plan, left_out: list[str], quick: bool) -> dict[str, Any]:
    """Everything that a results file holds."""
    figures = joined(runs)
    peers = {name: _version(name) for name in ("torch", "transformers")}
    return {
        "machine": {
            "processor": _processor(),
            "threads": kernels.num_threads(),
            "vector_bytes": kernels.VECTOR_BYTES,
        },
        "versions": versions() | {name: found for name, found in peers.items() if found},
        "settings": {
            "runs": len(runs),
            "blocks": plan.blocks,
            "pause": plan.pause,
            "quick": quick,
            "shapes": {name: list(shape) for name, shape in plan.shapes.items()},
        },
        "left_out": left_out,
        "targets": judged(figures, all(peers.values()), kernels.VECTOR_BYTES),
        "figures": figures,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def read(path: Path) -> dict[str, Any]:
    """Read a results file.

    Raises
    ------
    ValueError
        If it is not there or not one that this benchmark wrote.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"results: got {str(path)!r}, {error}") from error
    if not isinstance(found, dict) or "figures" not in found:
        raise ValueError(f"results: got {str(path)!r}, allowed is a file that `make bench` wrote")
    return found


def write(results: Mapping[str, Any], path: Path) -> None:
    """Write a results file, four digits a figure."""

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.4g}")
        if isinstance(value, dict):
            return {name: short(inner) for name, inner in value.items()}
        return [short(inner) for inner in value] if isinstance(value, list) else value

    lines = json.dumps(short(dict(results)), indent=1, ensure_ascii=False)
    path.write_text(lines + "\n", "utf-8")


def against(now: Joined, then: Joined) -> list[tuple[str, float, float, float]]:
    """Name, median then, median now and now over then, of each figure that both have."""
    rows = []
    for name in now.keys() & then.keys():
        old, new = then[name]["median"], now[name]["median"]
        rows.append((name, old, new, new / old if old else float("nan")))
    return sorted(rows, key=lambda row: list(now).index(row[0]))
