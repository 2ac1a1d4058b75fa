"""A run that makes room for others, and what its visitor sees meanwhile."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import pytest

from moe.app.shared.run_slots import Progress, run_slot
from moe.speed import turns as turns_module
from moe.speed.turns import SEATS, TURNS
from moe.training import TrainSettings

SMALL = TrainSettings(n_experts=4, d_model=8, d_expert=8, batch=32, steps=12, seed=77)


def test_a_run_that_others_go_before_says_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "PATIENCE", 0.001)
    monkeypatch.setattr(turns_module, "SLICE", 0.0)
    monkeypatch.setattr(turns_module, "SPELL", 0.0)
    told: list[Progress] = []
    with ExitStack() as others:
        for _ in range(SEATS - 1):
            others.enter_context(TURNS.training())
        progress = run_slot(SMALL).progress()
        others.callback(progress.close)
        told.append(next(progress))  # it has a seat; from now on another one wants it
        other = others.enter_context(TURNS.turn())
        for state in progress:
            told.append(state)
            if state.words.endswith("you are number 2 in the queue"):
                assert state.words.startswith("step 10 of 12; ") and state.run is None
                TURNS._leave(other)
        assert told[-1].run is not None and len(told[-1].run.records) == 12
    assert sum("in the queue" in state.words for state in told) == 1


def test_a_run_alone_says_only_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "SLICE", 0.0)
    monkeypatch.setattr(turns_module, "SPELL", 0.0)
    told = [state.words for state in run_slot(replace(SMALL, seed=78)).progress()]
    assert len(told) == 2 and told[0].startswith("step 10 of 12, loss ") and told[1] == "done"
