"""Local search from a placement: swap copies between GPUs, or give a copy to another expert."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import check_int

LEAST_GAIN = 1e-9  # of the largest load: rounding must not look like progress


def improve_placement(
    weight_LE: Any,
    phy2log: np.ndarray,
    num_nodes: int,
    num_gpus: int,
    max_moves: int = 1000,
    restarts: int = 0,
    seed: int = 0,
) -> np.ndarray:
    """Lower each layer's largest GPU load, move by move, until no single move helps.

    A move takes the heaviest GPU and either swaps one of its copies with one elsewhere on the
    node, or turns an expert's spare copy on the node into one more copy of one of its experts.
    Every GPU keeps its number of slots, every expert its node and at least one copy.

    Parameters
    ----------
    weight_LE
        Loads, (L, E).
    phy2log
        Placement to start from, (L, R); a new array is returned.
    num_nodes
        Parts that experts may not leave; 1 lets them go anywhere.
    num_gpus
        GPUs in all nodes together.
    max_moves
        Limit per layer, node and start.
    restarts
        Further starts: every expert once, the other copies drawn by load, all in random slots.
        The best is kept; of equal ones, that with fewer experts twice on one GPU.
    seed
        Of the draws; the same seed gives the same placement.

    Returns
    -------
    (L, R), whose largest GPU load is never above the start's.
    """
    check_int("max_moves", max_moves, 0)
    check_int("restarts", restarts, 0)
    check_int("seed", seed, 0)
    weight_LE = np.asarray(weight_LE, np.float64)
    better = np.array(phy2log, np.int64)
    n_layers, n_slots = better.shape
    check_int("num_gpus", num_gpus, 1, n_slots)
    check_int("num_nodes", num_nodes, 1, num_gpus)
    gpus, slots = num_gpus // num_nodes, n_slots // num_nodes
    for layer in range(n_layers):
        for node in range(num_nodes):
            part = better[layer, node * slots : (node + 1) * slots].reshape(gpus, -1)
            _improve(weight_LE[layer], part, max_moves)
            for start in range(restarts):
                if _at_mean(weight_LE[layer], part) and not doubled(part).any():
                    break
                rng = np.random.default_rng((seed, layer, node, start))
                other = _random_start(weight_LE[layer], part, rng)
                _improve(weight_LE[layer], other, max_moves)
                if _is_better(weight_LE[layer], other, part):
                    part[:] = other
    return better


def _random_start(
    weight_E: np.ndarray, expert_GS: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The node's experts in other slots, and with other numbers of copies."""
    ids = np.unique(expert_GS)
    load = np.maximum(weight_E[ids], 0)
    chance = load / load.sum() if load.sum() > 0 else None
    extra = rng.choice(ids, expert_GS.size - len(ids), p=chance)
    return rng.permutation(np.concatenate([ids, extra])).reshape(expert_GS.shape)


def _loads(weight_E: np.ndarray, expert_GS: np.ndarray) -> np.ndarray:
    """Load of each GPU of a node, (G,)."""
    count_E = np.maximum(np.bincount(expert_GS.ravel(), minlength=len(weight_E)), 1)
    return np.asarray((weight_E / count_E)[expert_GS].sum(axis=1))


def _at_mean(weight_E: np.ndarray, expert_GS: np.ndarray) -> bool:
    """Whether all GPUs have the same load, so that nothing is left to gain."""
    load_G = _loads(weight_E, expert_GS)
    return bool(load_G.max() <= load_G.mean() + LEAST_GAIN * abs(load_G.mean()))


def _is_better(weight_E: np.ndarray, new_GS: np.ndarray, old_GS: np.ndarray) -> bool:
    """Whether the largest load is lower, or of equal ones fewer experts twice on one GPU."""
    new, old = (float(_loads(weight_E, expert_GS).max()) for expert_GS in (new_GS, old_GS))
    if abs(new - old) > LEAST_GAIN * abs(old):
        return new < old
    return int(doubled(new_GS).sum()) < int(doubled(old_GS).sum())


