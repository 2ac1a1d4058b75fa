"""Each preset keeps its promise, on its own seed and on others."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from moe.app.play.presets import PRESETS
from moe.training import LiveRecord, LiveRun

SEEDS = (0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in (1, 2)))
STEPS = 250
PLANS = {preset.name: preset.plan for preset in PRESETS}


@cache
def records(name: str, seed: int, steps: int = STEPS) -> list[LiveRecord]:
    recipe = replace(PLANS[name], seed=seed).recipe
    run = LiveRun(recipe.settings, recipe.changes)
    return [run.step() for _ in range(steps)]


def mean(name: str, seed: int, what: str, start: int, end: int) -> float:
    return float(np.mean([getattr(r, what) for r in records(name, seed)[start:end]]))


@pytest.mark.parametrize("seed", SEEDS)
class TestPromises:
    def test_collapse_is_there_within_four_seconds(self, seed: int) -> None:
        assert mean("Collapse", seed, "max_vio", 0, 1) < 1
        assert mean("Collapse", seed, "max_vio", 30, 90) > 2.3  # 25 steps a second
        shares = np.array([r.share_E for r in records("Collapse", seed)[50:90]]).mean(axis=0)
        assert np.sort(shares)[-3:].sum() > 0.75 and np.sort(shares)[0] < 0.01

    def test_repair_brings_the_idle_back(self, seed: int) -> None:
        assert mean("Repair", seed, "max_vio", 100, 120) > 1.9
        assert mean("Repair", seed, "max_vio", 220, 250) < 0.6
        assert mean("Repair", seed, "idle", 220, 250) == 0

    def test_too_strong_is_even_and_learns_worse(self, seed: int) -> None:
        assert mean("Too strong", seed, "max_vio", 20, 250) < 0.5
        worse = records("Too strong", seed)[-1].mean_loss - records("Collapse", seed)[-1].mean_loss
        assert worse > 0.1

    def test_full_experts_drop_work_and_guess_worse(self, seed: int) -> None:
        assert mean("Full experts", seed, "dropped", 20, 200) > 0.15
        assert mean("Collapse", seed, "dropped", 0, 250) == 0
        ends = [records(name, seed)[-1].mean_loss for name in ("Full experts", "Collapse")]
        assert ends[0] > ends[1] + 0.02
        assert max(r.share_E.max() for r in records("Full experts", seed)) < 0.35

    def test_one_expert_takes_nearly_everything(self, seed: int) -> None:
        busiest = np.mean([r.share_E.max() for r in records("One expert only", seed)[50:]])
        assert busiest > 0.95

    def test_of_64_experts_half_get_no_work(self, seed: int) -> None:
        assert mean("64 experts", seed, "idle", 60, 250) > 32
        assert mean("64 experts", seed, "max_vio", 40, 250) > 10


def test_sizes_are_as_the_hints_say() -> None:
    few, many = PLANS["Collapse"].recipe.settings, PLANS["64 experts"].recipe.settings
    assert many.n_experts == 8 * few.n_experts
    assert 4 * many.d_expert == few.d_expert
