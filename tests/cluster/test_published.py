"""Figures of the cluster simulation, by hand; every setting's limits; the published tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields, replace

import numpy as np
import pytest

import moe
from moe.cluster import published
from moe.cluster import simulate as cluster
from moe.cluster.calibration import Calibration, RowError, measurements
from moe.cluster.schedule import bubble
from moe.cluster.simulate import BatchTime, ClusterSettings, run, simulate
from moe.cluster.timing import AllToAll
from moe.cost import GPUS, MODELS

SMALL = ClusterSettings(
    n_nodes=2, gpus_per_node=2, nvlink_gb_s=100.0, network_gb_s=10.0, n_experts=8, router="random",
    k=3, n_group=2, topk_group=2, tokens=1000, batch=100, d_model=256,
)  # fmt: skip


def test_the_defaults_are_deepseek_v3_on_h800_nodes() -> None:
    usual, v3, gpu = ClusterSettings(), MODELS["deepseek-v3"], GPUS["h800-sxm"]
    assert (usual.n_experts, usual.k, usual.d_model) == (v3.experts, v3.top_k, v3.d_model)
    assert (usual.n_group, usual.topk_group) == (v3.n_group, v3.topk_group)
    assert (usual.nvlink_gb_s, usual.network_gb_s) == (gpu.nvlink_gb_s, gpu.network_gb_s)
    assert usual.router in moe.ROUTERS and usual.tokens == usual.batch * usual.cluster().n_gpus
    assert (usual.copies, usual.kernels, usual.placement) == ("node", "normal", "contiguous")
    assert (usual.skew, usual.redundant, usual.compute_ratio, usual.seed) == (0, 0, 1, 0)
    for option in fields(ClusterSettings):
        assert option.metadata["help"].endswith("."), option.name


@pytest.mark.parametrize(
    ("name", "low", "high", "others"),
    [
        ("n_experts", 4, 1 << 16, {"n_group": 2, "k": 1}),
        ("k", 1, 8, {"router": "topk"}),
        ("n_group", 1, 8, {"k": 1, "topk_group": 1, "router": "topk"}),
        ("topk_group", 1, 2, {"k": 1}),
        ("tokens", 1, 1 << 27, {}),
        ("batch", 1, 1 << 20, {}),
        ("d_model", 1, 1 << 20, {}),
        ("skew", 0.0, 100.0, {}),
        ("compute_ratio", 0.0, 1000.0, {}),
        ("redundant", 0, 4096, {}),
        ("seed", 0, None, {}),
    ],
)
def test_a_number_is_taken_up_to_both_ends(
    name: str, low: float, high: float | None, others: dict[str, object]
) -> None:
    for value in (low, high):
        if value is not None:
            assert getattr(replace(SMALL, **others, **{name: value}), name) == value
    step = 0.5 if isinstance(low, float) else 1
    below, above = (0 if name == "n_experts" else low - step), (high or 0) + step
    for value in (below, above) if high is not None else (below,):
        with pytest.raises(ValueError, match=rf"^{name}: got {value}"):
            replace(SMALL, **others, **{name: value})


@pytest.mark.parametrize("name", ["router", "copies", "kernels", "placement", "replica"])
def test_a_word_is_one_of_those_that_are_listed(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: got 'other', allowed is one of ") as stop:
        replace(SMALL, **{name: "other"})
    for word in str(stop.value).partition("one of ")[2].split(", "):
        others = {"n_group": 1, "topk_group": 1} if name == "router" else {}
        assert getattr(replace(SMALL, **others, **{name: word}), name) == word


def test_experts_that_gpus_do_not_hold_equally_are_refused_with_what_is_allowed() -> None:
    with pytest.raises(ValueError) as stop:
        replace(SMALL, n_experts=10, redundant=1)
    assert str(stop.value) == (
        "redundant: got 1, which makes 11 experts; allowed is 2 (or 4 more, ...), so that 4 GPUs "
        "hold equally many"
    )
    for redundant in (2, 6):
        replace(SMALL, n_experts=10, redundant=redundant)
    with pytest.raises(ValueError, match="n_group: got 3, allowed is a divisor of 8 experts"):
        replace(SMALL, n_group=3)
    replace(SMALL, n_group=3, router="topk")  # which knows no groups
    assert replace(SMALL, k=4, topk_group=1).k == 4
    with pytest.raises(ValueError, match=r"k: got 5, .*1\.\.4 \(1 groups hold 4 experts\)"):
        replace(SMALL, k=5, topk_group=1)
    with pytest.raises(ValueError, match=r"topk_group: got 3, .*\(2 groups\)"):
        replace(SMALL, topk_group=3)


def test_a_router_gets_the_options_that_it_knows() -> None:
    for name, router in moe.ROUTERS.items():
        settings = replace(SMALL, router=name, n_group=1, topk_group=1, k=1)
        known = {option.name for option in fields(router)} & {"k", "n_group", "topk_group"}
        assert settings.router_options() == dict.fromkeys(known, 1)
        assert settings.grouped == ("n_group" in known), name
        assert type(settings.make_router()) is router
    assert SMALL.grouped
    made = replace(SMALL, router="deepseek_v3", k=2, n_group=4, topk_group=3).make_router()
    assert (made.k, made.n_group, made.topk_group) == (2, 4, 3)


@pytest.mark.parametrize("kernels", ["normal", "low latency", "line rate"])
def test_times_are_rows_over_the_rate_of_the_slowest_link(kernels: str) -> None:
    result = run(replace(SMALL, kernels=kernels, tokens=400, compute_ratio=0.5))
    sent, family = result.traffic, cluster.KERNELS[kernels]
    assert (sent.dispatch_row_bytes, sent.combine_row_bytes) == (256 + 8, 512)
    us = {}
    for phase, row in (("dispatch", 264), ("combine", 512)):
        us[phase] = []
        for g in range(4):
            times = [
                max(rows[g].sum(), rows[:, g].sum()) * row / rate / 1e3
                for rows, rate in (
                    (sent.nvlink_GG, 100 * family.nvlink_share),
                    (sent.network_GG, 10 * family.network_share),
                )
            ]
            us[phase].append(family.call_us + max(times))
    (batch,) = result.batches
    assert batch.dispatch_us == pytest.approx(max(us["dispatch"]))
    assert batch.combine_us == pytest.approx(max(us["combine"]))
    assert batch.even_us == pytest.approx(sum(us["dispatch"] + us["combine"]) / 4)
    assert batch.slowest == pytest.approx(4 * max(us["dispatch"]) / sum(us["dispatch"]))
    assert batch.slowest_compute == pytest.approx(4 * sent.load_G.max() / sent.load_G.sum())
    assert batch.bound_by == ("network" if kernels == "line rate" else "call")
    computing = 0.5 * batch.even_us * batch.slowest_compute
    assert result.compute_us == pytest.approx(computing)
    talking = batch.dispatch_us + batch.combine_us
    # Only the normal kernels take 20 of 132 multiprocessors from computing.
    slowed = computing * (132 / 112 if kernels == "normal" else 1)
    assert result.overlap.in_turn_us == pytest.approx(computing + talking)
    assert result.overlap.overlapped_us == pytest.approx(max(slowed, talking))
    busy = replace(result, settings=replace(result.settings, compute_ratio=100.0))
    assert busy.overlap.overlapped_us == pytest.approx(200 * slowed)


def test_every_figure_of_the_summary() -> None:
    result = run(SMALL)
    batches = [
        BatchTime(10.0, 30.0, 35.0, 1.5, 1.2, "network"),
        BatchTime(20.0, 50.0, 60.0, 2.5, 1.4, "NVLink"),
    ]
    result = replace(result, batches=batches)
    sent, computing = result.traffic, (35 * 1.2 + 60 * 1.4) / 2
    row = 256 + 8 + 512
    wanted = {
        "gpus": 4,
        "tokens": 1000,
        "copies": "node",
        "copies_per_token": sent.n_copies / 1000,
        "network_rows_per_token": sent.network_GG.sum() / 1000,
        "nvlink_rows_per_token": sent.nvlink_GG.sum() / 1000,
        "network_kb_per_token": sent.network_GG.sum() * row / 1e6,
        "nvlink_kb_per_token": sent.nvlink_GG.sum() * row / 1e6,
        "dispatch_us": 15,
        "combine_us": 40,
        "slowest_link": 2,
        "slowest_compute": 1.3,
        "compute_us": computing,
        "in_turn_us": 55 + computing,
        "overlapped_us": computing * 132 / 112,
        "overlap_speed_up": (55 + computing) / (computing * 132 / 112),
    }
    found = result.summary()
    assert found.pop("bound_by") == "network"
    assert found == {name: pytest.approx(value) if name != "copies" else value
                     for name, value in wanted.items()}  # fmt: skip
    document = result.as_json()
    assert document["settings"] == asdict(SMALL)
    assert document.items() >= found.items()
    assert np.array(document["node_gb"]).sum() * 1e9 == pytest.approx(sent.dispatch_bytes_GG.sum())
    assert set(document) == {"settings", "node_gb", "bound_by", *found}


def test_bytes_of_nodes_are_sums_of_links() -> None:
    sent = run(SMALL).traffic
    both_GG = 264 * (sent.nvlink_GG + sent.network_GG)
    by_hand = [
        [both_GG[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].sum() for j in (0, 1)] for i in (0, 1)
    ]
    np.testing.assert_allclose(sent.between_nodes(sent.dispatch_bytes_GG), by_hand)
    assert sent.network_GG[:2, 2:].sum() != sent.network_GG[2:, :2].sum()


def test_recorded_experts_are_counted_where_they_are_placed() -> None:
    """Expert 0 and 1 share GPU 0; all tokens choose 0, every other one also 7; -1 is none."""
    chosen_NK = np.array([[0, 7], [0, -1]] * 200)
    plain = run(SMALL, [chosen_NK])
    assert plain.traffic.load_G.tolist() == [400, 0, 0, 200]
    placed = run(replace(SMALL, placement="balanced", redundant=8), [chosen_NK, chosen_NK])
    wanted, _, _ = moe.rebalance_experts(
        np.array([[800, 0, 0, 0, 0, 0, 0, 400]]), 16, 2, 2, 4
    )  # groups are nodes
    by_hand = np.zeros(4)
    copies = np.bincount(wanted[0])
    for slot, expert in enumerate(wanted[0].tolist()):
        by_hand[slot // 4] += {0: 800, 7: 400}.get(expert, 0) / copies[expert]
    np.testing.assert_allclose(placed.traffic.load_G, by_hand, atol=8)
    assert placed.batches[0] == placed.batches[1] and placed.traffic.n_tokens == 800
    ungrouped = run(replace(SMALL, placement="balanced", redundant=8, router="topk"), [chosen_NK])
    anywhere, _, _ = moe.rebalance_experts(np.array([[400, 0, 0, 0, 0, 0, 0, 200]]), 16, 1, 2, 4)
    copies = np.bincount(anywhere[0])
    by_hand = np.zeros(4)
    for slot, expert in enumerate(anywhere[0].tolist()):
        by_hand[slot // 4] += {0: 400, 7: 200}.get(expert, 0) / copies[expert]
    np.testing.assert_allclose(ungrouped.traffic.load_G, by_hand, atol=8)


def test_second_copies_in_order_are_of_the_first_experts() -> None:
    chosen_NK = np.array([[0, 5]] * 600)
    result = run(replace(SMALL, redundant=4), [chosen_NK])  # 12 slots, 3 a GPU: 0-7, 0-3
    # Expert 0 is on GPUs 0 and 2 (slot 8), expert 5 on GPU 1 only.
    assert result.traffic.load_G.tolist() == [300, 600, 300, 0]
    near = run(replace(SMALL, redundant=4, replica="near"), [chosen_NK])
    assert near.traffic.load_G.tolist() == [300, 600, 300, 0]
    assert near.traffic.network_rows < result.traffic.network_rows


def test_what_settings_change_changes_what_moves() -> None:
    usual = run(SMALL).traffic
    rows = {mode: run(replace(SMALL, copies=mode)).traffic for mode in ("expert", "gpu", "node")}
    assert rows["expert"].n_copies == 3 * 1000 > rows["gpu"].n_copies > rows["node"].n_copies
    assert [run(replace(SMALL, seed=s)).traffic.n_copies == usual.n_copies for s in (0, 1)] == [
        True, False,
    ]  # fmt: skip
    skewed = ClusterSettings(n_nodes=1, n_experts=8, n_group=1, topk_group=1, k=2, tokens=2000)
    even, uneven = (run(replace(skewed, skew=s)).traffic.slowest_load for s in (0.0, 2.0))
    assert even < 1.3 < uneven
    limited = run(replace(SMALL, topk_group=1)).traffic
    assert limited.n_copies == 1000 and usual.n_copies > 1000  # groups are nodes here


def test_tokens_come_in_parts_each_with_its_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CHUNK", 100)
    parts = list(cluster._parts(SMALL, 250, (0, 0, 0)))
    assert [np.shape(part) for part, _ in parts] == [(100, 3), (100, 3), (50, 3)]
    home_N = np.concatenate([home for _, home in parts])
    assert home_N.tolist() == [n * 4 // 250 for n in range(250)]
    assert len({part[:50].tobytes() for part, _ in parts}) == 3
    batches = [list(parts) for parts in cluster._sampled(SMALL)]
    assert [sum(len(part) for part, _ in parts) for parts in batches] == [400, 400, 200]
    assert (batches[0][0][0] != batches[1][0][0]).any()
    routed = list(cluster._parts(replace(SMALL, router="topk"), 250, (0, 0, 0)))
    assert sum(part.n_tokens for part, _ in routed) == 250
    assert np.concatenate([home for _, home in routed]).tolist() == home_N.tolist()


def test_a_balanced_placement_is_learnt_from_other_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[cluster.Recorded] = []
    count = cluster._load

    def spied(settings: ClusterSettings, routed: Iterable[cluster.Recorded]) -> np.ndarray:
        seen.extend(routed)
        return count(settings, seen)

    monkeypatch.setattr(cluster, "_load", spied)
    balanced = replace(SMALL, placement="balanced")
    learnt = list(simulate(balanced))[-1]
    assert sum(map(len, seen)) == cluster.PILOT
    (first, *_) = next(iter(cluster._sampled(SMALL)))
    assert (seen[0][:400] != first[0]).any()
    seen.clear()
    list(simulate(SMALL))
    assert not seen
    given_E = cluster._load(SMALL, cluster._pilot(SMALL))  # the same placement for the same loads
    seen.clear()
    given = list(simulate(balanced, learnt_E=given_E))[-1]
    assert not seen and given.summary() == learnt.summary()


def test_every_column_of_the_table_of_copies() -> None:
    rows = list(published.copies_rows(tokens=20_000, seed=1))
    assert [row.rule for row in rows] == [
        "per expert", "per node", "per node, 4 random nodes",
        "per node, 4 nodes chosen by DeepSeek-V3's gate",
    ]  # fmt: skip
    for row in rows:
        assert row.kb_per_token == pytest.approx(row.simulated * (7392 + 14336) / 1e3)
        assert row.ms == pytest.approx(4096 * row.kb_per_token * 1e3 / 50e9 * 1e3)
    assert rows[0].simulated == 8 and 3.9 < rows[3].simulated <= 4
    assert rows[2].simulated == pytest.approx(rows[2].formula, abs=0.03)
    other = list(published.copies_rows(tokens=20_000, seed=2))
    assert rows[1].simulated != other[1].simulated


def test_every_field_of_a_measurement_beside_the_model() -> None:
    rows = [
        RowError(measured, us=10.0 + i, gb_s=20.0 + i, published_us=30.0 + i,
                 error=(-1) ** i * 0.01 * i, bound_by=("NVLink", "network", "call")[i % 3])
        for i, measured in enumerate(measurements())
    ]  # fmt: skip
    found = Calibration(
        {"normal": AllToAll(1.0, 0.5, 0.25), "other": AllToAll(2.0, 0.4, 0.2)}, rows
    )
    document = published.calibration_json(found)
    assert len(document["rows"]) == len(rows)
    for made, row in zip(document["rows"], found.rows, strict=True):
        same = ("table", "role", "phase", "ep", "source", "note")
        assert made == {
            **{name: getattr(row.measured, name) for name in same},
            "published_gb_s": row.measured.gb_s,
            **{name: getattr(row, name)
               for name in ("published_us", "us", "gb_s", "error", "bound_by")},
        }  # fmt: skip
    errors: dict[str, list[float]] = {}
    for row in document["rows"]:
        errors.setdefault(row["role"], []).append(abs(row["error"]))
    assert document["median_error"] == {
        role: pytest.approx(np.median(values)) for role, values in errors.items()
    }
    assert document["kernels"] == {
        "normal": {"call_us": 1.0, "nvlink_share": 0.5, "network_share": 0.25},
        "other": {"call_us": 2.0, "nvlink_share": 0.4, "network_share": 0.2},
    }
    assert set(document) == {"kernels", "median_error", "rows"}


def test_bubbles_of_the_times_that_were_given() -> None:
    """(PP - 1)(F + B), (PP - 1)(F + B - 2W) and (PP/2 - 1)(F&B + B - 3W)."""
    rows = published.bubble_rows(8, 1.5, 3.5, 1.25, 4.5, 24)
    assert [row["method"] for row in rows] == ["1F1B", "ZB1P", "DualPipe"]
    assert [row["idle"] for row in rows] == [7 * 5, 7 * 2.5, 3 * (4.5 + 3.5 - 3.75)]
    assert [row["work"] for row in rows] == [24 * 5, 24 * 5, 24 * 4.5]
    for row in rows:
        assert row["share"] == pytest.approx(row["idle"] / (row["idle"] + row["work"]))
        made = bubble(row["method"], 8, 1.5, 3.5, 1.25, 4.5, 24)
        assert row == {**asdict(made), "share": made.share}
    usual = published.bubble_rows()
    assert usual == published.bubble_rows(16, 1.0, 2.0, 1.0, None, None)