def doubled(expert_GS: np.ndarray) -> np.ndarray:
    """Experts of which a GPU has two copies or more, per GPU, (..., G)."""
    sorted_GS = np.sort(expert_GS, axis=-1)
    again = sorted_GS[..., 1:] == sorted_GS[..., :-1]
    # An expert with three copies is there twice, too, but is one expert.
    first = again & ~np.concatenate([np.zeros_like(again[..., :1]), again[..., :-1]], axis=-1)
    return np.asarray(first.sum(axis=-1))


def _improve(weight_E: np.ndarray, expert_GS: np.ndarray, max_moves: int) -> None:
    """Improve one node's slots, (G, S), in place."""
    n_gpus, n_slots = expert_GS.shape
    ids, local = np.unique(expert_GS, return_inverse=True)
    weight_E = weight_E[ids]
    slot_GS = local.reshape(n_gpus, n_slots)
    copies_GE = np.zeros((n_gpus, len(ids)))
    np.add.at(copies_GE, (np.arange(n_gpus)[:, None], slot_GS), 1.0)
    for _ in range(max_moves):
        count_E = copies_GE.sum(axis=0)
        share_E = weight_E / count_E
        load_G = copies_GE @ share_E
        hot = int(load_G.argmax())
        bound = load_G[hot] - LEAST_GAIN * abs(load_G[hot])
        move = _best_swap(share_E[slot_GS], load_G, hot, bound) or _best_copy(
            weight_E, slot_GS, copies_GE, count_E, hot, bound
        )
        if move is None:
            break
        for gpu, slot, expert in move if len(move) == 1 else _swapped(move, slot_GS):
            copies_GE[gpu, slot_GS[gpu, slot]] -= 1
            copies_GE[gpu, expert] += 1
            slot_GS[gpu, slot] = expert
    expert_GS[:] = ids[slot_GS]


def _swapped(move: list[tuple[int, int, int]], slot_GS: np.ndarray) -> list[tuple[int, int, int]]:
    (a, i, _), (b, j, _) = move
    return [(a, i, int(slot_GS[b, j])), (b, j, int(slot_GS[a, i]))]


def _best_swap(
    share_GS: np.ndarray, load_G: np.ndarray, hot: int, bound: float
) -> list[tuple[int, int, int]] | None:
    """The swap with the heaviest GPU that leaves the two lightest, if it lowers the load."""
    change_SGS = share_GS[hot][:, None, None] - share_GS[None]
    worst_SGS = np.maximum(load_G[hot] - change_SGS, load_G[:, None] + change_SGS)
    worst_SGS[:, hot] = np.inf
    best = int(worst_SGS.argmin())
    if not worst_SGS.flat[best] < bound:
        return None
    mine, gpu, theirs = (int(i) for i in np.unravel_index(best, worst_SGS.shape))
    return [(hot, mine, -1), (gpu, theirs, -1)]


def _best_copy(
    weight_E: np.ndarray,
    slot_GS: np.ndarray,
    copies_GE: np.ndarray,
    count_E: np.ndarray,
    hot: int,
    bound: float,
) -> list[tuple[int, int, int]] | None:
    """A spare copy of another expert becomes one more copy of the heaviest GPU's experts."""
    gpu_M, slot_M = np.nonzero(count_E[slot_GS] > 1)
    old_M = slot_GS[gpu_M, slot_M]
    best, move = bound, None
    load_G = copies_GE @ (weight_E / count_E)
    for new in np.unique(slot_GS[hot]):
        less = weight_E[new] / count_E[new] - weight_E[new] / (count_E[new] + 1)
        more_M = weight_E[old_M] / np.maximum(count_E[old_M] - 1, 1) - (
            weight_E[old_M] / count_E[old_M]
        )
        load_MG = load_G - less * copies_GE[:, new] + more_M[:, None] * copies_GE[:, old_M].T
        moves = np.arange(len(old_M))
        load_MG[moves, gpu_M] += weight_E[new] / (count_E[new] + 1) - (
            weight_E[old_M] / np.maximum(count_E[old_M] - 1, 1)
        )
        load_MG[old_M == new] = np.inf
        worst_M = load_MG.max(axis=1) if len(old_M) else np.array([np.inf])
        at = int(worst_M.argmin())
        if worst_M[at] < best:
            best, move = float(worst_M[at]), [(int(gpu_M[at]), int(slot_M[at]), int(new))]
    return move
