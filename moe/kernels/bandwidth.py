"""Reading memory as fast as possible: the other roof of the roofline."""

from __future__ import annotations

import numpy as np

from .backend import choose, njit
from .costs import NUMBER_NS
from .threads import run_items, take_item

CHUNK = 1 << 18


def read_all_oracle(values: np.ndarray) -> float:
    """Sum of a flat float32 array: each number is read once."""
    return float(values.sum(dtype=np.float64))


def _read_items(queue, n_items, values, total_I):
    item = take_item(queue)
    while item < n_items:
        low, high = item * CHUNK, min((item + 1) * CHUNK, values.size)
        half = (high - low) // 2
        # Slices, since loops over an index that may be negative are not vectorised; two of them, so
        # that two sums run side by side.
        first, second = values[low : low + half], values[low + half : low + 2 * half]
        sums = np.float32(0)
        others = np.float32(0)
        for i in range(half):
            sums += first[i]
            others += second[i]
        if low + 2 * half < high:
            others += values[high - 1]
        total_I[item] = np.float64(sums) + np.float64(others)
        item = take_item(queue)


read_items = njit(_read_items, reorder=True)


def _read_all_fast(values: np.ndarray) -> float:
    total_I = np.zeros(-(-values.size // CHUNK))
    run_items(read_items, total_I.size, NUMBER_NS["read_all"] * values.size, values, total_I)
    return float(total_I.sum())


read_all = choose(read_all_oracle, _read_all_fast)
