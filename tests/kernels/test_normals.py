"""Normal numbers of a kernel of our own: numpy's, to the bit, however they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from moe import kernels
from moe.kernels.normals import WORDS


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("seed", [0, 7, (3, 1), (0, 2)])
def test_they_are_numpys_to_the_bit(backend: str, seed: int | tuple[int, ...]) -> None:
    """Among a million numbers are hundreds from beyond the edge, and thousands near the curve."""
    rng = np.random.Generator(np.random.SFC64(seed))
    with kernels.using(backend):
        noise = kernels.Normals(seed)
    beyond = 0
    for shape in ((1,), (0, 4), (3, 5), (WORDS - 1,), (WORDS + 1,), (900, 1000), (2, 2)):
        mine = np.full(shape, np.nan, np.float32)
        noise.fill(mine)
        np.testing.assert_array_equal(mine, rng.standard_normal(shape, np.float32))
        beyond += int((np.abs(mine) > 3.6541528853610088).sum())
    assert beyond > 100


def test_numbers_asked_for_one_by_one_are_the_same_stream() -> None:
    one_by_one, at_once = np.empty(3000, np.float32), np.empty(3000, np.float32)
    with kernels.using("numba"):
        noise = kernels.Normals(5)
        for n in range(len(one_by_one)):
            noise.fill(one_by_one[n : n + 1])
        kernels.Normals(5).fill(at_once)
    np.testing.assert_array_equal(one_by_one, at_once)
