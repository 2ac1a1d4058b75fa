"""The page on a mixture against dense models says what its records hold."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from docs.generator import lm_comparison as page
from docs.generator import studies
from docs.generator.lm_cases import (
    Case,
    Gain,
    best,
    best_of_each_length,
    cases,
    equal_time,
    ms_per_step,
    seconds,
)
from moe.lm.bench import TrainingSpeed
from moe.lm.figures import figures
from moe.lm.model import LanguageModel
from moe.lm.settings import LMTrainSettings
from moe.studies.language_model import KINDS


def lines(name: str) -> list[dict]:
    """Rows of a study with what its runs have in common, from the lines of its file."""
    head, *rows = map(json.loads, studies.record(name).read_text().splitlines())
    return [head["settings"] | row for row in rows]


ROWS = lines(page.RATES)
ALL = [*ROWS, *lines(page.LENGTHS), *lines(page.SEEDS)]
SPEED = json.loads(page.SPEED.read_text())
STEPS = ROWS[0]["steps"]


def bits(dense: str, rate: float, steps: int = STEPS, rows: list[dict] = ALL) -> np.ndarray:
    """Bits by seed."""
    key = (dense, rate, steps)
    own = [r for r in rows if (r["dense"], r["learning_rate"], r["steps"]) == key]
    return np.array([r["bits_per_byte"] for r in sorted(own, key=lambda r: r["seed"])])


def at_best(dense: str, steps: int = STEPS) -> np.ndarray:
    """Bits by seed at the rate that suits a kind."""
    rates = {r["learning_rate"] for r in ALL if (r["dense"], r["steps"]) == (dense, steps)}
    return min((bits(dense, rate, steps) for rate in rates), key=np.mean)


def said() -> str:
    return page.page("").replace("\u00a0", " ")


def interval(gain_S: np.ndarray) -> tuple[float, float]:
    """Mean of the seeds' gains, and half of its 95 % interval."""
    n = len(gain_S)
    margin = stats.t.ppf(0.975, n - 1) * gain_S.std(ddof=1) / np.sqrt(n)
    return float(gain_S.mean()), float(margin)


def test_an_interval_has_students_width() -> None:
    """Of three seeds 4.303 standard errors, as every table of the distribution says."""
    gain = Gain.of(a_case(2.0, 2.0, 2.0), a_case(2.1, 2.2, 2.3))
    assert gain.margin == pytest.approx(4.303 * 0.1 / np.sqrt(3), rel=1e-3)


def test_every_kind_has_three_rates_or_more_and_its_best_is_none_of_the_ends() -> None:
    rates = sorted({r["learning_rate"] for r in ROWS})
    for dense in KINDS:
        means = [bits(dense, rate, rows=ROWS).mean() for rate in rates]
        assert len(rates) >= 3 and all(len(bits(dense, rate)) >= 3 for rate in rates)
        assert min(means) not in (means[0], means[-1])


def test_the_default_run_has_the_rate_that_suits_every_kind_best() -> None:
    """As the page with its finished runs says, which are the study's steps."""
    default, rates = LMTrainSettings(), {r["learning_rate"] for r in ROWS}
    assert len(rates) == 4 and default.steps == STEPS
    for dense in KINDS:
        means = {rate: bits(dense, rate, rows=ROWS).mean() for rate in rates}
        assert min(means, key=lambda rate: means[rate]) == default.learning_rate


@pytest.mark.parametrize("steps", [STEPS, 2 * STEPS])
@pytest.mark.parametrize("dense", ["active", "total"])
def test_the_gain_at_equal_steps_is_that_of_the_record(dense: str, steps: int) -> None:
    mine, theirs = at_best("none", steps), at_best(dense, steps)
    n = min(len(mine), len(theirs))
    mean, margin = interval(theirs[:n] - mine[:n])
    way = "below" if mean > 0 else "above"
    assert f"{abs(mean):.3f} ± {margin:.3f} bits a byte {way}" in said()


@pytest.mark.parametrize("steps", [STEPS, 2 * STEPS])
def test_mixture_and_dense_have_three_rates_or_more_at_every_length(steps: int) -> None:
    for dense in ("none", "active"):
        rates = {r["learning_rate"] for r in ALL if (r["dense"], r["steps"]) == (dense, steps)}
        assert len(rates) >= 3
        best_rate = min(rates, key=lambda rate: bits(dense, rate, steps).mean())
        assert min(rates) < best_rate < max(rates)


def test_the_table_has_every_mean_and_marks_the_best() -> None:
    text = said()
    rates = {r["learning_rate"] for r in ROWS}
    for dense in KINDS:
        for rate in rates:
            own = bits(dense, rate, rows=ROWS)
            cell = f"{own.mean():.3f} ± {own.std(ddof=1):.3f}"
            marked = f"**{cell}**" in text
            assert cell in text and marked == (
                rate == min(rates, key=lambda r: bits(dense, r, rows=ROWS).mean())
            )


