"""The planted language: dialect, stem and particle decide together, and none of them alone."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe.data import make_task
from moe.data.dialects import N_DIALECTS, N_PARTICLES, N_STEMS, PLAIN, next_stems


def test_what_follows_is_said_by_dialect_stem_and_particle() -> None:
    task = make_task("dialects", context=5)
    inputs_NC, target_N, dialect_N = task.draw(np.random.default_rng(3), 60_000, with_domain=True)
    assert inputs_NC.shape == (60_000, 5) and inputs_NC.dtype == np.uint8
    assert np.array_equal(inputs_NC[:, 0], dialect_N)
    stem_N, particle_N = inputs_NC[:, -2], inputs_NC[:, -1]
    said = np.stack([dialect_N, stem_N, particle_N])
    kinds = np.unique(said, axis=1).shape[1]
    assert kinds > 0.99 * N_DIALECTS * N_STEMS * N_PARTICLES
    assert np.unique(np.vstack([said, target_N]), axis=1).shape[1] == kinds  # a rule, no noise
    assert np.array_equal(target_N[particle_N == 0], stem_N[particle_N == 0])
    share_P = np.bincount(particle_N) / 60_000
    assert np.abs(share_P - [PLAIN, *[(1 - PLAIN) / 7] * 7]).max() < 0.01


def test_without_one_of_them_nearly_every_stem_may_follow() -> None:
    next_PDS = next_stems()[1:]
    assert (np.sort(next_PDS, axis=2) == np.arange(N_STEMS)).all()  # every rule is a shuffle
    for axis, count in enumerate(next_PDS.shape):
        told = np.sort(next_PDS, axis=axis)
        different = 1 + (np.diff(told, axis=axis) != 0).sum(axis=axis)
        assert different.mean() > 0.6 * min(count, N_STEMS)


def test_same_seed_same_batch_and_the_rules_do_not_change() -> None:
    one, other = (make_task("dialects").draw(np.random.default_rng(1), 9) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert make_task("dialects").sha256 == make_task("dialects", 9).sha256


def test_a_window_holds_a_dialect_a_stem_and_a_particle() -> None:
    with pytest.raises(ValueError, match=r"context: got 2, allowed is a whole number in 3\.\.64"):
        make_task("dialects", context=2)
    with pytest.raises(ValueError, match="context: got 2"):
        moe.TrainSettings(task="dialects", context=2)
    assert moe.TrainSettings(context=1).context == 1
    with pytest.raises(ValueError, match=r"text: got 'own.txt' with task 'dialects'"):
        make_task("dialects", text="own.txt")
