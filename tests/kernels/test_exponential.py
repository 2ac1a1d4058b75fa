"""The kernels' exponential: exact, and the same wherever a number stands in a loop."""

from __future__ import annotations

import numpy as np
import pytest

from moe.kernels.backend import njit
from moe.kernels.exponential import exp


@njit
def fill(given, out):
    for i in range(given.size):
        out[i] = exp(given[i])


def exponentials(given: np.ndarray) -> np.ndarray:
    out = np.empty_like(given)
    fill(given, out)
    return out


@pytest.mark.parametrize(("dtype", "low", "high"), [("float32", -87, 88), ("float64", -708, 709)])
def test_it_is_within_a_unit_in_the_last_place(dtype: str, low: int, high: int) -> None:
    rng = np.random.default_rng(0)
    given = np.concatenate([rng.uniform(low, high, 100_000), rng.normal(0, 1, 100_000)])
    given = given.astype(dtype)
    truth = np.exp(given.astype(np.longdouble))
    unit = np.spacing(truth.astype(dtype)).astype(np.longdouble)
    # 1.01: the true value itself is rounded where long double is no wider than double.
    assert (np.abs(exponentials(given) - truth) / unit).max() <= 1.01


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_its_bits_do_not_depend_on_the_place_in_a_loop(dtype: str) -> None:
    given = np.random.default_rng(0).normal(0, 9, 300).astype(dtype)
    whole = exponentials(given)
    for size in (1, 2, 3, 5, 7, 16, 31, 65):
        parts = [exponentials(given[i : i + size]) for i in range(0, given.size, size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_odd_numbers(dtype: str) -> None:
    given = np.array([0.0, -0.0, -np.inf, -1e4, np.nan], dtype)
    assert exponentials(given)[:4].tolist() == [1, 1, 0, 0]
    assert np.isnan(exponentials(given)[4])
