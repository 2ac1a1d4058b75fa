"""What a sweep's plan takes, and where its limits are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import moe
from moe.settings import _typed
from moe.sweeps import plan as sweep_plan
from moe.sweeps.experiments import EXPERIMENTS
from moe.sweeps.plan import MAX_BYTES, MAX_DOTS, MAX_RUNS, SweepRun, make_plan, read_plan

COUNTED = dict(experiment="savings", grid=dict(n_experts=[4, 8], k=[1, 2]))


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("capacity_factor", 2, 2.0),
        ("capacity_factor", 2.5, 2.5),
        ("capacity_factor", "none", None),
        ("learning_rate", 1, 1.0),
        ("text", "none", "none"),  # a file may be called so
        ("steps", 3, 3),
    ],
)
def test_values_become_what_the_setting_is(name: str, value: Any, kept: Any) -> None:
    table = dict(capacity_factor=1.0, drop="order") if name != "capacity_factor" else {}
    settings = sweep_plan._settings("settings", table | {name: value}, EXPERIMENTS["train"])
    assert settings[name] == kept and type(settings[name]) is type(kept)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("steps", 2.0, "a whole number"),
        ("steps", "none", "a whole number"),
        ("learning_rate", True, "a number"),
        ("learning_rate", "fast", "a number"),
        ("learning_rate", "none", "a number"),
        ("learning_rate", 10**400, "a number"),
        ("router", 3, "text"),
        ("text", 3, "text"),
        ("capacity_factor", False, "a number or 'none'"),
        ("capacity_factor", [1], "a number or 'none'"),
    ],
)
def test_a_wrong_type_is_told_what_is_allowed(name: str, value: Any, allowed: str) -> None:
    with pytest.raises(ValueError) as error:
        make_plan(dict(experiment="train", settings={name: value}))
    assert str(error.value).startswith(f"settings.{name}: got ")
    assert str(error.value).endswith(f"allowed is {allowed}")
    with pytest.raises(ValueError) as error:
        make_plan(dict(experiment="train", grid={name: [value]}))
    assert str(error.value).startswith(f"grid.{name}: got ")


def test_true_or_false_is_taken_where_it_is_meant() -> None:
    assert _typed("a", True, bool) is True
    with pytest.raises(ValueError, match="allowed is true or false"):
        _typed("a", 1, bool)


def test_grids_are_nested_in_their_order_and_seeds_are_innermost() -> None:
    plan = make_plan(
        dict(
            experiment="train",
            settings=dict(steps=2),
            cases=[dict(router="topk"), dict(router="switch", k=1)],
            grid=dict(batch=[16, 32], learning_rate=[0.1, 0.2]),
            seeds=[5, 3],
            repeat=2,
        )
    )
    names = ("router", "batch", "learning_rate", "seed")
    assert [(*(run.settings[n] for n in names), run.repeat) for run in plan.runs] == [
        (router, batch, rate, seed, repeat)
        for router in ("topk", "switch")
        for batch in (16, 32)
        for rate in (0.1, 0.2)
        for seed in (5, 3)
        for repeat in (0, 1)
    ]
    assert plan.varied == ("router", "k", "batch", "learning_rate", "seed")
    assert (plan.experiment, plan.skipped) == ("train", 0)
    assert {run.settings["steps"] for run in plan.runs} == {2}


def test_a_refused_run_is_named_with_all_that_varies() -> None:
    table = dict(experiment="savings", cases=[dict(n_experts=2)], grid=dict(k=[2, 3]))
    with pytest.raises(ValueError, match=r"\(in the run with n_experts = 2, k = 3\)$"):
        make_plan(table)
    assert make_plan(table | dict(skip_invalid=True)).skipped == 1
    with pytest.raises(ValueError) as error:
        make_plan(dict(experiment="savings", settings=dict(k=99)))
    assert "in the run with" not in str(error.value)
    with pytest.raises(ValueError, match="grid: got 2 runs that savings refuses, allowed is at l"):
        make_plan(dict(experiment="savings", skip_invalid=True, grid=dict(k=[98, 99])))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (dict(settings=dict(k=1)), "k: got it in settings and in grid or seeds"),
        (dict(cases=[dict(n_experts=4), dict(k=1)]), "k: got it in cases and in grid or seeds"),
        (
            dict(settings=dict(d_model=1), cases=[dict(d_model=2)]),
            "d_model: got it in settings and in cases",
        ),
    ],
)
def test_a_setting_has_one_place(change: dict[str, Any], where: str) -> None:
    table = dict(experiment="savings", grid=dict(k=[1]))
    with pytest.raises(ValueError, match=where):
        make_plan(table | change)


def test_the_number_of_runs_is_cases_times_values_times_repeats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = dict(
        experiment="savings", grid=dict(k=[1, 2], d_model=[1, 2, 3]),
        cases=[dict(n_experts=4), dict(n_experts=8)], repeat=2,
    )  # fmt: skip
    monkeypatch.setattr(sweep_plan, "MAX_RUNS", 24)
    assert len(make_plan(table).runs) == 24
    monkeypatch.setattr(sweep_plan, "MAX_RUNS", 23)
    with pytest.raises(ValueError, match=r"number of runs: got 24, allowed is a whole .* 1\.\.23"):
        make_plan(table)
    assert MAX_RUNS == 100_000


def test_keys_are_listed_as_documented() -> None:
    page = (Path(moe.__file__).parent.parent / "docs" / "sweeps.md").read_text("utf-8")
    assert set(sweep_plan.KEYS) == {
        "experiment", "settings", "grid", "cases", "seeds", "repeat", "skip_invalid",
    }  # fmt: skip
    assert all(key in page for key in sweep_plan.KEYS)
    with pytest.raises(ValueError, match="allowed is one of experiment, settings, grid, cases, se"):
        make_plan(dict(other=1))


def test_a_file_has_limits(tmp_path: Path) -> None:
    path, line = tmp_path / "plan.toml", 'experiment = "savings"\n'
    path.write_text(line + "#" * (MAX_BYTES - len(line)))
    assert len(read_plan(path).runs) == 1
    path.write_text(line + "#" * (MAX_BYTES - len(line) + 1))
    with pytest.raises(ValueError, match="file: got"):
        read_plan(path)
    numbers = "".join(f"# {n}.5\n" for n in range(2000))  # decimal points are no dots of keys
    path.write_text(line + numbers + "#" + MAX_DOTS * ".")
    assert len(read_plan(path).runs) == 1
    path.write_text(line + "#" + (MAX_DOTS + 1) * ".")
    with pytest.raises(ValueError, match="more than 1000 dots that are no decimal point"):
        read_plan(path)
    path.write_text(line + "# 1.2.3" * (MAX_DOTS // 2 + 1))  # parts of a key, not numbers
    with pytest.raises(ValueError, match="more than 1000 dots"):
        read_plan(path)
    assert MAX_BYTES == 1 << 18


def test_an_id_is_short_hexadecimal_and_of_the_settings_in_any_order() -> None:
    run = make_plan(COUNTED).runs[0]
    assert len(run.id) == 16 and int(run.id, 16) >= 0
    assert run.repeat == 0 and run.version == moe.__version__ and run.data == "none"
    same = SweepRun(run.experiment, dict(sorted(run.settings.items())), data="none")
    assert same.id == run.id and SweepRun(run.experiment, run.settings).data == ""
