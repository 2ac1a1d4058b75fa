"""Expert placement: which experts get a second copy, and on which GPU each copy lives."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import check_choice, check_int
from .packing import balanced_packing
from .torch_order import lane_sum

METHODS = ("eplb", "search")
MOST_REPLICAS = 2**20  # of a layer: 256 experts on each of 4,096 GPUs
Maps = tuple[np.ndarray, np.ndarray, np.ndarray]


def rebalance_experts(
    weight_LE: Any,
    num_replicas: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    method: str = "eplb",
    restarts: int = 0,
    seed: int = 0,
) -> Maps:
    """Place experts and their redundant copies on GPUs by their loads.

    Equal to DeepSeek's EPLB, ties and rounding included. If nodes divide groups, groups are
    packed to nodes and experts copied within their node (hierarchical); otherwise groups and
    nodes are ignored (global). Copies go one at a time to the expert with the largest load per
    copy; packs fill heaviest first.

    Parameters
    ----------
    weight_LE
        Load of each expert in each layer, (L, E), finite; tokens or any unit. Used in float32.
    num_replicas
        Copies of experts in all, R, per layer: a multiple of `num_gpus`, at least E and at most
        `MOST_REPLICAS`.
    num_groups, num_nodes, num_gpus
        Groups of experts (consecutive, equal), nodes, and GPUs in all nodes together.
    method
        'eplb' as published; 'search' improves that with `improve_placement`.
    restarts, seed
        Further random starts of the search, of which the best is kept, and their seed.

    Returns
    -------
    phy2log
        (L, R): the expert in each slot; slots of a GPU, and GPUs of a node, lie side by side.
    log2phy
        (L, E, X): the slots of each expert, -1 where it has fewer than X copies.
    logcnt
        (L, E): copies of each expert. All int64.

    Raises
    ------
    ValueError
        If a number does not divide as it must, or loads are not a finite (L, E) table.

    Notes
    -----
    Source: github.com/deepseek-ai/EPLB, eplb.py (MIT).

    Examples
    --------
    >>> import moe
    >>> phy2log, log2phy, logcnt = moe.rebalance_experts([[90, 10, 20, 40]], 6, 1, 1, 2)
    >>> phy2log.tolist(), logcnt.tolist()
    ([[3, 0, 1, 0, 0, 2]], [[3, 1, 1, 1]])
    """
    check_choice("method", method, METHODS)
    weight_LE = check_loads(weight_LE)
    blocks = check_sizes(weight_LE.shape[1], num_replicas, num_groups, num_nodes, num_gpus)
    groups = num_groups if num_groups % num_nodes == 0 else 1
    phy2log, rank_LR, logcnt = _hierarchical(weight_LE, num_replicas, groups, blocks, num_gpus)
    if method == "search":
        from .eplb_search import improve_placement

        better = improve_placement(
            weight_LE, phy2log, blocks, num_gpus, restarts=restarts, seed=seed
        )
        return maps(better, weight_LE.shape[1])
    return phy2log, _slots(phy2log, rank_LR, logcnt), logcnt


def maps(phy2log: np.ndarray, n_experts: int) -> Maps:
    """`rebalance_experts`'s three arrays from the first, copies ranked by their slots."""
    n_layers, n_slots = phy2log.shape
    logcnt = np.zeros((n_layers, n_experts), np.int64)
    rank_LR = np.empty((n_layers, n_slots), np.int64)
    layers = np.arange(n_layers)
    for slot in range(n_slots):
        rank_LR[:, slot] = logcnt[layers, phy2log[:, slot]]
        logcnt[layers, phy2log[:, slot]] += 1
    return phy2log, _slots(phy2log, rank_LR, logcnt), logcnt


