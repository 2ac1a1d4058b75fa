"""The facade of the cluster model: simulation, placement, traces, figures."""

import time
from dataclasses import replace

import numpy as np
import pytest

import moe
from moe.cluster.published import bubble_rows, copies_rows
from moe.cluster.simulate import ClusterSettings, run, simulate
from moe.traces import save_trace, trace_of_routings

SMALL = ClusterSettings(
    n_nodes=2,
    gpus_per_node=4,
    n_experts=32,
    k=4,
    n_group=4,
    topk_group=2,
    tokens=20_000,
    batch=1024,
)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(ClusterSettings(), id="EP64"),
        pytest.param(ClusterSettings(n_nodes=40, redundant=64, batch=4096), id="EP320"),
    ],
)
@pytest.mark.parametrize("tokens", [100_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_a_million_tokens_of_deepseek_v3_take_seconds(settings, tokens):
    """Time grows with the tokens: a tenth of them says the same."""
    run(replace(settings, tokens=1))  # kernels loaded
    start = time.process_time()  # however busy the machine is
    result = run(replace(settings, tokens=tokens))
    seconds = time.process_time() - start
    print(f"{settings.cluster().n_gpus} GPUs: {seconds:.1f} s; {result.summary()}")
    assert result.traffic.load_G.sum() == 8 * tokens
    assert seconds < 30 * tokens / 1e6  # 4 s for a million on the two cores it was written on


def test_batches_arrive_one_by_one_and_add_up():
    records = list(simulate(SMALL))
    assert [r.traffic.n_tokens for r in records] == [8192, 16384, 20000]
    assert [len(r.batches) for r in records] == [1, 2, 3]
    assert records[-1].traffic.load_G.sum() == 20_000 * 4


def test_same_seed_same_figures():
    assert run(SMALL).as_json() == run(SMALL).as_json()
    assert run(SMALL).as_json() != run(replace(SMALL, seed=1)).as_json()


def test_every_router_runs():
    for name in (*moe.ROUTERS, "random"):
        result = run(replace(SMALL, router=name, tokens=512, n_group=1, topk_group=1, k=2))
        assert result.traffic.n_tokens == 512, name


def test_balanced_placement_and_redundant_experts_even_out_the_load():
    skewed = replace(SMALL, skew=1.0, tokens=8192)
    plain, placed, redundant = (
        run(replace(skewed, **options)).summary()
        for options in (
            {},
            {"placement": "balanced"},
            {"placement": "balanced", "redundant": 16},
        )
    )
    loads = [s["slowest_compute"] for s in (plain, placed, redundant)]
    print("busiest GPU / mean:", *(f"{load:.2f}" for load in loads))
    assert loads[0] > loads[1] > loads[2] >= 1
    assert plain["overlapped_us"] > redundant["overlapped_us"]


def test_a_trace_is_counted_layer_by_layer(tmp_path):
    router = moe.make_router("topk", k=2)
    routings = [
        router.choose(np.random.default_rng(i).standard_normal((50, 16)).astype(np.float32))
        for i in range(3)
    ]
    path = tmp_path / "trace.npz"
    save_trace(trace_of_routings(routings, np.arange(50), model="three layers"), path)
    settings = replace(SMALL, n_experts=16, trace=str(path), placement="balanced", router="topk")
    result = run(settings)
    assert len(result.batches) == 3 and result.traffic.n_tokens == 150
    assert result.traffic.load_G.sum() == 300
    by_hand = run(replace(settings, trace=""), routings)
    assert by_hand.summary() == result.summary()
    with pytest.raises(
        ValueError, match=r"n_experts: got 32, allowed is a whole number in 16\.\.16"
    ):
        run(replace(settings, n_experts=32))
    with pytest.raises(ValueError, match="recorded: got no batch"):
        run(SMALL, [])


def test_bytes_between_nodes_and_gpus_agree():
    result = run(SMALL)
    sent = result.traffic
    nodes = sent.between_nodes(sent.dispatch_bytes_GG)
    assert nodes.sum() == sent.dispatch_bytes_GG.sum()
    off_diagonal = nodes.sum() - np.trace(nodes)
    assert (sent.network_GG * sent.dispatch_row_bytes).sum() == off_diagonal
    assert (sent.nvlink_GG * sent.dispatch_row_bytes).sum() == np.trace(nodes)
    assert sent.load_G.sum() == 80_000


def test_the_node_limit_saves_network_bytes():
    free, limited = (
        run(replace(SMALL, n_nodes=4, gpus_per_node=2, router="random", topk_group=reach)).summary()
        for reach in (4, 2)
    )
    assert limited["network_kb_per_token"] < 0.8 * free["network_kb_per_token"]
    assert limited["dispatch_us"] < free["dispatch_us"]


def test_copies_table():
    rows = list(copies_rows(tokens=30_000))
    assert [r.formula and round(r.formula, 2) for r in rows] == [8.0, 5.29, 3.63, None]
    for row in rows[:3]:
        assert row.simulated == pytest.approx(row.formula, abs=0.025)
    assert rows[0].kb_per_token == 173.824 and round(rows[0].ms, 1) == 14.2


def test_bubble_table():
    assert [row["idle"] for row in bubble_rows(16)] == [45.0, 15.0, 14.0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"redundant": 3}, r"redundant: got 3, which makes 35 experts; allowed is 0"),
        ({"n_nodes": 3}, r"redundant: got 0, which makes 32 experts; allowed is 4"),
        ({"router": "best"}, "router: got 'best'"),
        ({"n_group": 5, "topk_group": 2}, "n_group: got 5"),
        ({"k": 20}, "k: got 20"),
        ({"kernels": "fast"}, "kernels: got 'fast'"),
        ({"placement": "eplb"}, "placement: got 'eplb'"),
        ({"copies": "rank"}, "copies: got 'rank'"),
        ({"skew": -1.0}, "skew: got -1"),
        ({"tokens": 0}, "tokens: got 0"),
    ],
)
def test_a_wrong_setting_is_named(change, words):
    with pytest.raises(ValueError, match=words):
        replace(SMALL, **change)
