"""The planted language: dialect and both words decide together, and the last word alone little."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe.data import make_task
from moe.data.dialects import N_DIALECTS, N_ENDINGS, N_STEMS, dialect_rules


def test_what_follows_is_said_by_the_dialect_and_the_last_two_words() -> None:
    task = make_task("dialects", context=5)
    inputs_NC, target_N, dialect_N = task.draw(np.random.default_rng(3), 20_000, with_domain=True)
    assert inputs_NC.shape == (20_000, 5) and inputs_NC.dtype == np.uint8
    assert np.array_equal(inputs_NC[:, 0], dialect_N)
    assert np.array_equal(target_N % N_ENDINGS, inputs_NC[:, -1] % N_ENDINGS)
    follows: dict[tuple[int, int], set[int]] = {}
    for window, target in zip(inputs_NC.tolist(), target_N.tolist(), strict=True):
        key = (window[0], window[-2] // N_ENDINGS)
        follows.setdefault(key, set()).add(target // N_ENDINGS)
    assert len(follows) == N_DIALECTS * N_STEMS
    assert all(len(stems) == 1 for stems in follows.values())  # a rule, without noise


def test_the_stem_is_hidden_from_whoever_lacks_the_dialect_or_the_word() -> None:
    rule_TS = dialect_rules()
    assert all(sorted(row) == list(range(N_STEMS)) for row in rule_TS.tolist())
    assert len({tuple(row) for row in rule_TS.tolist()}) == N_DIALECTS
    assert all(len(set(rule_TS[:, stem])) > 0.8 * N_STEMS for stem in range(N_STEMS))


def test_same_seed_same_batch_and_the_rules_do_not_change() -> None:
    one, other = (make_task("dialects").draw(np.random.default_rng(1), 9) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert make_task("dialects").sha256 == make_task("dialects", 9).sha256


def test_a_window_holds_a_dialect_and_two_words() -> None:
    with pytest.raises(ValueError, match=r"context: got 2, allowed is a whole number in 3\.\.64"):
        make_task("dialects", context=2)
    with pytest.raises(ValueError, match="context: got 2"):
        moe.TrainSettings(task="dialects", context=2)
    assert moe.TrainSettings(context=1).context == 1
    with pytest.raises(ValueError, match=r"text: got 'own.txt' with task 'dialects'"):
        make_task("dialects", text="own.txt")