def test_the_load_is_even_in_every_layer() -> None:
    rate = min({r["learning_rate"] for r in ROWS}, key=lambda rate: bits("none", rate).mean())
    key = ("none", rate, STEPS)
    vio = [r["worst_max_vio"] for r in ALL if (r["dense"], r["learning_rate"], r["steps"]) == key]
    assert f"at most {max(vio):.2f} in any layer and seed" in said()


@pytest.mark.parametrize("steps", [STEPS, 2 * STEPS])
def test_equal_time_is_the_shortest_run_that_takes_as_long(steps: int) -> None:
    needed = steps / SPEED["adamw"]["ratios"]["dense, equal active"]
    longer = min(r["steps"] for r in ALL if r["dense"] == "active" and r["steps"] >= needed)
    mean, margin = interval(at_best("active", longer) - at_best("none", steps))
    text = said()
    assert f"the dense model's {longer} steps take {longer / needed:.0%} of that" in text
    assert f"{abs(mean):.3f} ± {margin:.3f} bits a byte" in text


def test_points_of_the_picture_are_runs_of_the_records() -> None:
    ms = ms_per_step(page.read_speed()["adamw"])
    shown = page.figure().data["runs"]
    assert {row["model"] for row in shown} == set(KINDS.values())
    for row in shown:
        dense = next(key for key, name in KINDS.items() if name == row["model"])
        assert row["seconds"] == pytest.approx(row["steps"] * ms[dense] / 1e3)
        assert row["low"] <= row["bits"] <= row["high"]
    end = studies.read(page.RATES).settings["steps"]
    own = next(r for r in shown if (r["model"], r["steps"]) == (KINDS["none"], end))
    assert own["bits"] == pytest.approx(at_best("none").mean())


def test_operations_and_sizes_are_those_of_the_models() -> None:
    settings = LMTrainSettings(**studies.read(page.RATES).settings)
    size = {
        dense: LanguageModel.init(replace(settings, dense=dense).model, 0).n_params
        for dense in KINDS
    }
    for row in ROWS:
        assert row["params"] == size[row["dense"]]
    assert max(size.values()) < 500_000 and size["active"] < size["total"] / 3


def test_a_short_run_gives_figures_of_the_same_kind_again() -> None:
    again = figures(LMTrainSettings(steps=2, batch=2, dense="active"))
    row = next(r for r in ROWS if r["dense"] == "active")
    assert again.params == row["params"] and again.flops_per_token == row["flops_per_token"]


def a_case(*values: float, dense: str = "none", steps: int = 100) -> Case:
    return Case(dense, 0.01, steps, values, (0.1,) * len(values), 1000)


def test_a_gain_that_the_seeds_do_not_tell_from_nothing_is_called_so() -> None:
    unsure = Gain.of(a_case(2.0, 2.2, 2.4), a_case(2.1, 2.1, 2.5))
    assert "do not tell from nothing" in page.against(unsure) and not unsure.apart
    wide = Gain.of(a_case(2.0, 2.1, 2.2), a_case(2.7, 2.3, 2.3))
    assert wide.apart and "the interval holds zero, though no seed" in page.against(wide)
    sure = Gain.of(a_case(2.0, 2.01, 2.02), a_case(2.2, 2.21, 2.22))
    assert sure.apart and sure.mean == pytest.approx(0.2) and sure.margin < 1e-6
    assert "no seed of the one reaches a seed of the other" in page.against(sure)
    other_way = Gain.of(a_case(2.2, 2.21, 2.22), a_case(2.0, 2.01, 2.02))
    assert "0.200 ± 0.000 bits a byte above" in page.against(other_way).replace("\u00a0", " ")


def test_the_best_rate_is_that_of_the_lowest_mean() -> None:
    low, high = a_case(2.0, 2.3), replace(a_case(1.9, 2.5), rate=0.02)
    assert best([high, low], "none") is low


def test_equal_time_is_neither_shorter_nor_much_longer() -> None:
    speed = TrainingSpeed(1e5, 20.0, 2000, 1, 1, {}, {"dense, equal active": 0.5})
    ms = ms_per_step(speed)
    assert ms == {"none": 20.0, "active": 10.0}
    runs = [a_case(2.0, 2.1, dense="active", steps=n) for n in (400, 210, 200, 199)]
    found = equal_time(a_case(2.0, 2.1), runs, "active", ms)
    assert found is not None and found.steps == 200 and seconds(found, ms) == 2.0
    assert equal_time(a_case(2.0, 2.1), [runs[0], runs[3]], "active", ms) is None


def test_cases_of_several_studies_are_joined_by_what_was_varied() -> None:
    found = cases(studies.read(page.RATES), studies.read(page.SEEDS))
    one = next(c for c in found if (c.dense, c.rate, c.steps) == ("active", 0.01, STEPS))
    assert one.bits_by_seed == tuple(bits("active", 0.01)) and len(one.bits_by_seed) == 6
    assert len({(c.dense, c.rate, c.steps) for c in found}) == len(found)
    ends = best_of_each_length(found)
    assert [c.steps for c in ends] == sorted(c.steps for c in ends)
