"""What a cache of experts keeps of DeepSeek-V2-Lite's real routing, as the table that ships.

`python -m benchmarks.expert_cache FOLDER [--write]` reads the routing that deepseek-ai/ESFT
published from a folder as in `real_routing.py`, and writes `moe/expert_cache/deepseek-v2-lite.csv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moe.expert_cache.published import COLUMNS, PATH
from moe.expert_cache.replay import CacheResult, replay
from moe.traces import Trace
from moe.traffic.measure import without_templates
from moe.traffic.tables import load_table

from .real_routing import ESFT, v2_lite_trace, written_if_asked

SLOTS = (4, 8, 12, 16, 24, 32, 48, 64)
# Tokens at the beginning of each document that choose alike in a task's documents: its prompt.
PROMPTS = load_table("v2-lite").template
ORIGIN = (
    "source: github.com/deepseek-ai/ESFT, results/expert_scores/*/expert_weights_*.txt",
    f"commit: {ESFT['commit']}",
    f"licence: {ESFT['licence']}",
    "command: python -m benchmarks.expert_cache FOLDER --write",
    "content: counts over 26 layers; the task's prompt, which begins each document, is left out; "
    "a task's first half is the past, and its second half is replayed",
)
# A review of the same data, by other programs: lowest and highest task, 16 of 64 slots.
REVIEW = {
    "lru": (0.45, 0.54), "pinned": (0.46, 0.66), "pinned_other": (0.25, 0.31),
    "belady": (0.69, 0.77),
}  # fmt: skip


def without_prompts(trace: Trace) -> Trace:
    """The trace without the prompts that begin its documents."""
    return without_templates(trace, [PROMPTS[domain] for domain in trace.domains])


def table(results: Sequence[CacheResult]) -> str:
    """The results as csv, a row for each task, below comments that say where they are from."""
    lines = [*(f"# {line}" for line in ORIGIN), ",".join(COLUMNS)]
    for one in results:
        for t, task in enumerate(one.tasks):
            counts = (one.requests_TL, one.hits_TL, one.early_TL, one.reads_TL)
            sums = [int(one.tokens_T[t]), *(int(count_TL[t].sum()) for count_TL in counts)]
            lines.append(",".join(map(str, (one.policy, one.slots, task, *sums))))
    return "\n".join(lines) + "\n"


def compare(results: Sequence[CacheResult]) -> str:
    """The figures beside the review's."""
    lines = ["16 of 64 slots, lowest to highest task: here, and in the review"]
    for name, (low, high) in REVIEW.items():
        (rates,) = (one.hit_rate_T for one in results if (one.policy, one.slots) == (name, 16))
        lines.append(f"  {name:13} {min(rates):.1%} to {max(rates):.1%}   {low:.0%} to {high:.0%}")
    return "\n".join(lines)


def measured(folder: Path) -> tuple[str, str]:
    """What is printed, and the table."""
    trace = without_prompts(v2_lite_trace(folder))
    results = list(replay(trace, SLOTS))
    return f"{trace.describe()}\n{compare(results)}", table(results)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, compare, and write if asked to."""
    written_if_asked("expert_cache", __doc__, PATH, measured, arguments)


if __name__ == "__main__":
    main()