def gpu_loads(weight_LE: Any, phy2log: np.ndarray, num_gpus: int) -> np.ndarray:
    """Load of each GPU under a placement (L, R), (L, G): copies share an expert's load evenly."""
    weight_LE = np.asarray(weight_LE, np.float64)
    n_layers, n_slots = phy2log.shape
    count_LE = np.stack([np.bincount(row, minlength=weight_LE.shape[1]) for row in phy2log])
    share_LR = np.take_along_axis(weight_LE / np.maximum(count_LE, 1), phy2log, axis=1)
    return np.asarray(share_LR.reshape(n_layers, num_gpus, n_slots // num_gpus).sum(axis=2))


def max_over_mean(load_LG: np.ndarray) -> np.ndarray:
    """Largest GPU load over the mean, (L,): all wait for the largest. 1 without load."""
    mean_L = load_LG.mean(axis=1)
    return np.divide(load_LG.max(axis=1), mean_L, out=np.ones_like(mean_L), where=mean_L > 0)


def least_max_over_mean(
    weight_LE: Any, num_replicas: int, num_nodes: int, num_gpus: int
) -> np.ndarray:
    """What no placement's `max_over_mean` can be below, (L,): 1, or the hottest expert's share.

    Its load is on at most as many GPUs as its node has, and as it has copies when each other expert
    of the node has one; `num_nodes` counts the parts that experts may not leave.
    """
    weight_LE = np.asarray(weight_LE, np.float64)
    most_copies = (num_replicas - weight_LE.shape[1]) // num_nodes + 1
    mean_L = weight_LE.sum(axis=1) / num_gpus
    share_L = weight_LE.max(axis=1) / min(most_copies, num_gpus // num_nodes)
    least_L = np.divide(share_L, mean_L, out=np.ones_like(mean_L), where=mean_L > 0)
    return np.maximum(least_L, 1.0)


def check_loads(weight_LE: Any) -> np.ndarray:
    """Return loads as a finite float32 table, or raise ValueError."""
    try:
        with np.errstate(over="ignore"):
            table = np.asarray(weight_LE).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"weight_LE: got {error}, allowed are numbers, (layers, experts)"
        ) from None
    if table.ndim != 2 or table.size == 0:
        raise ValueError(
            f"weight_LE: got shape {table.shape}, allowed is (layers, experts), at least (1, 1)"
        )
    if not np.isfinite(table).all():
        raise ValueError("weight_LE: got NaN or infinity in float32, allowed are finite loads")
    return np.ascontiguousarray(table)


def check_sizes(
    n_experts: int, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
) -> int:
    """Check the sizes; return the parts that experts may not leave (nodes, or 1 if global)."""
    for name, value in (("num_groups", num_groups), ("num_nodes", num_nodes)):
        check_int(name, value, 1)
    check_int("num_gpus", num_gpus, 1)
    most = max(MOST_REPLICAS, n_experts)
    check_int("num_replicas", num_replicas, n_experts, most, f"there are {n_experts} experts")
    _check_divides("num_replicas", num_replicas, "num_gpus", num_gpus)
    if num_groups % num_nodes:
        return 1
    _check_divides("experts", n_experts, "num_groups", num_groups)
    _check_divides("num_gpus", num_gpus, "num_nodes", num_nodes)
    return num_nodes


def _check_divides(name: str, value: int, by_name: str, by: int) -> None:
    if value % by:
        raise ValueError(f"{name}: got {value}, allowed are multiples of {by_name}, {by}")


def _hierarchical(
    weight_LE: np.ndarray, n_slots: int, n_groups: int, n_nodes: int, n_gpus: int
) -> Maps:
    """Groups to nodes, copies within nodes, copies to GPUs: phy2log, its ranks, counts."""
    n_layers, n_experts = weight_LE.shape
    group, per_node = n_experts // n_groups, n_experts // n_nodes
    load_LG = lane_sum(weight_LE.reshape(n_layers, n_groups, group))
    node_LG, place_LG = balanced_packing(load_LG, n_nodes)
    first_LG = (node_LG * (n_groups // n_nodes) + place_LG) * group
    log2node = (first_LG[:, :, None] + np.arange(group)).reshape(n_layers, n_experts)
    node2log = _inverse(log2node)

    weight_BE = np.take_along_axis(weight_LE, node2log, axis=1).reshape(-1, per_node)
    expert_BR, rank_BR, count_BE = _replicate(weight_BE, n_slots // n_nodes)

    share_BE = weight_BE / count_BE.astype(np.float32)
    share_BR = np.take_along_axis(share_BE, expert_BR, axis=1)
    gpu_BR, place_BR = balanced_packing(share_BR, n_gpus // n_nodes)
    slot2copy = _inverse(gpu_BR * (n_slots // n_gpus) + place_BR)

    expert_BR = np.take_along_axis(expert_BR, slot2copy, axis=1)
    offset_N1 = np.arange(0, n_experts, per_node)[:, None]
    at_node = (expert_BR.reshape(n_layers, n_nodes, -1) + offset_N1).reshape(n_layers, n_slots)
    phy2log = np.take_along_axis(node2log, at_node, axis=1)
    rank_LR = np.take_along_axis(rank_BR, slot2copy, axis=1).reshape(n_layers, n_slots)
    logcnt = np.take_along_axis(count_BE.reshape(n_layers, n_experts), log2node, axis=1)
    return phy2log, rank_LR, logcnt


def _replicate(weight_BE: np.ndarray, n_slots: int) -> Maps:
    """Give each further copy to the expert with the largest load per copy; ties: the lowest."""
    n_rows, n_experts = weight_BE.shape
    expert_BR = np.tile(np.arange(n_slots, dtype=np.int64), (n_rows, 1))
    rank_BR = np.zeros((n_rows, n_slots), np.int64)
    count_BE = np.ones((n_rows, n_experts), np.int64)
    rows = np.arange(n_rows)
    for slot in range(n_experts, n_slots):
        heaviest = (weight_BE / count_BE.astype(np.float32)).argmax(axis=1)
        expert_BR[:, slot] = heaviest
        rank_BR[:, slot] = count_BE[rows, heaviest]
        count_BE[rows, heaviest] += 1
    return expert_BR, rank_BR, count_BE


def _inverse(order: np.ndarray) -> np.ndarray:
    """Inverse of each row's permutation."""
    inverse = np.empty_like(order)
    np.put_along_axis(inverse, order, np.arange(order.shape[1])[None], axis=1)
    return inverse


def _slots(phy2log: np.ndarray, rank_LR: np.ndarray, logcnt: np.ndarray) -> np.ndarray:
    """Slots of each expert's copies, (L, E, X), -1 where there are fewer."""
    log2phy = np.full((*logcnt.shape, int(logcnt.max())), -1, np.int64)
    layers = np.arange(len(phy2log))[:, None]
    log2phy[layers, phy2log, rank_LR] = np.arange(phy2log.shape[1])
    return log2phy
