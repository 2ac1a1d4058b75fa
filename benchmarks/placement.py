"""Loads of DeepSeek-V2-Lite's experts by task, as the table that ships, and what placements make.

`python -m benchmarks.placement FOLDER` reads `deepseek-v2-lite-esft-full.npz` there, writes
`moe/cluster/deepseek-v2-lite.csv`, and prints the matrix of placements beside a review's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from moe.cluster.placed_for import PATH, TaskLoads, loads_by_task, placed_for
from moe.cluster.rebalancing import Moving, batch_loads, streams
from moe.traces import LOCAL_BYTES, load_trace

from .expert_cache import FILE, ORIGIN, without_prompts

GPUS, REPLICAS = 8, 72
BATCH, EVERY = 512, (1, 4, 16)  # tokens, and batches between placements
CONTENT = (
    f"command: python -m benchmarks.placement FOLDER, which holds {FILE}",
    "content: tokens of each task that chose each expert, by layer; the prompt that begins each "
    "document of a task is left out",
)
# A review of the same data, by other programs: 8 GPUs, 72 copies, mean of 26 layers.
REVIEW = (
    "own task 1.00 to 1.01, another task 1.37 to 1.68, all tasks 1.31 to 1.37, plain order 1.39 to "
    "1.69 (that one with prompts)"
)


def table(loads: TaskLoads, layers: Sequence[int]) -> str:
    """The loads as csv, a row per task and layer, below comments that say where they are from."""
    experts = range(loads.load_TLE.shape[2])
    head = ",".join(["task", "layer", *map(str, experts)])
    lines = [*(f"# {line}" for line in (*ORIGIN[:3], *CONTENT)), head]
    for task, load_LE in zip(loads.tasks, loads.load_TLE.astype(int).tolist(), strict=True):
        for layer, load_E in zip(layers, load_LE, strict=True):
            lines.append(",".join(map(str, (task, layer, *load_E))))
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, write, and compare."""
    parser = argparse.ArgumentParser("python -m benchmarks.placement", description=__doc__)
    parser.add_argument("folder", type=Path, help=f"the folder that holds {FILE}")
    parser.add_argument("--out", type=Path, default=PATH, help="where the table is written")
    asked = parser.parse_args(arguments)
    trace = without_prompts(load_trace(asked.folder / FILE, LOCAL_BYTES))
    loads = loads_by_task(trace)
    asked.out.write_text(table(loads, trace.layers), "utf-8")
    matrix = placed_for(loads, loads, REPLICAS, gpus=GPUS)
    for row in matrix.rows():
        name, *cells = row.values()
        print(f"{name:20}", *(f"{cell:.3f}" for cell in cells))
    print(f"review: {REVIEW}")
    batches_BLE = batch_loads(trace, min(BATCH, trace.n_tokens))
    print(f"tasks one after another, {len(batches_BLE)} batches of {BATCH} tokens:")
    for one in streams(batches_BLE, matrix.phy2log_PLR[0], EVERY, Moving()):
        print(f"{one.way:20} {one.uneven:.3f}, {one.moved:,} experts moved, {one.total_s:.3f} s")


if __name__ == "__main__":
    main()
