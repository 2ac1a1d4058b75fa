"""The law: its parts by hand, and the fit against another method."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from moe.scaling.law import Law, fit
from moe.scaling.runs import END, ROUTERS, law_of, runs, taken

LAW = Law(a=-0.08, b=-0.12, c=0.01, d=1.1, start=2.0, most=300.0)


def other_fit(n_R: np.ndarray, e_R: np.ndarray, loss_R: np.ndarray) -> tuple[np.ndarray, float]:
    """Constants by another way: four by linear least squares, for a simplex over the other two."""

    def solve(free: np.ndarray) -> tuple[np.ndarray, float]:
        start = 1 + np.exp(free[0])
        most = start + np.exp(free[1])
        first = 1 / (1 / start - 1 / most)
        counted_R = np.log10(1 / (1 / (e_R - 1 + first) + 1 / most))
        x_R = np.log10(n_R)
        table = np.stack([x_R, counted_R, x_R * counted_R, np.ones_like(x_R)], axis=1)
        four, *_ = np.linalg.lstsq(table, np.log10(loss_R), rcond=None)
        error = float(((table @ four - np.log10(loss_R)) ** 2).sum())
        return np.array([*four, start, most]), error

    tight = {"xatol": 1e-10, "fatol": 1e-18, "maxiter": 4000, "maxfev": 4000}
    found = minimize(lambda free: solve(free)[1] * 1e6, [0.5, 5.0], method="Nelder-Mead",
                     options=tight)  # fmt: skip
    return solve(found.x)


@pytest.mark.parametrize("router", ROUTERS)
def test_the_fit_is_that_of_another_method(router: str) -> None:
    some = taken(runs(), router)
    columns = [np.array([getattr(run, name) for run in some], float)
               for name in ("active", "experts", "loss")]  # fmt: skip
    theirs, least = other_fit(*columns)
    law = law_of(some)
    ours = np.array([law.a, law.b, law.c, law.d, law.start, law.most])
    np.testing.assert_allclose(ours, theirs, rtol=2e-4)
    error = sum((np.log10(law.loss(r.active, r.experts)) - np.log10(r.losses[END])) ** 2
                for r in some)  # fmt: skip
    assert error == pytest.approx(least, rel=1e-6)


def test_the_fit_finds_the_law_that_made_the_losses() -> None:
    rng = np.random.default_rng(0)
    active_R = 10 ** rng.uniform(7, 9.5, 80)
    experts_R = 2.0 ** rng.integers(0, 10, 80)
    loss_R = np.array([LAW.loss(n, e) for n, e in zip(active_R, experts_R)])
    found = fit(active_R, experts_R, loss_R)
    for name in ("a", "b", "c", "d", "start", "most"):
        assert getattr(found, name) == pytest.approx(getattr(LAW, name), rel=1e-5)


def test_the_formula_by_hand() -> None:
    # 1 / Ê = 1 / (63 + 1 / (1/2 - 1/300)) + 1/300
    counted = 1 / (1 / (63 + 1 / (1 / 2 - 1 / 300)) + 1 / 300)
    assert LAW.counted(64) == pytest.approx(counted) and LAW.counted(1) == pytest.approx(2.0)
    exponent = -0.08 * 9 - 0.12 * np.log10(counted) + 0.01 * 9 * np.log10(counted) + 1.1
    assert LAW.loss(1e9, 64) == pytest.approx(10**exponent)


def test_a_mixture_is_worth_the_dense_model_of_its_loss_and_itself_at_the_border() -> None:
    for active in (1e7, 1e9, 1e11):
        assert LAW.loss(LAW.worth(active, 64), 1) == pytest.approx(LAW.loss(active, 64))
    assert LAW.border == pytest.approx(1e12)
    assert LAW.worth(LAW.border, 64) == pytest.approx(LAW.border)
    assert LAW.worth(1e9, 64) > 1e9 and LAW.worth(1e13, 64) < 1e13


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="runs: got 2, 2 and 2 values"):
        fit(np.ones(2), np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="runs: got 9, 9 and 8 values"):
        fit(np.ones(9), np.ones(9), np.ones(8))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [(0, 0.0, "active_R: got 0, allowed are finite numbers > 0"),
     (0, -1.0, "active_R: got -1"), (1, 0.5, "experts_R: got 0.5, allowed are finite numbers >= 1"),
     (2, np.nan, "loss_R: got nan"), (2, np.inf, "loss_R: got inf")],
)  # fmt: skip
def test_runs_that_cannot_be_are_refused(column: int, value: float, message: str) -> None:
    columns = [np.full(9, 2.0) for _ in range(3)]
    columns[column][4] = value
    with pytest.raises(ValueError, match=message):
        fit(*columns)
