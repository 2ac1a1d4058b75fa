"""Least-loaded expert parallelism: what is too much for one GPU goes to the idlest, weights too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import check_int
from ..settings import Settings, option

MOST_ROWS = 2**40  # assignments of a batch: counts and shares of them stay exact


@dataclass(frozen=True)
class LeastLoaded(Settings):
    """LLEP's settings; their defaults are those of the published program and its example.

    Parameters
    ----------
    capacity
        Most assignments of a GPU, in fair shares.
    least_rows
        Fewest that are worth a matrix product on another GPU, unless they are all that is left.
    threshold
        Nothing is sent as long as the fullest GPU has fewer fair shares.
    """

    capacity: float = option(1.1, "Most assignments of a GPU, in fair shares.", low=1.0)
    least_rows: int = option(1024, "Fewest assignments worth sending.", low=1)
    threshold: float = option(1.3, "Fair shares from which on anything is sent.", low=1.0)


@dataclass(frozen=True)
class Spilled:
    """Where the assignments of one batch and layer are computed.

    Attributes
    ----------
    load_G
        Assignments that each GPU computes.
    moved
        Weights that are sent: (expert, from GPU, to GPU).
    """

    load_G: np.ndarray
    moved: tuple[tuple[int, int, int], ...]

    def most_moved(self, n_gpus: int) -> int:
        """Most experts that one GPU sends or gets; links carry both directions at once."""
        ends = np.array(self.moved, np.int64).reshape(-1, 3)[:, 1:]
        return int(max(np.bincount(ends[:, end], minlength=n_gpus).max() for end in (0, 1)))


def spill(load_E: np.ndarray, n_gpus: int, settings: LeastLoaded | None = None) -> Spilled:
    """Send what exceeds a GPU's capacity to the GPUs that have least to do.

    Experts live in equal blocks of neighbours. They are taken from the largest load to the
    smallest. Each stays at home as far as there is room beside what is still to come there, and
    what is left goes to the GPU with the least, as far as that has room; if none has, to the one
    with the least.

    Parameters
    ----------
    load_E
        Assignments of each expert in one batch, whole numbers.
    n_gpus
        GPUs, which divide the experts.

    Raises
    ------
    ValueError
        If the GPUs do not divide the experts, or loads are no whole numbers of assignments.

    Notes
    -----
    Source: arXiv 2601.17111; github.com/SalesforceAIResearch/LeastLoadedEP, commit 0349746,
    llep/gpt_oss_llep.py, `compute_llep_lpt_plan` (Apache-2.0).

    Examples
    --------
    >>> spill(np.array([80, 0, 10, 10]), 2, LeastLoaded(capacity=1.0, least_rows=1))
    Spilled(load_G=array([50, 50]), moved=((0, 0, 1),))
    """
    settings = settings or LeastLoaded()
    load_E = _whole_loads(load_E)
    check_int("n_gpus", n_gpus, 1, len(load_E), f"there are {len(load_E)} experts")
    if len(load_E) % n_gpus:
        raise ValueError(f"n_gpus: got {n_gpus}, allowed is a divisor of {len(load_E)} experts")
    here = len(load_E) // n_gpus
    waiting_G = load_E.reshape(n_gpus, here).sum(axis=1)
    if waiting_G.max() * n_gpus < settings.threshold * load_E.sum():
        return Spilled(waiting_G, ())
    room = max(int(settings.capacity * (int(load_E.sum()) // n_gpus)), 1)
    done_G = np.zeros(n_gpus, np.int64)
    moved: list[tuple[int, int, int]] = []
    for expert in np.argsort(-load_E, kind="stable").tolist():
        home, left = expert // here, int(load_E[expert])
        if not left:
            continue
        waiting_G[home] -= left
        stays = min(left, room - int(done_G[home] + waiting_G[home]))
        if stays > 0:
            done_G[home] += stays
            left -= stays
        # A home without room ranks the others once; one with some asks again after each part.
        ranked, first = [], home
        while left:
            if stays > 0 or first == home:
                ranked = _others(done_G + waiting_G, home)
                first = ranked[0]
            helper, part = _helper(ranked, done_G + waiting_G, room, left, settings.least_rows)
            helper, part = (first, left) if part == 0 else (helper, part)
            ranked = ranked[ranked.index(helper) + 1 :] if helper in ranked else []
            done_G[helper] += part
            left -= part
            moved.append((expert, home, helper))
    return Spilled(done_G, tuple(moved))


def _whole_loads(load_E: np.ndarray) -> np.ndarray:
    """Loads as int64: floats that hold whole numbers, as batches have them, are allowed."""
    array = np.asarray(load_E)
    fits = array.ndim == 1 and array.size and array.dtype.kind in "iuf"
    if not fits or not (array.min() >= 0 and array.sum(dtype=np.float64) <= MOST_ROWS):
        raise ValueError(
            f"load_E: got {array.dtype} of shape {array.shape}, allowed are numbers of assignments "
            f"from 0, (experts,), at most {MOST_ROWS} in all"
        )
    if (array % 1).any():
        raise ValueError("load_E: got parts of assignments, allowed are whole numbers")
    return array.astype(np.int64)


def _others(busy_G: np.ndarray, home: int) -> list[int]:
    return [gpu for gpu in np.argsort(busy_G, kind="stable").tolist() if gpu != home]


def _helper(
    ranked: list[int], busy_G: np.ndarray, room: int, left: int, least_rows: int
) -> tuple[int, int]:
    """The first GPU with room for a part that is worth sending, and that part; 0 if none has."""
    for gpu in ranked:
        part = min(left, room - int(busy_G[gpu]))
        if part > 0 and (part >= least_rows or part == left):
            return gpu, part
    return -1, 0
