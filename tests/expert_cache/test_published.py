"""The table of a real model that ships: whole, consistent, and what its command writes."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from benchmarks import expert_cache as bench
from benchmarks.real_routing import FILE
from docs.generator import expert_cache as page
from moe.cost import MODELS, find_gpu
from moe.cost.links import find_link
from moe.expert_cache import POLICIES
from moe.expert_cache.published import (
    COLUMNS,
    LAYERS,
    N_EXPERTS,
    PATH,
    K,
    in_all,
    origin,
    published,
    sizes,
)
from moe.expert_cache.replay import replay
from moe.expert_cache.speed import cache_speed
from moe.traces import make_trace, save_trace

AHEAD = ("last_token", "last_layer")
BY = {(row.policy, row.slots, row.task): row for row in published()}
TASKS = tuple(bench.PROMPTS)


def test_the_table_has_every_policy_size_and_task_once() -> None:
    keys = [(row.policy, row.slots, row.task) for row in published()]
    assert len(keys) == len(set(keys))
    assert set(keys) == {(p, s, t) for p in POLICIES for s in bench.SLOTS for t in TASKS}
    assert sizes() == bench.SLOTS


def test_counts_add_up() -> None:
    for (policy, slots, task), row in BY.items():
        assert row.requests == row.tokens * LAYERS * K
        others = len(TASKS) - 1 if policy == "pinned_other" else 1
        assert row.tokens == others * BY["lru", slots, task].tokens
        if policy in AHEAD:
            assert row.reads >= row.requests - row.hits
            assert row.waits_per_token < row.reads_per_token
        else:
            assert (row.early, row.hits + row.reads) == (0, row.requests)
        if slots == N_EXPERTS and policy not in AHEAD:  # each expert is read once if asked for
            assert row.reads <= others * LAYERS * N_EXPERTS
    # The second halves of the 30,018 tokens that are left without the prompts.
    assert sum(BY["lru", 16, task].tokens for task in TASKS) in (15009, 15010, 15011)


def test_nothing_in_the_table_beats_belady() -> None:
    for (policy, slots, task), row in BY.items():
        best = BY["belady", slots, task]
        assert row.hit_rate <= best.hit_rate, (policy, slots, task)
        assert row.reads_per_token >= best.reads_per_token


@pytest.mark.parametrize("policy", ["lru", "lfu", "pinned", "pinned_other", "belady"])
def test_more_room_hits_more(policy: str) -> None:
    for task in TASKS:
        rates = [BY[policy, slots, task].hit_rate for slots in sizes()]
        assert rates == sorted(rates)


def test_the_page_has_the_figures_of_the_file() -> None:
    sums: dict[tuple[str, int], np.ndarray] = defaultdict(lambda: np.zeros(5, int))
    lines = [line for line in PATH.read_text("utf-8").splitlines() if line[0] != "#"]
    assert lines[0] == ",".join(COLUMNS)
    text = page.page()
    for line in lines[1:]:
        policy, slots, task, *counts = line.split(",")
        sums[policy, int(slots)] += np.array(counts, int)
        if int(slots) == page.SHOWN:
            row = next(r for r in text.splitlines() if r.startswith(f"| `{policy}` |") and "%" in r)
            cell = row.split("|")[2 + TASKS.index(task)].strip()
            assert cell == f"{int(counts[2]) / int(counts[1]):.1%}"
    for (policy, slots), (tokens, requests, hits, early, reads) in sums.items():
        one = in_all(policy, slots)
        assert one.hit_rate == hits / requests
        assert one.ready_rate == (hits + early) / requests
        assert one.reads_per_token == reads / tokens
        assert one.waits_per_token == (requests - hits - early) / tokens
        if slots == page.SHOWN:
            cells = (
                f"{hits / requests:.1%} | {(hits + early) / requests:.1%} | "
                f"{reads / tokens:.1f} | {(requests - hits - early) / tokens:.1f} |"
            )
            assert f"| `{policy}` | {cells}" in text
    for word in ("source", "commit", "licence"):
        assert origin()[word] in text


def test_where_reading_ahead_writes_faster_is_counted() -> None:
    """The words were once that it helps where a link has time: on no machine here it does."""
    faster = [
        speed(name, gpu, link) > speed("lru", gpu, link)
        for gpu, link in page.MACHINES
        for name in AHEAD
    ]
    assert not any(faster) and f"in none of the {len(faster)} cases below." in page.page()


def speed(policy: str, gpu: str, link: str) -> float:
    one, model = in_all(policy, page.SHOWN), MODELS["deepseek-v2-lite"]
    reads, waits = one.reads_per_token / LAYERS, one.waits_per_token / LAYERS
    found = cache_speed(reads, waits, page.SHOWN, model, find_gpu(gpu), find_link(link))
    return found.tokens_per_s


def test_what_the_table_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="policy: got 'fifo', allowed is one of lru"):
        in_all("fifo", 16)
    with pytest.raises(ValueError, match="slots: got '17', allowed is one of 4, 8"):
        in_all("lru", 17)


def test_the_command_writes_what_a_replay_without_prompts_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    length = 40
    domain_N = np.repeat(np.arange(4), 2 * length)
    choices = np.argsort(rng.random((2, domain_N.size, 64)), axis=2)[:, :, :6]
    trace = make_trace(
        choices, np.ones(choices.shape), 64, sequence_N=np.repeat(np.arange(8), length),
        domain_N=domain_N, domains=TASKS,
    )  # fmt: skip
    save_trace(trace, tmp_path / FILE)
    out = tmp_path / "table.csv"
    bench.main([str(tmp_path), "--write", "--out", str(out)])
    place_N = np.tile(np.arange(length), 8)
    kept = trace.part(np.flatnonzero(place_N >= np.array(list(bench.PROMPTS.values()))[domain_N]))
    assert out.read_text("utf-8") == bench.table(list(replay(kept, bench.SLOTS)))
    rows = [r.split(",") for r in out.read_text("utf-8").splitlines() if r.startswith("lru,16,law")]
    (result,) = replay(kept, [16], ["lru"])
    assert rows[0][3:] == list(
        map(str, (result.tokens_T[1], result.requests_TL[1].sum(), result.hits_TL[1].sum(), 0,
                  result.reads_TL[1].sum()))
    )  # fmt: skip
    said = capsys.readouterr().out
    assert all(name in said for name in bench.REVIEW)
