"""A trace replayed: tasks, pasts, sums, speeds and the command."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moe.cost import MODELS, decode, find_gpu, weight_bytes
from moe.cost.links import LINKS, find_link
from moe.expert_cache import POLICIES
from moe.expert_cache.replay import MOST_OTHERS, replay, tasks_of, usual_slots
from moe.expert_cache.speed import cache_speed, check_model, expert_bytes
from moe.numbers import gigabytes
from moe.traces import Trace, make_trace, save_trace


def a_trace(domains: tuple[str, ...] = ("code", "prose"), n: int = 90, seed: int = 0) -> Trace:
    """Three layers of eight experts, whose favourites depend on the domain."""
    rng = np.random.default_rng(seed)
    domain_N = np.sort(rng.integers(0, max(len(domains), 1), n))
    taste = rng.normal(size=(3, max(len(domains), 1), 8))
    scores_LNE = taste[:, domain_N] + rng.gumbel(size=(3, n, 8))
    expert_LNK = np.argsort(-scores_LNE, axis=2)[:, :, :2]
    return make_trace(
        expert_LNK, np.ones((3, n, 2)), 8, layers=(1, 2, 5), sequence_N=domain_N,
        domain_N=domain_N if domains else None, domains=domains,
    )  # fmt: skip


def lru_hits(wanted: list[int], slots: int) -> int:
    there: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for expert in wanted:
        hits += expert in there
        there[expert] = None
        there.move_to_end(expert)
        if len(there) > slots:
            there.popitem(last=False)
    return hits


@pytest.mark.parametrize("seed", range(3))
def test_each_tasks_second_half_is_replayed_layer_by_layer(seed: int) -> None:
    trace = a_trace(seed=seed)
    assert trace.domain_N is not None
    (result,) = replay(trace, [3], ["lru"])
    for t, name in enumerate(trace.domains):
        at_n = np.flatnonzero(trace.domain_N == t)
        later = at_n[len(at_n) // 2 :]
        assert result.tasks[t] == name
        assert result.tokens_T[t] == len(later)
        for layer in range(3):
            wanted = trace.expert_LNK[layer, later].ravel().tolist()
            assert result.requests_TL[t, layer] == len(wanted)
            assert result.hits_TL[t, layer] == lru_hits(wanted, 3)
    hits, wanted_sum = result.hits_TL.sum(), result.requests_TL.sum()
    assert result.hit_rate == pytest.approx(hits / wanted_sum)
    assert result.reads_per_token == pytest.approx((wanted_sum - hits) / result.tokens_T.sum())
    assert result.waits_per_token == result.reads_per_token
    by_layer = result.hits_TL.sum(axis=0) / result.requests_TL.sum(axis=0)
    np.testing.assert_allclose(result.hit_rate_L, by_layer)
    np.testing.assert_allclose(
        result.hit_rate_T, result.hits_TL.sum(axis=1) / result.requests_TL.sum(axis=1)
    )


def test_other_tasks_pasts_are_all_tried_and_summed() -> None:
    trace = a_trace(("a", "b", "c"), n=200)
    own, other = replay(trace, [2], ["pinned", "pinned_other"])
    assert (other.tokens_T == 2 * own.tokens_T).all()
    assert (other.requests_TL == 2 * own.requests_TL).all()
    # Favourites of two tasks, tried on the third one by one, are the sum.
    assert trace.domain_N is not None
    pair_hits = 0
    for a, b in ((0, 1), (0, 2)):
        pair = trace.part(np.flatnonzero(np.isin(trace.domain_N, (a, b))))
        (one,) = replay(pair, [2], ["pinned_other"])
        pair_hits += int(one.hits_TL[0].sum())
    assert other.hits_TL[0].sum() == pair_hits


def test_reading_ahead_waits_less_and_reads_more_than_lru() -> None:
    trace = a_trace(n=400)
    lru, token, layer = replay(trace, [4], ["lru", "last_token", "last_layer"])
    for ahead in (token, layer):
        assert ahead.reads_per_token >= ahead.waits_per_token
        assert ahead.ready_rate >= ahead.hit_rate
        early = ahead.early_TL.sum()
        assert early > 0
        misses = ahead.requests_TL - ahead.hits_TL - ahead.early_TL
        assert ahead.waits_per_token == pytest.approx(misses.sum() / ahead.tokens_T.sum())
    assert lru.early_TL.sum() == 0


def test_sizes_come_outermost_and_policies_in_the_order_of_the_registry() -> None:
    results = list(replay(a_trace(), [2, 5]))
    assert [(r.slots, r.policy) for r in results] == [(s, p) for s in (2, 5) for p in POLICIES]
    assert [r.n_experts for r in results] == [8] * len(results)
    full = list(replay(a_trace(), [8], ["lru", "belady"]))
    # With room for all, each expert is read once.
    assert full[0].reads_TL.tolist() == full[1].reads_TL.tolist()
    assert usual_slots(64) == (8, 16, 32)
    assert usual_slots(3) == (1,)


def test_a_trace_of_one_task_has_no_other_task() -> None:
    alone = a_trace(())
    assert list(tasks_of(alone)) == ["all"]
    assert "pinned_other" not in {result.policy for result in replay(alone, [2])}
    with pytest.raises(ValueError, match="pinned_other, allowed for a trace of one task"):
        replay(alone, [2], ["pinned_other"])


@pytest.mark.parametrize(
    ("slots", "policies", "message"),
    [
        ([0], (), "slots: got 0, allowed is a whole number in 1..8"),
        ([9], (), "slots: got 9"),
        ([], (), "number of sizes"),
        ([2], ("fifo",), "policy: got 'fifo', allowed is one of lru"),
    ],
)
def test_wrong_sizes_and_names_are_refused(slots: Any, policies: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay(a_trace(), slots, policies)


def test_a_trace_without_a_past_is_refused() -> None:
    with pytest.raises(ValueError, match="got 1 tokens, allowed is at least one task of 2"):
        replay(a_trace((), n=1), [2])


def test_pairs_of_a_million_experts_are_not_counted() -> None:
    wide = make_trace(np.zeros((1, 4, 1), int), np.ones((1, 4, 1)), 2**20)
    with pytest.raises(ValueError, match="experts of the trace: got 1048576"):
        replay(wide, [2])


def test_seconds_are_bytes_over_speeds() -> None:
    model, gpu, link = MODELS["deepseek-v2-lite"], find_gpu("rtx-4090"), find_link("ssd")
    rng = np.random.default_rng(0)
    choices = np.argsort(rng.random((13, 60, 64)), axis=2)[:, :, :6]
    trace = make_trace(choices, np.ones(choices.shape), 64)
    lru, ahead = replay(trace, [16], ["lru", "last_layer"])
    # One expert: three matrices of 2,048 by 1,408, four bits and a sixteenth of 16 bits a weight.
    one = 3 * 2048 * 1408 * (0.5 + 2 / 32)
    assert expert_bytes(model, "4-bit") == one
    inside = 1 / decode(model, gpu, context=4096).tokens_per_s
    speed = cache_speed(*lru.per_layer(), 16, model, gpu, link)
    # 26 layers of experts, 13 recorded.
    assert 1 / speed.tokens_per_s == pytest.approx(inside + 2 * lru.reads_per_token * one / 7.45e9)
    assert speed.all_fit_tokens_per_s == pytest.approx(1 / inside)
    kept = weight_bytes(model, "4-bit") - 26 * 48 * one
    assert speed.memory_bytes == pytest.approx(kept)
    assert speed.fits
    waits = 2 * ahead.waits_per_token * one / 7.45e9
    early = 2 * ahead.reads_per_token * one / 7.45e9 - waits
    hidden = cache_speed(*ahead.per_layer(), 16, model, gpu, link)
    assert 1 / hidden.tokens_per_s == pytest.approx(max(inside, early) + waits)
    with pytest.raises(ValueError, match="slots: got 65, allowed is a whole number in"):
        cache_speed(1.0, 1.0, 65, model, gpu, link)


def test_links_have_the_speeds_of_their_lanes() -> None:
    rates = {"pcie3-x16": 8, "pcie4-x16": 16, "pcie5-x16": 32}
    for key, giga in rates.items():
        assert LINKS[key].gb_s == pytest.approx(giga * 16 * 128 / 130 / 8, rel=1e-3)
        assert LINKS[key].bytes_per_s == 1e9 * LINKS[key].gb_s
    # A disk with four lanes is no faster than they are.
    assert max(LINKS["ssd"].gb_s, LINKS["ssd-entry"].gb_s) < 16 * 4 * 128 / 130 / 8
    assert all(link.source and link.check for link in LINKS.values())
    with pytest.raises(ValueError, match="link: got 'tape', allowed is one of pcie5-x16"):
        find_link("tape")


def test_the_command_prints_what_the_library_finds(
    run_moe: Callable[..., Any], tmp_path: Path
) -> None:
    trace = a_trace()
    save_trace(trace, tmp_path / "trace.npz")
    path = str(tmp_path / "trace.npz")
    rows = json.loads(run_moe("cache", path, "--slots", "2,4", "--slots", "6", "--json").stdout)
    results = list(replay(trace, [2, 4, 6]))
    assert [(row["policy"], row["slots"]) for row in rows] == [(r.policy, r.slots) for r in results]
    for row, result in zip(rows, results, strict=True):
        assert row["hit_rate"] == result.hit_rate
        assert list(row["hit_rate_by_layer"]) == ["1", "2", "5"]
        assert list(row["hit_rate_by_layer"].values()) == result.hit_rate_L.tolist()
        assert row["hit_rate_by_task"] == dict(
            zip(trace.domains, result.hit_rate_T.tolist(), strict=True)
        )
        assert "tokens_per_s" not in row
    said = run_moe("cache", path, "--slots", "3", "--policy", "lru,belady", COLUMNS="120").stdout
    assert "pinned" not in said
    for result in replay(trace, [3], ["lru", "belady"]):
        assert f"{result.hit_rate:.1%}" in said


def test_the_command_says_how_fast_a_model_is(run_moe: Callable[..., Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    choices = np.argsort(rng.random((2, 20, 64)), axis=2)[:, :, :6]
    trace = make_trace(choices, np.ones(choices.shape), 64)
    save_trace(trace, tmp_path / "trace.npz")
    path = str(tmp_path / "trace.npz")
    asked = ("cache", path, "--model", "deepseek-v2-lite", "--policy", "lru", "--slots", "16")
    (row,) = json.loads(run_moe(*asked, "--link", "ssd", "--json").stdout)
    (result,) = replay(trace, [16], ["lru"])
    model, gpu, link = MODELS["deepseek-v2-lite"], find_gpu("rtx-4090"), find_link("ssd")
    speed = cache_speed(*result.per_layer(), 16, model, gpu, link)
    assert row["tokens_per_s"] == speed.tokens_per_s
    assert f"{speed.tokens_per_s:.1f}" in run_moe(*asked, "--link", "ssd", COLUMNS="120").stdout


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--slots", "x"], "slots: got 'x', allowed are whole numbers"),
        (["--slots", "99"], "slots: got 99, allowed is a whole number in 1..8"),
        (["--policy", "clock"], "policy: got 'clock'"),
        (["--link", "tape"], "--link: got 'tape', allowed is one with --model only"),
        (["--context", "9"], "--context: got 9, allowed is one with --model only"),
        (["--slots", "9" * 5000], "slots: got '999"),
        (["--model", "mixtral-8x7b", "--link", "tape"], "link: got 'tape'"),
        (["--model", "mixtral-8x7b", "--precision", "3-bit"], "precision: got '3-bit'"),
        (["--model", "deepseek-v3"], "experts of the model: got 256"),
    ],
)
def test_a_wrong_word_ends_with_one_line(
    run_moe: Callable[..., Any], tmp_path: Path, flags: list[str], message: str
) -> None:
    save_trace(a_trace(), tmp_path / "trace.npz")
    said = run_moe("cache", str(tmp_path / "trace.npz"), *flags, code=2)
    assert message in said.stderr and said.stdout == ""
    assert len(said.stderr.strip().splitlines()) == 1


def test_of_many_tasks_the_next_ones_are_the_others() -> None:
    """All pairs of a thousand texts would take for ever."""
    names = tuple(f"t{i}" for i in range(MOST_OTHERS + 3))
    trace = a_trace(names, n=300)
    own, other = replay(trace, [2], ["pinned", "pinned_other"])
    assert (other.tokens_T == MOST_OTHERS * own.tokens_T).all()
    assert trace.domain_N is not None
    # Those of the last task are the first ones: replayed pair by pair.
    hits = 0
    for name in range(MOST_OTHERS):
        pair = trace.part(np.flatnonzero(np.isin(trace.domain_N, (name, len(names) - 1))))
        (one,) = replay(pair, [2], ["pinned_other"])
        hits += int(one.hits_TL[-1].sum())
    assert other.hits_TL[-1].sum() == hits


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((13, 20, 5), "choices of a token in the model: got 6, allowed is a whole number in 5..5"),
        ((27, 20, 6), "layers with experts in the model: got 26, allowed is a whole number >= 27"),
    ],
)
def test_a_model_that_is_not_the_traces_is_refused(shape: tuple, message: str) -> None:
    layers, n, k = shape
    choices = np.argsort(np.random.default_rng(0).random((layers, n, 64)), axis=2)[:, :, :k]
    trace = make_trace(choices, np.ones(choices.shape), 64)
    with pytest.raises(ValueError, match=re.escape(message)):
        check_model(MODELS["deepseek-v2-lite"], trace)


@pytest.mark.parametrize(("reads", "waits"), [(-1.0, -2.0), (float("nan"), 0.0), (1.0, 2.0)])
def test_reads_that_no_cache_has_are_refused(reads: float, waits: float) -> None:
    model, gpu = MODELS["deepseek-v2-lite"], find_gpu("rtx-4090")
    with pytest.raises(ValueError, match=r"(reads|waits): got"):
        cache_speed(reads, waits, 16, model, gpu, find_link("ssd"))


def test_the_command_says_whether_the_weights_that_stay_fit(
    run_moe: Callable[..., Any], tmp_path: Path
) -> None:
    """Tokens a second of a model that does not fit are nobody's."""
    choices = np.argsort(np.random.default_rng(0).random((1, 20, 256)), axis=2)[:, :, :8]
    save_trace(make_trace(choices, np.ones(choices.shape), 256), tmp_path / "t.npz")
    asked = ("cache", str(tmp_path / "t.npz"), "--model", "deepseek-v3", "--policy", "lru")
    said = run_moe(*asked, "--slots", "1,128", COLUMNS="400").stdout
    rows = json.loads(run_moe(*asked, "--slots", "1,128", "--json").stdout)
    assert [row["fits"] for row in rows] == [True, False]
    for row, slots, fits in zip(rows, ("1 slot", "128 slots"), ("fits", "does not fit")):
        assert f"With {slots} a layer, {gigabytes(row['memory_bytes'] / 1e9)} of weights" in said
        assert f"stay in fast memory, which {fits} in the 24 GB of GeForce RTX 4090." in said


def test_names_of_tasks_give_a_terminal_no_orders(
    run_moe: Callable[..., Any], tmp_path: Path
) -> None:
    trace = a_trace(("\x1b[31mred", "\u202eback"))
    save_trace(replace(trace, model="\x1b]0;mine\x07"), tmp_path / "t.npz")
    said = run_moe("cache", str(tmp_path / "t.npz"), "--slots", "2", COLUMNS="200").stdout
    assert "?[31mred" in said and "?back" in said and "?]0;mine" in said
    assert not set(said) & set("\x1b\u202e\x07")
