"""The order in which PyTorch sorts equal weights and adds, so that placements equal the published.

The published placement is a greedy method: which of two equally loaded experts comes first decides
where all later ones go, and so does the last bit of a sum. To return the same placement as
DeepSeek's EPLB for every load, ties and rounding have to follow the library that it runs on. These
are the rules of PyTorch's CPU kernels (2.13; the same for every instruction set): `sort` without
`stable` is libstdc++'s `std::sort`, and `sum` adds in eight lanes.
"""

from __future__ import annotations

import numpy as np

SMALL = 16  # std::sort leaves shorter stretches to insertion, which keeps the order of equals
LANES = 8


def descending_order(weight_XN: np.ndarray) -> np.ndarray:
    """Indices that sort each row, largest first, equals as `std::sort` leaves them, (X, N)."""
    order_XN = np.argsort(-weight_XN, axis=1, kind="stable")
    if weight_XN.shape[1] <= SMALL:
        return order_XN
    sorted_XN = np.take_along_axis(weight_XN, order_XN, axis=1)
    for row in np.flatnonzero((sorted_XN[:, 1:] == sorted_XN[:, :-1]).any(axis=1)):
        order_XN[row] = std_sort(weight_XN[row].tolist())
    return order_XN


def std_sort(weights: list[float]) -> list[int]:
    """Order of libstdc++'s `std::sort`, largest first: introsort, then insertion."""
    items = [(-weight, index) for index, weight in enumerate(weights)]
    _introsort(items, 0, len(items), 2 * (len(items).bit_length() - 1))
    # Insertion keeps equals in their order, and so does a stable sort of what partitions left.
    return [index for _, index in sorted(items, key=lambda item: item[0])]


def _introsort(items: list[tuple[float, int]], first: int, last: int, depth: int) -> None:
    while last - first > SMALL:
        if depth == 0:
            _heap_sort(items, first, last)
            return
        depth -= 1
        cut = _partition(items, first, last)
        _introsort(items, cut, last, depth)
        last = cut


def _partition(items: list[tuple[float, int]], first: int, last: int) -> int:
    a, b, c = first + 1, first + (last - first) // 2, last - 1
    x, y, z = items[a][0], items[b][0], items[c][0]
    if y <= x:
        x, y, a, b = y, x, b, a
    middle = b if y < z else c if x < z else a
    items[first], items[middle] = items[middle], items[first]
    pivot, left, right = items[first][0], first + 1, last
    while True:
        while items[left][0] < pivot:
            left += 1
        right -= 1
        while pivot < items[right][0]:
            right -= 1
        if left >= right:
            return left
        items[left], items[right] = items[right], items[left]
        left += 1


def _heap_sort(items: list[tuple[float, int]], first: int, last: int) -> None:
    heap = items[first:last]
    for parent in range((len(heap) - 2) // 2, -1, -1):
        _sift(heap, parent, len(heap), heap[parent])
    for end in range(len(heap) - 1, 0, -1):
        value, heap[end] = heap[end], heap[0]
        _sift(heap, 0, end, value)
    items[first:last] = heap


def _sift(heap: list[tuple[float, int]], hole: int, size: int, value: tuple[float, int]) -> None:
    top, child = hole, hole
    while child < (size - 1) // 2:
        child = 2 * (child + 1)
        if heap[child][0] < heap[child - 1][0]:
            child -= 1
        heap[hole], hole = heap[child], child
    if size % 2 == 0 and child == (size - 2) // 2:
        child = 2 * child + 1
        heap[hole], hole = heap[child], child
    while hole > top and heap[(hole - 1) // 2][0] < value[0]:
        heap[hole] = heap[(hole - 1) // 2]
        hole = (hole - 1) // 2
    heap[hole] = value


def lane_sum(values: np.ndarray) -> np.ndarray:
    """Sum over the last axis in float32, in the order in which PyTorch's CPU kernel adds."""
    n = values.shape[-1]
    if n < LANES:
        return _row_sum(np.moveaxis(values, -1, 0))
    whole = n - n % LANES
    lanes = np.moveaxis(values[..., :whole].reshape(*values.shape[:-1], -1, LANES), -2, 0)
    parts = _row_sum(lanes)
    total = np.zeros(values.shape[:-1], np.float32)
    for i in range(whole, n):
        total = total + values[..., i]
    for lane in range(LANES):
        total = total + parts[..., lane]
    return total


def _row_sum(rows: np.ndarray) -> np.ndarray:
    """Sum over the first axis: four running sums, then what is left, then the four."""
    whole = len(rows) - len(rows) % 4
    sums = _cascade(rows[:whole].reshape(whole // 4, 4, *rows.shape[1:]))
    for row in rows[whole:]:
        sums[0] = sums[0] + row
    return ((sums[0] + sums[1]) + sums[2]) + sums[3]


def _cascade(rows: np.ndarray) -> np.ndarray:
    """Sum over the first axis: every 16 rows a level's sum moves to the level above."""
    levels = [np.zeros(rows.shape[1:], np.float32) for _ in range(4)]
    power = max(4, max(1, (max(len(rows), 1) - 1).bit_length()) // 4)
    step = 1 << power
    for i, row in enumerate(rows, 1):
        levels[0] = levels[0] + row
        if i % step == 0:
            for level in range(1, 4):
                levels[level] = levels[level] + levels[level - 1]
                levels[level - 1] = np.zeros_like(row)
                if i & ((step - 1) << (level * power)):
                    break
    return ((levels[0] + levels[1]) + levels[2]) + levels[3]
