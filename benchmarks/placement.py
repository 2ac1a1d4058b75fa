"""What placements make of DeepSeek-V2-Lite's loads by task, counted from the routing itself.

`python -m benchmarks.placement FOLDER` reads the routing from a folder as in `real_routing.py`,
says whether its loads are those of the table that ships, and prints the matrix beside a review's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moe.cluster.placed_for import loads_by_task, placed_for, published_loads
from moe.cluster.rebalancing import Moving, batch_loads, streams

from .expert_cache import without_prompts
from .real_routing import v2_lite_trace

GPUS, REPLICAS = 8, 72
BATCH, EVERY = 512, (1, 4, 16)  # tokens, and batches between placements
# A review of the same data, by other programs: 8 GPUs, 72 copies, mean of 26 layers.
REVIEW = (
    "own task 1.00 to 1.01, another task 1.37 to 1.68, all tasks 1.31 to 1.37, plain order 1.39 to "
    "1.69 (that one with prompts)"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, and compare."""
    parser = argparse.ArgumentParser("python -m benchmarks.placement", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder as in real_routing.py")
    asked = parser.parse_args(arguments)
    trace = without_prompts(v2_lite_trace(asked.folder))
    loads = loads_by_task(trace)
    same = np.array_equal(loads.load_TLE, published_loads().load_TLE)
    print(f"loads {'as in' if same else 'other than in'} the table that ships")
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
