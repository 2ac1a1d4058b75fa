"""How many experts a batch of DeepSeek-V2-Lite's real tokens reads, as the table that ships.

`python -m benchmarks.batch_reads FOLDER [--write]` reads the routing that deepseek-ai/ESFT
published from a folder as in `real_routing.py`, and writes `docs/studies/batch-reads.csv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np

from moe.traces.reads import DRAWS, BatchReads, batch_reads

from .expert_cache import ORIGIN, without_prompts
from .real_routing import v2_lite_trace, written_if_asked

PATH = Path(__file__).resolve().parent.parent / "docs" / "studies" / "batch-reads.csv"
BATCH = 16
COLUMNS = tuple(field.name for field in fields(BatchReads))
# A review of the same data, by another program: experts read, and share of the gate's mass.
REVIEW = {6: (41.7, 1.0), 4: (32.6, 0.926), 3: (26.2, 0.854), 2: (18.8, 0.728)}


def table(rows: Sequence[BatchReads]) -> str:
    """The rows as csv, below comments that say where they are from."""
    said = [
        *ORIGIN[:3],
        "command: python -m benchmarks.batch_reads FOLDER --write",
        f"content: {DRAWS} batches of {BATCH} tokens of each task, over 26 layers; the task's "
        "prompt, which begins each document, is left out",
    ]
    lines = [*(f"# {line}" for line in said), ",".join(COLUMNS)]
    for one in rows:
        lines.append(",".join(f"{v:.4f}" if isinstance(v, float) else str(v) for v in astuple(one)))
    return "\n".join(lines) + "\n"


def compare(rows: Sequence[BatchReads]) -> str:
    """The figures beside the review's."""
    lines = ["choices that stay: experts read and gate mass left, here and in the review"]
    for k0, (experts, mass) in REVIEW.items():
        own = [one for one in rows if one.k0 == k0]
        here = np.mean([(one.experts, one.gate_mass) for one in own], axis=0)
        lines.append(f"  {k0}: {here[0]:.1f}, {here[1]:.1%}   {experts}, {mass:.1%}")
    return "\n".join(lines)


def measured(folder: Path) -> tuple[str, str]:
    """What is printed, and the table."""
    trace = without_prompts(v2_lite_trace(folder))
    rows = list(batch_reads(trace, BATCH))
    return f"{trace.describe()}\n{compare(rows)}", table(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, compare, and write if asked to."""
    written_if_asked("batch_reads", __doc__, PATH, measured, arguments)


if __name__ == "__main__":
    main()
