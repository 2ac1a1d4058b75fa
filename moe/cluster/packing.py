"""Equal packs of weighted items: heaviest first, each to the lightest pack that has room."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from .torch_order import descending_order


def pack_in_order(
    weight_N: np.ndarray, order_N: np.ndarray, room_P: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Give each item, in an order, to the lightest pack that has room; the first of equal ones.

    Parameters
    ----------
    weight_N
        Weights; sums of a pack are rounded to their dtype.
    order_N
        The items, as they shall be packed.
    room_P
        How many items each pack takes, N together.

    Returns
    -------
    pack_N, rank_N
        Each item's pack and its place in it, int64.

    Notes
    -----
    Source: longest processing time first, if the heaviest item comes first (Graham 1969).
    """
    weights, rounded = weight_N.tolist(), weight_N.dtype.type
    pack_N, rank_N = np.empty((2, len(weights)), np.int64)
    lightest = [(0.0, pack) for pack, room in enumerate(room_P) if room]  # a heap
    filled = [0] * len(room_P)
    for item in order_N.tolist():
        total, pack = heapq.heappop(lightest)
        pack_N[item], rank_N[item] = pack, filled[pack]
        filled[pack] += 1
        if filled[pack] < room_P[pack]:
            heapq.heappush(lightest, (float(rounded(total + weights[item])), pack))
    return pack_N, rank_N


def balanced_packing(weight_XN: np.ndarray, n_packs: int) -> tuple[np.ndarray, np.ndarray]:
    """Pack each row's N items into equal packs, heaviest first, ties as in PyTorch.

    Returns
    -------
    pack_XN, rank_XN
        Each item's pack and its place in it, int64.
    """
    size = weight_XN.shape[1] // n_packs
    if size == 1:
        pack_XN = np.tile(np.arange(n_packs), (len(weight_XN), 1))
        return pack_XN, np.zeros_like(pack_XN)
    packed = [
        pack_in_order(weight_N, order_N, [size] * n_packs)
        for weight_N, order_N in zip(weight_XN, descending_order(weight_XN), strict=True)
    ]
    pack_XN, rank_XN = (np.stack(arrays) for arrays in zip(*packed, strict=True))
    return pack_XN, rank_XN
