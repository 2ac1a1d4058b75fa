"""`pair_fault`: the kernel finds just what the oracle finds, whatever the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe import kernels
from moe.kernels.backend import BACKENDS
from moe.kernels.checking import EXPERT, GOOD, TOKEN, TWICE

N, E = 6, 5


@given(
    pairs=st.lists(st.tuples(st.integers(-1, N), st.integers(-1, E)), max_size=12),
    inside=st.booleans(),
    order=st.sampled_from(["given", "token", "expert"]),
)
@settings(max_examples=300, deadline=None)
def test_kernel_and_oracle_agree(pairs: list[tuple[int, int]], inside: bool, order: str) -> None:
    if inside:
        pairs = [(abs(n) % N, abs(e) % E) for n, e in pairs]
    if order != "given":
        pairs = sorted(pairs, key=lambda pair: pair[order == "expert"])
    token_A, expert_A = np.array(pairs, np.int32).reshape(-1, 2).T.copy()
    found = []
    for backend in BACKENDS:
        with kernels.using(backend):
            found.append(kernels.pair_fault(token_A, expert_A, N, E))
    assert found[0] == found[1]
    good = all(0 <= n < N and 0 <= e < E for n, e in pairs) and len(set(pairs)) == len(pairs)
    assert (found[0] == (GOOD, -1)) == good


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("token", "expert", "fault"),
    [
        ([0, 1, -1], [0, 1, 2], (TOKEN, 2)),
        ([0, N, 1], [0, 1, 9], (TOKEN, 1)),
        ([0, 1, 1], [0, E, -1], (EXPERT, 1)),
        ([0, 1, 0, 1], [0, 1, 0, 1], (TWICE, 2)),  # in no order
        ([0, 0, 0], [3, 4, 3], (TWICE, 2)),  # by token
        ([0, 1, 0, 1], [2, 2, 2, 3], (TWICE, 2)),  # by expert
        ([0, 1, 0, 1], [0, 0, 1, 1], (GOOD, -1)),
        ([], [], (GOOD, -1)),
    ],
)
def test_the_first_fault_is_named(
    backend: str, token: list[int], expert: list[int], fault: tuple[int, int]
) -> None:
    with kernels.using(backend):
        assert kernels.pair_fault(np.int32(token), np.int32(expert), N, E) == fault
