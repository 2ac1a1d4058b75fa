"""The part of Moving data on yesterday's placement: its words, against numbers worked out anew."""

from __future__ import annotations

import numpy as np
import pytest

from moe.app.moving_data import yesterday
from moe.cluster.eplb import rebalance_experts
from moe.cluster.least_loaded import spill
from moe.cluster.placed_for import IN_ORDER, MIXED, published_loads
from tests.app.moving_data.test_page import open_page
from tests.app.visit import words

LOADS = published_loads().load_TLE
EXPERT_S = 3 * 2048 * 1408 * 2 / (200e9 * 0.699)
ROW_S = 2 * 3 * 2048 * 1408 / (0.4 * 989e12)


def fullest(load_LE: np.ndarray, phy2log_LR: np.ndarray) -> float:
    """Assignments of the fullest chips, summed over layers."""
    total = 0.0
    for load_E, slots in zip(load_LE.tolist(), phy2log_LR.tolist(), strict=True):
        share = [load_E[e] / slots.count(e) for e in slots]
        total += float(np.reshape(share, (8, -1)).sum(axis=1).max())
    return total


def test_the_matrix_is_told_by_its_ends() -> None:
    uneven = np.array(
        [
            [fullest(load_LE, placed) * 8 / load_LE[0].sum() / 26 for load_LE in LOADS]
            for placed in yesterday.matrix().phy2log_PLR
        ]
    )
    said = yesterday.matrix_words()
    own, others = np.diag(uneven[:4]), uneven[:4][~np.eye(4, dtype=bool)]
    for values in (own, others, uneven[4], uneven[5]):
        assert f"{values.min():.2f} to {values.max():.2f}" in said


def test_moving_is_told_with_its_cost() -> None:
    assert "where this work wants them" in yesterday.moving_words("law", "law")
    said = yesterday.moving_words("intent", "law")
    one = yesterday.costs()[0][1]
    assert f"{one.moved:,} experts have to move" in said
    assert f"{one.fresh:.2f} instead of {one.stale:.2f}" in said
    assert f"**{one.tokens:,.0f} tokens**" in said
    for name in (MIXED, IN_ORDER):
        assert "That pays from" in yesterday.moving_words(name, "summary")


@pytest.mark.parametrize("task", yesterday.TASKS)
def test_batches_are_timed_in_three_ways(task: str) -> None:
    load_LE = LOADS[yesterday.TASKS.index(task)]
    found = yesterday.batches(task)
    assert [one.tokens for one in found] == [512, 2048, 8192, 32768, 131072, 524288]
    for one in (found[0], found[3]):
        rows_LE = np.rint(load_LE / load_LE.sum(axis=1, keepdims=True) * 6 * one.tokens)
        plain = fullest(rows_LE, np.tile(np.arange(64), (26, 1)))
        planned = fullest(rows_LE, rebalance_experts(load_LE, 72, 1, 1, 8)[0])
        spilled = [spill(rows_E, 8) for rows_E in rows_LE]
        reflex = sum(int(s.load_G.max()) for s in spilled) * ROW_S
        reflex += sum(s.most_moved(8) for s in spilled) * EXPERT_S
        times = (one.plain_ms, one.planned_ms, one.reflex_ms)
        assert times == pytest.approx([1e3 * plain * ROW_S, 1e3 * planned * ROW_S, 1e3 * reflex])
    first = next(one for one in found if one.reflex_ms < one.plain_ms)
    later = found[found.index(first) :]
    assert all(one.reflex_ms < one.plain_ms for one in later)
    said = yesterday.reflex_words(task)
    assert f"batches of {first.tokens:,} tokens and more" in said
    last = found[-1]
    ahead = "ahead of" if last.reflex_ms < last.planned_ms else "behind"
    assert f"it is {ahead} a plan" in said
    assert f"{last.reflex_ms:.1f} against {last.planned_ms:.1f} ms" in said


@pytest.mark.parametrize(
    ("reflex", "said"),
    [
        ((9.0, 9.0, 9.0), "takes longer than it saves at every size here"),
        ((9.0, 1.0, 1.0), "in batches of 20 tokens and more; at 30 it is ahead of a plan"),
        ((1.0, 9.0, 3.0), "in batches of 10 and 30 tokens; at 30 it is behind a plan"),
    ],
)
def test_the_reflex_is_told_by_the_sizes_at_which_it_is_ahead(
    monkeypatch: pytest.MonkeyPatch, reflex: tuple[float, ...], said: str
) -> None:
    made = tuple(
        yesterday.Batch(tokens, 5.0, 2.0, ms)
        for tokens, ms in zip((10, 20, 30), reflex, strict=True)
    )
    monkeypatch.setattr(yesterday, "batches", lambda carried: made)
    assert said in yesterday.reflex_words("law")


def test_the_page_says_it_of_the_chosen_tasks() -> None:
    page = open_page(tokens="128", made_for="law", carries="translation")
    assert not page.exception
    assert yesterday.matrix_words() in words(page)
    assert yesterday.moving_words("law", "translation") in words(page)
    assert yesterday.reflex_words("translation") in words(page)


def test_the_export_has_the_matrix_and_the_break_even() -> None:
    found = yesterday.as_json()
    assert found["max_over_mean"] == yesterday.matrix().uneven_PM.tolist()
    assert found["break_even_tokens"][0][1] == yesterday.costs()[0][1].tokens
    assert found["break_even_tokens"][1][1] == 0.0
