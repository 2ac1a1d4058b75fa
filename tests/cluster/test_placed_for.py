"""Yesterday's placement: the matrix, what moving costs, and the command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import placement as bench
from benchmarks.expert_cache import PROMPTS
from benchmarks.real_routing import FILE
from moe.cluster.eplb import rebalance_experts
from moe.cluster.least_loaded import LeastLoaded, spill
from moe.cluster.placed_for import (
    IN_ORDER,
    MIXED,
    TaskLoads,
    apart,
    joined,
    loads_by_task,
    matrix_of,
    origin,
    placed_for,
    published_loads,
    read_task_loads,
)
from moe.cluster.rebalancing import (
    NEVER,
    REFLEX,
    Moving,
    batch_loads,
    break_even,
    break_evens,
    exchanged,
    streams,
)
from moe.cost import MODELS, find_gpu
from moe.traces import Trace, make_trace, save_trace

ROOT = Path(__file__).parent.parent.parent
MATRIX = placed_for(published_loads(), published_loads(), bench.REPLICAS, gpus=bench.GPUS)
SETTINGS = Moving()


def fullest(load_LE: np.ndarray, phy2log_LR: np.ndarray, gpus: int) -> float:
    """Load of the fullest GPU over the mean, mean over layers: slot by slot."""
    ratios = []
    for load_E, slots_R in zip(load_LE.tolist(), phy2log_LR.tolist(), strict=True):
        shares = [load_E[e] / slots_R.count(e) for e in slots_R]
        here = len(slots_R) // gpus
        loads = [sum(shares[g * here : (g + 1) * here]) for g in range(gpus)]
        ratios.append(max(loads) * gpus / sum(loads))
    return sum(ratios) / len(ratios)


def test_the_matrix_is_that_of_the_published_loads_slot_by_slot() -> None:
    loads = published_loads()
    assert loads.tasks == tuple(PROMPTS)
    assert loads.load_TLE.shape == (4, 26, 64)
    # Six experts a token in every layer; the 30,018 tokens without prompts.
    tokens_TL = loads.load_TLE.sum(axis=2) / 6
    assert (tokens_TL == tokens_TL[:, :1]).all()
    assert tokens_TL[:, 0].sum() == 30_018
    assert MATRIX.placed_for == (*loads.tasks, MIXED, IN_ORDER)
    for p, phy2log in enumerate(MATRIX.phy2log_PLR):
        for m, load_LE in enumerate(loads.load_TLE):
            assert MATRIX.uneven_PM[p, m] == pytest.approx(fullest(load_LE, phy2log, 8))


def test_a_placement_is_even_on_its_own_task_and_hardly_better_than_none_on_another() -> None:
    own = np.diag(MATRIX.uneven_PM[:4])
    others = MATRIX.uneven_PM[:4][~np.eye(4, dtype=bool)]
    mixed, plain = MATRIX.uneven_PM[4], MATRIX.uneven_PM[5]
    # A review of the same data, by another program: 1.00 to 1.01, 1.37 to 1.68, 1.31 to 1.37.
    assert (round(own.min(), 2), round(own.max(), 2)) == (1.0, 1.01)
    assert others.min() == pytest.approx(1.37, abs=0.006)
    assert others.max() == pytest.approx(1.68, abs=0.006)
    assert (round(mixed.min(), 2), round(mixed.max(), 2)) == (1.31, 1.37)
    assert plain.min() > mixed.max()


def test_the_tasks_weigh_equally_in_the_mix() -> None:
    loads = published_loads()
    more = TaskLoads(loads.tasks, loads.load_TLE * np.array([1, 2, 3, 4])[:, None, None])
    np.testing.assert_allclose(more.mixed(), loads.mixed())
    np.testing.assert_allclose(loads.mixed().sum(axis=1), 4 / 26)
    small = TaskLoads(loads.tasks, loads.load_TLE / 1e9)  # shares, in whatever unit
    np.testing.assert_allclose(small.mixed(), loads.mixed())
    none = TaskLoads(("a", "b"), np.stack([np.zeros((1, 2)), np.ones((1, 2))]))
    assert none.mixed().tolist() == [[0.5, 0.5]]


def a_trace(seed: int = 0, n: int = 96) -> Trace:
    rng = np.random.default_rng(seed)
    domain_N = np.arange(n) * 2 // n
    taste = rng.normal(size=(2, 2, 8))
    scores = taste[:, domain_N] + rng.gumbel(size=(2, n, 8))
    choices = np.argsort(-scores, axis=2)[:, :, :2]
    choices[0, 5, 1] = -1
    weights = (choices >= 0).astype(float)
    return make_trace(
        choices, weights, 8, sequence_N=domain_N, domain_N=domain_N, domains=("a", "b", "none")
    )


def test_loads_of_a_trace_are_counted_by_domain() -> None:
    trace = a_trace()
    loads = loads_by_task(trace)
    assert loads.tasks == ("a", "b")  # nobody is in the third
    for t in range(2):
        for layer in range(2):
            chosen = trace.expert_LNK[layer, t * 48 : (t + 1) * 48]
            counted = [(chosen == e).sum() for e in range(8)]
            assert loads.load_TLE[t, layer].tolist() == counted


def test_a_trace_whose_domains_have_no_tokens_is_one_task_without_load() -> None:
    empty = np.zeros((2, 0, 2), np.int64)
    none = np.zeros(0, np.int64)
    trace = make_trace(empty, np.zeros(empty.shape), 8, domain_N=none, domains=("a",))
    loads = loads_by_task(trace)
    assert loads.load_TLE.tolist() == np.zeros((1, 2, 8)).tolist()
    assert placed_for(loads, loads, 8, gpus=2).uneven_PM.tolist() == [[1.0], [1.0]]


def test_no_two_names_are_alike_and_none_is_taken() -> None:
    assert apart(["a (2)", "a", "a"]) == ("a (2)", "a", "a (3)")
    assert apart(["law", "law (US)", "law"]) == ("law", "law (US)", "law (2)")
    load_LE = np.arange(8.0)[None]
    hostile = TaskLoads((MIXED, IN_ORDER, "placed for"), np.stack([load_LE, load_LE + 1, load_LE]))
    matrix = placed_for(hostile, hostile, 8, gpus=2)
    assert matrix.placed_for == (f"{MIXED} (2)", f"{IN_ORDER} (2)", "placed for", MIXED, IN_ORDER)
    assert matrix.measured_on == (MIXED, IN_ORDER, "placed for (2)")
    assert [len(row) for row in matrix.rows()] == [4] * 5
    assert [row["placed for"] for row in matrix.rows()] == list(matrix.placed_for)


def test_one_gpu_or_more_gpus_than_experts_are_measured_too() -> None:
    loads = loads_by_task(a_trace())
    assert (matrix_of(loads, loads, 0, 1, 1, 1).uneven_PML == 1).all()
    wide = matrix_of(loads, loads, 0, 1, 1, 16)
    assert wide.replicas == 16 and IN_ORDER not in wide.placed_for
    for p, phy2log in enumerate(wide.phy2log_PLR):
        assert wide.uneven_PM[p, 0] == pytest.approx(fullest(loads.load_TLE[0], phy2log, 16))
    one = TaskLoads(("all",), np.full((1, 1, 1), 5.0))
    assert matrix_of(one, one, 0, 1, 1, 4).uneven_PM.tolist() == [[1.0]]


def test_files_are_joined_and_their_names_kept_apart(tmp_path: Path) -> None:
    save_trace(a_trace(), tmp_path / "t.npz")
    (tmp_path / "a.csv").write_text("\n".join(["1,2,3,4,5,6,7,8"] * 2))
    both = joined([read_task_loads(tmp_path / name) for name in ("t.npz", "a.csv")])
    assert both.tasks == ("a", "b", "a (2)")
    assert both.load_TLE[2].tolist() == [list(range(1, 9))] * 2
    (tmp_path / "c.csv").write_text("1,2")
    with pytest.raises(ValueError, match="measure_on: got"):
        joined([both, read_task_loads(tmp_path / "c.csv")])
    with pytest.raises(ValueError, match="layers of measure_on: got 1"):
        matrix_of(both, read_task_loads(tmp_path / "c.csv"), 0, 1, 1, 4)


def lists(before: list[int], after: list[int], gpus: int) -> tuple[list[int], list[int]]:
    sent_LG, got_LG = exchanged(np.array([before]), np.array([after]), gpus)
    return sent_LG[0].tolist(), got_LG[0].tolist()


def test_gpus_fetch_what_they_do_not_hold_from_those_that_do() -> None:
    before = [0, 1, 2, 3, 0, 1]
    assert lists(before, [1, 0, 3, 2, 1, 0], 3) == ([0, 0, 0], [0, 0, 0])  # order is free
    # The last GPU wants one expert twice and fetches it once, from its only home.
    assert lists(before, [1, 0, 3, 2, 3, 3], 3) == ([0, 1, 0], [0, 0, 1])
    # Both want expert 2 of the first GPU, which sends it twice; expert 0 comes from the idler home.
    assert lists([2, 0, 1, 0, 3, 4], [0, 1, 2, 3, 2, 0], 3) == ([2, 2, 1], [1, 2, 2])
    with pytest.raises(ValueError, match="gpus: got 4, allowed is a divisor of the 6 slots"):
        lists(before, before, 4)


def test_a_layer_waits_for_the_gpu_that_sends_most_if_none_gets_as_many() -> None:
    """One GPU is the only home of what all others want: it sends three, and each gets one."""
    settings = Moving(gpus=4, replicas=8)
    before, after = np.array([[0, 1, 2, 3, 4, 5, 6, 7]]), np.array([[0, 1, 0, 3, 0, 5, 0, 7]])
    one = break_even(np.ones((1, 8)), before, after, 2, settings)
    assert one.moved == 3
    assert one.moving_seconds == pytest.approx(3 * settings.expert_seconds)


def test_break_even_is_where_saved_time_has_paid_for_the_moving() -> None:
    loads = published_loads()
    found = break_evens(MATRIX, loads, SETTINGS)
    # An expert: three matrices of 2,048 by 1,408 in BF16, over 200 GB/s at 69.9 %.
    size = 3 * 2048 * 1408
    expert_s = size * 2 / (200e9 * 0.699)
    row_s = 2 * size / (0.4 * find_gpu("h800").bf16_tflops * 1e12)
    assert expert_s == pytest.approx(SETTINGS.expert_seconds)
    assert row_s == pytest.approx(SETTINGS.row_seconds)
    for p, m in ((0, 1), (3, 2), (4, 0), (5, 3)):
        one, load_LE = found[p][m], loads.load_TLE[m]
        fresh = rebalance_experts(load_LE, 72, 1, 1, 8)[0]
        stale = MATRIX.phy2log_PLR[p]
        moved, longest, at_least = 0, 0, 0
        for old_R, new_R in zip(stale.tolist(), fresh.tolist(), strict=True):
            a, b = len(old_R) // 8, len(new_R) // 8
            held = [set(old_R[g * a : (g + 1) * a]) for g in range(8)]
            lacks = [set(new_R[g * b : (g + 1) * b]) - held[g] for g in range(8)]
            # What has one home is sent from there; the rest can be shared out at best.
            homes = [[g for g in range(8) if e in held[g]] for lack in lacks for e in lack]
            only = [sum(home == [g] for home in homes) for g in range(8)]
            most_got = max(map(len, lacks))
            moved += len(homes)
            at_least += max(most_got, *only, math.ceil(len(homes) / 8))
            longest += max(most_got, *only) + sum(len(home) > 1 for home in homes)
        assert one.moved == moved
        waited = round(one.moving_seconds / expert_s)
        assert one.moving_seconds == pytest.approx(waited * expert_s)
        assert at_least <= waited <= longest
        assert one.stale == pytest.approx(fullest(load_LE, stale, 8))
        assert one.fresh == pytest.approx(fullest(load_LE, fresh, 8))
        # At that many tokens both ways take equally long: 26 layers, 6 rows a token, 8 GPUs.
        rows = one.tokens * 6 / 8 * 26 * row_s
        assert rows * one.stale == pytest.approx(rows * one.fresh + one.moving_seconds)
    at_home = found[0][0]
    assert (at_home.moved, at_home.tokens, at_home.tokens_or_none) == (0, 0.0, 0.0)
    worse = break_even(loads.load_TLE[0], MATRIX.phy2log_PLR[0], MATRIX.phy2log_PLR[1], 6, SETTINGS)
    assert (worse.tokens, worse.tokens_or_none) == (math.inf, None)


def test_batches_hold_the_assignments_of_their_tokens() -> None:
    trace = a_trace()
    load_BLE = batch_loads(trace, 20)
    assert load_BLE.shape == (4, 2, 8)
    for b in range(4):
        for layer in range(2):
            chosen = trace.expert_LNK[layer, 20 * b : 20 * (b + 1)]
            assert load_BLE[b, layer].tolist() == [(chosen == e).sum() for e in range(8)]
    with pytest.raises(ValueError, match="batch: got 97, allowed is a whole number in"):
        batch_loads(trace, 97)


def test_a_stream_is_run_in_every_way_batch_by_batch() -> None:
    settings = Moving(gpus=4, replicas=12)
    load_BLE = batch_loads(a_trace(n=240), 20)
    start = rebalance_experts(load_BLE[0], 12, 1, 1, 4)[0]
    reflex = LeastLoaded(1.0, 1, 1.0)
    never, third, least = streams(load_BLE, start, (3,), settings, reflex)
    assert (never.way, third.way, least.way) == (NEVER, "every 3", REFLEX)
    assert (never.moved, never.moving_s) == (0, 0.0)
    at, moved, moving, uneven, busiest = start, 0, 0.0, [], 0.0
    for b, load_LE in enumerate(load_BLE):
        if b in (3, 6, 9):
            new = rebalance_experts(load_BLE[b - 3 : b].sum(axis=0), 12, 1, 1, 4)[0]
            sent_LG, got_LG = exchanged(at, new, 4)
            moved += int(got_LG.sum())
            moving += np.maximum(sent_LG, got_LG).max(axis=1).sum() * settings.expert_seconds
            at = new
        uneven.append(fullest(load_LE, at, 4))
        busiest += sum(
            fullest(load_LE[i : i + 1], at[i : i + 1], 4) * load_LE[i].sum() / 4 for i in range(2)
        )
    assert third.moved == moved
    assert third.moving_s == pytest.approx(moving)
    assert third.uneven == pytest.approx(np.mean(uneven))
    assert third.computing_s == pytest.approx(busiest * settings.row_seconds)
    assert third.total_s == third.computing_s + third.moving_s
    spilled = [spill(load_E, 4, reflex) for load_LE in load_BLE for load_E in load_LE]
    assert least.moved == sum(len(one.moved) for one in spilled)
    assert least.computing_s == pytest.approx(
        sum(one.load_G.max() for one in spilled) * settings.row_seconds
    )
    assert least.moving_s == pytest.approx(
        sum(one.most_moved(4) for one in spilled) * settings.expert_seconds
    )
    assert len(list(streams(load_BLE[:, :, :6], start % 6, (), settings))) == 1


def test_the_command_prints_the_matrix(run_moe: Callable[..., Any], tmp_path: Path) -> None:
    save_trace(a_trace(), tmp_path / "old.npz")
    save_trace(a_trace(1), tmp_path / "new.npz")
    old, new = (str(tmp_path / name) for name in ("old.npz", "new.npz"))
    asked = ("place", old, "--gpus", "4", "--replicas", "12", "--measure-on", new)
    answer = json.loads(run_moe(*asked, "--json").stdout)
    loads = loads_by_task(a_trace()), loads_by_task(a_trace(1))
    matrix = placed_for(*loads, 12, gpus=4)
    assert answer == matrix.as_json() | {"notes": []}
    assert answer["max_over_mean"][0][1] == pytest.approx(
        fullest(loads[1].load_TLE[1], matrix.phy2log_PLR[0], 4)
    )
    said = run_moe(*asked, COLUMNS="120").stdout
    assert f"{matrix.uneven_PM[2, 1]:.3f}" in said
    assert MIXED in said
    asked = (*asked, "--nodes", "4")
    (note,) = json.loads(run_moe(*asked, "--json").stdout)["notes"]
    assert note == "4 nodes do not divide 1 group: groups and nodes are ignored, as EPLB does."
    assert note in run_moe(*asked, COLUMNS="120").stdout


def test_the_command_says_what_moving_costs(run_moe: Callable[..., Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    choices = np.argsort(rng.random((2, 64, 64)), axis=2)[:, :, :6]
    save_trace(make_trace(choices, np.ones(choices.shape), 64), tmp_path / "t.npz")
    path = str(tmp_path / "t.npz")
    asked = ("place", path, "--replicas", "72", "--measure-on", path, "--model",
             "deepseek-v2-lite", "--every", "1,2", "--batch", "16")  # fmt: skip
    answer = json.loads(run_moe(*asked, "--json").stdout)
    assert [row["rebalanced"] for row in answer["streams"]] == [
        NEVER, "every 1", "every 2", REFLEX,
    ]  # fmt: skip
    assert answer["break_even_tokens"][0] == [0.0]
    (other,) = answer["break_even_tokens"][1]
    assert other > 0
    said = run_moe(*asked, COLUMNS="140").stdout
    assert "at home" in said
    assert f"{other:,.0f}" in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--every", "2"], "every: got it without --model"),
        (["--model", "mixtral-8x7b"], "model: got it without --measure-on"),
        (["--batch", "9"], "batch: got it without --every"),
        (["--measure-on", "T", "--batch", "9"], "batch: got it without --every"),
        (["--seed", "0"], "seed: got it without --search"),
        (["--replicas", str(4 * 10**10)], "num_replicas: got 40000000000"),
        (["--measure-on", "T", "--replicas", str(4 * 10**10)], "num_replicas: got 40000000000"),
        (["--measure-on", "T", "--restarts", "3"], "restarts: got it without --search"),
        (["--measure-on", "T", "--every", "2"], "every: got it without --model"),
        (["--measure-on", "T", "--model", "mixtral-8x7b", "--every", "x"], "every: got 'x'"),
        (["--measure-on", "T", "--model", "mixtral-8x7b", "--every", "9" * 5000], "every: got '99"),
        (
            ["--measure-on", "T", "--model", "mixtral-8x7b", "--every", "0", "--batch", "9"],
            "every: got 0",
        ),
        (["--measure-on", "T", "--model", "deepseek-v3"], "experts of the model: got 256"),
        (
            ["--measure-on", "T", "--model", "mixtral-8x7b", "--nodes", "2", "--groups", "2"],
            "groups: got 2, allowed with --model is 1",
        ),
        (["--measure-on", "T", "--model", "mixtral-8x7b", "--nodes", "2"], "nodes: got 2"),
        (["--measure-on", "no.csv"], "file: got"),
        (["--measure-on", "T", "--search"], "search: got it with --measure-on"),
        (["--measure-on", "T", "--out", "p.json"], "out: got it with --measure-on"),
    ],
)
def test_a_wrong_word_ends_with_one_line(
    run_moe: Callable[..., Any], tmp_path: Path, flags: list[str], message: str
) -> None:
    save_trace(a_trace(), tmp_path / "t.npz")
    path = str(tmp_path / "t.npz")
    words = [path if word == "T" else word for word in flags]
    said = run_moe("place", path, "--gpus", "4", *words, code=2)
    assert message in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1


def test_the_command_of_the_matrix_counts_without_prompts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    domain_N = np.repeat(np.arange(4), 40)
    choices = np.argsort(rng.random((1, 160, 64)), axis=2)[:, :, :6]
    trace = make_trace(
        choices, np.ones(choices.shape), 64, layers=(3,), sequence_N=domain_N, domain_N=domain_N,
        domains=tuple(PROMPTS),
    )  # fmt: skip
    save_trace(trace, tmp_path / FILE)
    bench.main([str(tmp_path)])
    said = capsys.readouterr().out
    load_TLE = np.zeros((4, 1, 64))
    for t, prompt in enumerate(PROMPTS.values()):
        for expert in choices[0, 40 * t + prompt : 40 * (t + 1)].ravel():
            load_TLE[t, 0, expert] += 1
    loads = TaskLoads(tuple(PROMPTS), load_TLE)
    for name, row in zip(PROMPTS, placed_for(loads, loads, 72, gpus=8).uneven_PM, strict=False):
        assert f"{name:20} {' '.join(f'{value:.3f}' for value in row)}\n" in said
    assert "loads other than in the table that ships" in said and "review" in said


def test_the_documentation_has_the_matrix_and_the_break_even() -> None:
    text = (ROOT / "docs" / "placement.md").read_text("utf-8")
    found = break_evens(MATRIX, published_loads(), SETTINGS)
    for name, row, costs in zip(MATRIX.placed_for, MATRIX.uneven_PM, found, strict=True):
        cells = " | ".join(f"{value:.2f}" for value in row)
        assert f"| {name} | {cells} |" in text
        pays = (f"{one.tokens:,.0f}" if one.moved else "at home" for one in costs)
        assert f"| {name} | {' | '.join(pays)} |" in text
    for word in ("source", "commit"):
        assert origin()[word] in text
    assert "MIT" in text
    assert MODELS[SETTINGS.model].name in text
