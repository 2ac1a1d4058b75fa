"""Least-loaded expert parallelism against the published program, and what it has to keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe.cluster.least_loaded import LeastLoaded, spill

# What `compute_llep_lpt_plan` of SalesforceAIResearch/LeastLoadedEP, commit 0349746, returned:
# loads of experts, GPUs, capacity, fewest rows; then loads of GPUs, and weights sent.
PUBLISHED = [
    ([5, 10, 22, 12], 2, 1.0, 64, [24, 25], [(2, 1, 0), (1, 0, 1)]),
    ([5, 8, 10, 25], 4, 1.0, 1024, [13, 13, 10, 12], [(3, 3, 0), (0, 0, 1)]),
    ([22, 16, 11, 0], 4, 1.1, 64, [13, 13, 11, 12], [(0, 0, 3), (1, 1, 3)]),
    ([2, 11, 4, 10, 6, 4, 7, 2], 8, 1.5, 1024, [6, 7, 4, 7, 6, 4, 7, 5], [(1, 1, 0), (3, 3, 7)]),
    (
        [0, 6, 2, 1, 9, 4, 9, 0, 0, 3, 2, 3, 3, 0, 1, 1], 8, 1.0, 1024, [6, 5, 5, 5, 5, 5, 5, 8],
        [(4, 2, 7), (6, 3, 1), (1, 0, 4), (2, 1, 6), (14, 7, 4), (15, 7, 0)],
    ),
    (
        [4173, 57, 1602, 6738, 250, 2057, 4431, 711, 6419, 4415, 1, 105, 4796, 540, 2814, 883],
        8, 1.1, 64, [4230, 5498, 5498, 5142, 5498, 5093, 5336, 3697],
        [(3, 1, 5), (8, 4, 2), (8, 4, 5)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("load", "gpus", "capacity", "least", "loads", "moved"), PUBLISHED)
def test_it_sends_what_the_published_program_sends(
    load: list[int],
    gpus: int,
    capacity: float,
    least: int,
    loads: list[int],
    moved: list[tuple[int, int, int]],
) -> None:
    one = spill(np.array(load), gpus, LeastLoaded(capacity, least, threshold=1.0))
    assert one.load_G.tolist() == loads
    assert list(one.moved) == moved
    sent, got = (max(sum(m[end] == g for m in moved) for g in range(gpus)) for end in (1, 2))
    assert one.most_moved(gpus) == max(sent, got)


@given(
    st.lists(st.integers(0, 3000), min_size=8, max_size=8),
    st.sampled_from([1, 2, 4, 8]),
    st.floats(1.0, 2.0),
    st.sampled_from([1, 100]),
)
def test_every_assignment_is_computed_once_and_nobody_gets_fuller_than_the_fullest(
    load: list[int], gpus: int, capacity: float, least: int
) -> None:
    load_E = np.array(load)
    at_home = load_E.reshape(gpus, -1).sum(axis=1)
    one = spill(load_E, gpus, LeastLoaded(capacity, least, threshold=1.0))
    assert one.load_G.sum() == load_E.sum()
    assert (one.load_G >= 0).all()
    for expert, home, helper in one.moved:
        assert home == expert // (8 // gpus) != helper
    if least == 1 and load_E.sum():
        # Rounding down may leave less room than there is work: all of it goes to one GPU.
        assert one.load_G.max() <= max(capacity * load_E.sum() / gpus, 1) + gpus
    calm = spill(load_E, gpus, LeastLoaded(capacity, least, threshold=float(gpus) + 0.1))
    if load_E.sum():
        assert calm.load_G.tolist() == at_home.tolist()
        assert calm.moved == ()


@pytest.mark.parametrize(
    ("load", "gpus", "message"),
    [
        ([1, 2, 3], 2, "n_gpus: got 2, allowed is a divisor of 3 experts"),
        ([1, 2], 4, r"n_gpus: got 4, allowed is a whole number in 1..2 \(there are 2 experts\)"),
        ([1, 2], 0, "n_gpus: got 0"),
        ([], 1, r"load_E: got float64 of shape \(0,\)"),
        ([[1, 2]], 1, "load_E: got int64 of shape"),
        ([1, -2], 1, "load_E: got int64"),
        ([1.0, np.nan], 1, "load_E: got float64"),
        ([1.0, np.inf], 1, "load_E: got float64"),
        ([2**40, 1], 1, "at most 1099511627776 in all"),
        ([1.5, 2.0], 1, "load_E: got parts of assignments, allowed are whole numbers"),
        (["one"], 1, "load_E: got <U3"),
    ],
)
def test_what_is_no_load_of_these_gpus_is_named(load: list, gpus: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spill(np.array(load), gpus)


def test_without_assignments_nothing_moves_and_one_gpu_keeps_the_most_there_can_be() -> None:
    idle = spill(np.zeros(4), 2)
    assert idle.load_G.tolist() == [0, 0] and idle.moved == () and idle.most_moved(2) == 0
    alone = spill(np.array([2**40 - 1, 1]), 1, LeastLoaded(1.0, 1, threshold=1.0))
    assert alone.load_G.tolist() == [2**40] and alone.moved == ()


def test_below_the_threshold_nothing_is_sent() -> None:
    load_E = np.array([1290, 1000, 1000, 710])
    assert spill(load_E, 4, LeastLoaded(1.0, 1, threshold=1.3)).moved == ()
    assert spill(load_E, 4, LeastLoaded(1.0, 1, threshold=1.28)).load_G.tolist() == [1000] * 4
