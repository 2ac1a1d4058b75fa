"""Work items of the experts' kernels: who computes what, in which order.

Items shrink toward the end, so that all threads end together; no bit depends on how work is cut.
`python -m benchmarks.constants items.SHORT 48 192` times other values of a constant.
"""

from __future__ import annotations

import numpy as np

from .backend import njit
from .width import ROWS

TALL, SHORT = 320 // ROWS * ROWS, 96  # most and fewest slots of an item, in whole tiles
TURNS = 1  # an item is at most the slots that are left, shared out to the threads TURNS times
WIDE = 512  # columns of a weight gradient's item
TILE, UP, DOWN = range(3)  # kinds of items of the backward pass
LAG = 2  # experts between an expert's tiles and the gradients of its matrices


@njit
def tiles(expert_start_E1, threads):
    """Items (expert, first slot, end slot) in whole tiles, for experts that have any slots.

    The fewer slots are left, the smaller the items.
    """
    n_slots = expert_start_E1[-1]
    n_most = expert_start_E1.size - 1 + n_slots // SHORT
    item_I3 = np.empty((n_most, 3), np.int64)
    item = 0
    for e in range(expert_start_E1.size - 1):
        low, end = expert_start_E1[e], expert_start_E1[e + 1]
        while low < end:
            tall = max(SHORT, min(TALL, (n_slots - low) // (TURNS * threads)))
            n_tiles = -(-(end - low) // ROWS)
            parts = -(-n_tiles // (tall // ROWS))
            high = min(end, low + -(-n_tiles // parts) * ROWS)
            item_I3[item, 0], item_I3[item, 1], item_I3[item, 2] = e, low, high
            low = high
            item += 1
    return item_I3[:item]


@njit
def backward_queue(expert_start_E1, n_first, n_model, threads):
    """Items (expert, kind, from, to) of the backward pass, and how many tiles each expert has.

    The matrices of an expert come soon after its tiles, while their results are in the cache, and
    LAG experts later, so that hardly anybody waits.
    """
    n_experts = expert_start_E1.size - 1
    tile_I3 = tiles(expert_start_E1, threads)
    tiles_E, first_E = np.zeros(n_experts, np.int64), np.zeros(n_experts, np.int64)
    for item in range(len(tile_I3)):
        tiles_E[tile_I3[item, 0]] += 1
    n_busy = 0
    for e in range(n_experts):
        n_busy += tiles_E[e] > 0
        if e > 0:
            first_E[e] = first_E[e - 1] + tiles_E[e - 1]
    n_matrices = 2 * (-(-n_first // WIDE) + -(-n_model // WIDE))
    item_I4 = np.empty((len(tile_I3) + n_busy * n_matrices, 4), np.int64)
    item = 0
    for turn in range(n_experts + LAG):
        if turn < n_experts:
            for tile in range(first_E[turn], first_E[turn] + tiles_E[turn]):
                item_I4[item, 0], item_I4[item, 1] = turn, TILE
                item_I4[item, 2], item_I4[item, 3] = tile_I3[tile, 1], tile_I3[tile, 2]
                item += 1
        e = turn - LAG
        if e < 0 or tiles_E[e] == 0:
            continue
        wide = WIDE // 2 if e + threads >= n_experts else WIDE  # small ones come last
        for kind, width in ((UP, n_first), (DOWN, n_model)):
            for left in range(0, width, wide):
                item_I4[item, 0], item_I4[item, 1] = e, kind
                item_I4[item, 2], item_I4[item, 3] = left, min(left + wide, width)
                item += 1
    return item_I4[:item], tiles_E
