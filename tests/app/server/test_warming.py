"""A cold start: oracles stand in, and what began with them ends with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from moe import kernels
from moe.app.balance import story as balance
from moe.app.server import warming
from moe.app.shared import first_model, run_slots
from moe.app.shared.kept import KEPT, Kept
from moe.app.shared.run_slots import run_slot
from moe.kernels.environment import numba
from moe.training import Trainer, TrainSettings

SMALL = TrainSettings(steps=6, batch=64, d_model=16, d_expert=8, n_experts=4, seed=11)


@pytest.fixture(autouse=True)
def end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(balance, "first_runs", lambda: (SMALL,))
    yield
    kernels.stand_in(False)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """On which backends the first page was recorded; its model is hardly trained meanwhile."""
    from moe.app.start import opening

    import_module("moe.app.start.page")  # loads late, and would keep what stands in below
    settings, recorded = first_model.TrainSettings, []
    monkeypatch.setattr(first_model, "STEPS", 1)
    monkeypatch.setattr(
        first_model, "TrainSettings", lambda **given: settings(**given | {"steps": 2})
    )
    monkeypatch.setattr(opening, "opening", lambda: recorded.append(kernels.backend_name()))
    first_model._trained.cache_clear()
    yield recorded
    first_model._trained.cache_clear()


def losses(trainer: Trainer) -> list[float]:
    return [record.loss for record in trainer.run()]


def on(backend: str) -> list[float]:
    with kernels.using(backend):
        return losses(Trainer(SMALL))


def test_oracles_stand_in_unless_a_backend_is_named() -> None:
    kernels.stand_in(True)
    assert kernels.standing_in() and kernels.backend_name() == "numpy"
    if numba is not None:
        with kernels.using("numba"):
            assert kernels.backend_name() == "numba"
    with kernels.using("numpy"):
        kernels.stand_in(False)
        assert kernels.backend_name() == "numpy"


def test_a_run_that_oracles_began_ends_on_them_to_the_bit() -> None:
    kernels.stand_in(True)
    trainer = Trainer(SMALL)
    begun = [trainer.step().loss for _ in range(2)]
    kernels.stand_in(False)
    assert begun + losses(trainer) == on("numpy")
    with kernels.using("numpy"):
        other = Trainer(SMALL)
        for _ in other.run():
            pass
        expected = other.evaluate()
    assert trainer.evaluate() == expected


def test_what_begins_later_runs_on_kernels() -> None:
    kernels.stand_in(True)
    before = run_slot(SMALL)
    kernels.stand_in(False)
    assert losses(Trainer(SMALL)) == on(kernels.backend_name())
    assert (run_slot(SMALL) is before) is (numba is None)


def test_a_page_is_computed_on_one_backend() -> None:
    kernels.stand_in(True)
    with kernels.steady():
        kernels.stand_in(False)
        assert kernels.backend_name() == "numpy"
    with kernels.steady():
        assert kernels.backend_name() == ("numba" if numba else "numpy")
    with kernels.using("numpy"), kernels.steady("numba"):
        assert kernels.backend_name() == "numpy"  # who names one gets it


def test_results_of_the_oracles_are_not_kept() -> None:
    kept, made = Kept(), []

    def make() -> np.ndarray:
        made.append(len(made))
        kept.clear()  # the kernels are ready in the midst of it
        return np.zeros(100)

    kept.of("key", make)
    assert len(kept) == kept.n_bytes == 0
    kept.of("key", lambda: 1)
    assert len(kept) == 1


def test_the_server_changes_over_by_itself(
    monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    from moe.speed import warm

    said, compiled = [], []

    class Compiler:
        def wait(self) -> None:
            compiled.append(kernels.backend_name())

    monkeypatch.setattr(warm, "first_run", lambda: True)
    monkeypatch.setattr(warming, "HEAD_START", 0.0)
    monkeypatch.setattr("moe.speed.warm.compile_elsewhere", Compiler)
    monkeypatch.setattr(warming, "READY", warming.Readiness())
    KEPT.put("old", 1)
    warming.begin(said.append).join(120)
    ready = warming.READY
    assert ready.kernels and ready.first_page and ready.seconds
    assert compiled == ["numpy"] and not kernels.standing_in() and KEPT.get("old") is None
    assert opened == [kernels.backend_name()]
    assert "being compiled" in said[0] and "are ready after" in said[1]
    assert first_model._trained.cache_info().currsize == (1 if numba is None else 2)


def test_without_another_process_this_one_compiles(
    monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    from moe.speed import warm

    def fail() -> None:
        raise OSError

    warmed = []
    monkeypatch.setattr(warm, "first_run", lambda: True)
    monkeypatch.setattr(warm, "warm", lambda: iter(warmed.append(1) or [1]))
    monkeypatch.setattr(warming, "HEAD_START", 0.0)
    monkeypatch.setattr("moe.speed.warm.compile_elsewhere", fail)
    monkeypatch.setattr(warming, "READY", warming.Readiness())
    warming.begin(str).join(120)
    assert warmed == [1] and warming.READY.kernels and opened


def test_warm_kernels_need_no_change_over(
    monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    from moe.speed import warm

    said: list[str] = []
    monkeypatch.setattr(warm, "first_run", lambda: False)
    monkeypatch.setattr(
        "moe.speed.warm.compile_elsewhere", lambda: pytest.fail("nothing to compile")
    )
    monkeypatch.setattr(warming, "READY", warming.Readiness())
    warming.begin(said.append).join(120)
    assert warming.READY.kernels and opened and not said and warming.READY.seconds is None


@pytest.mark.parametrize("longest", [300.0, 0.0])
def test_the_first_runs_of_balance_are_kept_unless_they_take_too_long(
    monkeypatch: pytest.MonkeyPatch, longest: float
) -> None:
    kept = Kept()
    for module in (run_slots, warming):
        monkeypatch.setattr(module, "KEPT", kept)
    monkeypatch.setattr(run_slots.RunSlot, "longest", longest)
    asked = replace(SMALL, seed=12)
    monkeypatch.setattr(balance, "first_runs", lambda: (asked,))
    warming._train_first_runs()
    kept.max_bytes = 100  # others have no room beside it
    kept.put("another", np.zeros(50))
    run = kept.get(run_slot(asked).run_key)
    assert (run is not None) is (longest > 0)
    assert run is None or len(run.records) == asked.steps


def test_numpy_s_threads_are_set_and_put_back() -> None:
    before = warming._numpy_threads(1)
    assert warming._numpy_threads(before) == 1 or before == 1
