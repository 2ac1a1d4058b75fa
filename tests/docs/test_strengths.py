"""Every balancer's strength for short runs follows from one rule and one record."""

from __future__ import annotations

import json

import numpy as np
import pytest

import moe
from docs.generator import strengths as page
from docs.generator import studies
from docs.generator.strength_chart import EVEN, chosen, lengths, points
from docs.generator.studies import Study
from moe.training.runs import LAST, run

LENGTHS = (150, 300)
ROWS = [json.loads(line) for line in studies.record(page.STRENGTHS).read_text().splitlines()[1:]]


def own(balance: str, rate: float, steps: int) -> list[dict[str, float]]:
    key = (balance, rate, steps)
    return [r for r in ROWS if (r["balance"], r["balance_rate"], r["steps"]) == key]


def by_the_rule(balance: str) -> float | None:
    """Weakest even strength, from the lines of the file."""
    for rate in sorted({row["balance_rate"] for row in ROWS}):
        if all(np.mean([r["max_vio"] for r in own(balance, rate, n)]) <= EVEN for n in LENGTHS):
            return rate
    return None


@pytest.mark.parametrize("balance", sorted({row["balance"] for row in ROWS}))
def test_strengths_for_short_runs_follow_from_the_record(balance: str) -> None:
    rate = by_the_rule(balance)
    assert chosen(studies.read(page.STRENGTHS))[balance] == rate
    assert rate is not None and moe.BALANCERS[balance].short_run_rate == rate


def test_the_limit_is_about_twice_what_chance_leaves() -> None:
    rng = np.random.default_rng(0)
    vio = []
    for _ in range(200):
        first_N = rng.integers(0, 16, 1024)
        second_N = (first_N + rng.integers(1, 16, 1024)) % 16
        vio.append(moe.metrics.max_vio(np.bincount(np.r_[first_N, second_N], minlength=16)))
    assert np.mean(vio) == pytest.approx(0.16, abs=0.01)
    assert 1.5 < EVEN / np.mean(vio) < 2.5


def test_one_cell_of_the_record_again() -> None:
    """Aux in a short run: even at its strength of today, and not when it is ten times weaker."""
    rate = moe.BALANCERS["aux"].short_run_rate
    strong, weak = (
        run(moe.TrainSettings(balance="aux", balance_rate=r, steps=LENGTHS[0])).summary().max_vio
        for r in (rate, rate / 10)
    )
    assert strong <= 1.3 * EVEN < weak


def test_the_page_and_the_picture_show_the_record() -> None:
    text = page.page("").replace("\u00a0", " ")
    for balance in ("aux", "bias"):
        rate = by_the_rule(balance)
        assert rate is not None
        vio, loss = (
            np.array([row[figure] for row in own(balance, rate, LENGTHS[-1])])
            for figure in ("max_vio", "held_out_loss")
        )
        assert f"({rate:g}, MaxVio {vio.mean():.2f} ± {vio.std(ddof=1):.2f})" in text
        assert f"{loss.mean():.3f} ± {loss.std(ddof=1):.3f}" in text
    shown = page.figure().data["points"]
    assert {r["balancer"]: r["strength"] for r in shown if r["chosen"]} == {
        name: by_the_rule(name) for name in ("aux", "bias", "quantile", "pi", "smebu")
    }
    for row in shown:
        rows = own(row["balancer"], row["strength"], LENGTHS[-1])
        assert row["loss"] == pytest.approx(np.mean([r["held_out_loss"] for r in rows]))
        assert row["max_vio"] == pytest.approx(np.mean([r["max_vio"] for r in rows]))
    assert len(points(studies.read(page.STRENGTHS))) * 3 == len(ROWS)
    assert f"last {LAST} steps" in text and "runs of 150 and of 300 steps" in text


def made(*runs: tuple[str, float, int, list[float]]) -> Study:
    """A study of these MaxVio figures: balancer, strength, steps, one a seed."""
    rows = [
        dict(balance=balance, router="topk", balance_rate=rate, steps=steps, seed=seed,
             max_vio=vio, held_out_loss=10 * vio)
        for balance, rate, steps, vios in runs
        for seed, vio in enumerate(vios)
    ]  # fmt: skip
    return Study("train", "1", "none", {}, tuple(rows))


def test_the_weakest_strength_that_is_even_in_all_runs_is_chosen() -> None:
    study = made(
        ("bias", 0.4, 100, [0.1, 0.1]), ("bias", 0.4, 200, [0.1, 0.1]),
        ("bias", 0.2, 100, [0.1, 0.5]), ("bias", 0.2, 200, [0.3, 0.3]),  # 0.3 on average is even
        ("bias", 0.1, 100, [0.2, 0.2]), ("bias", 0.1, 200, [0.3, 0.32]),  # soon, and not later
        ("bias", 0.05, 200, [0.1, 0.1]), ("bias", 0.05, 100, [0.9, 0.9]),  # later, and not soon
        ("aux", 0.2, 100, [0.4, 0.4]), ("aux", 0.2, 200, [0.1, 0.1]),
    )  # fmt: skip
    assert EVEN == 0.3
    assert chosen(study) == {"bias": 0.2, "aux": None}
    assert lengths(made(("a", 1, 200, [0]), ("a", 1, 100, [0]), ("a", 2, 200, [0]))) == [100, 200]


def test_points_stand_by_balancer_then_strength_then_length() -> None:
    study = made(
        ("bias", 0.4, 200, [0.1, 0.3]), ("aux", 0.1, 100, [0.5]), ("bias", 0.2, 200, [0.2]),
        ("bias", 0.4, 100, [0.7]),
    )  # fmt: skip
    found = [(p.balance, p.rate, p.steps, p.max_vio.mean) for p in points(study)]
    assert found == [
        ("bias", 0.2, 200, 0.2), ("bias", 0.4, 100, 0.7), ("bias", 0.4, 200, pytest.approx(0.2)),
        ("aux", 0.1, 100, 0.5),
    ]  # fmt: skip
    *_, last, _ = points(study)
    assert (last.router, last.max_vio.n) == ("topk", 2)
    assert last.held_out_loss.mean == pytest.approx(2)
    assert last.max_vio.deviation == pytest.approx(0.2 / np.sqrt(2))
