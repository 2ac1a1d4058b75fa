"""Cost, decoding and clusters with real traffic: beside the even formula, and as measured."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moe.cluster.simulate import ClusterSettings, run
from moe.cost import MODELS, decode, expected_experts, find_gpu, weight_bytes_read
from moe.cost.decode import experts_touched
from moe.cost.params import expert_params
from moe.traces import make_trace, save_trace
from moe.traffic import chosen_by_law, find_traffic
from moe.traffic.tables import load_table

Run = Callable[..., subprocess.CompletedProcess[str]]
LITE, V3 = MODELS["deepseek-v2-lite"], MODELS["deepseek-v3"]


def test_decoding_with_measured_popularity_reads_what_was_measured() -> None:
    traffic, table = find_traffic("v2-lite"), load_table("v2-lite")
    for n, measured in zip(table.sizes, table.batch_DS.mean(axis=0)):
        assert experts_touched(LITE, n, traffic) == pytest.approx(measured, rel=2e-3)
    at = table.sizes.index(16)
    bounds = decode(LITE, find_gpu("rtx-4090"), batch=16, traffic=traffic)
    assert bounds.experts_touched == pytest.approx(table.batch_DS[:, at].mean(), rel=2e-3)
    assert bounds.tokens_per_s > decode(LITE, find_gpu("rtx-4090"), batch=16).tokens_per_s


def test_fewer_experts_are_fewer_bytes_and_nothing_else() -> None:
    traffic = find_traffic("v2-lite")
    even, real = (weight_bytes_read(LITE, 16, "bf16", one) for one in (None, traffic))
    fewer = expected_experts(64, 6, 16) - experts_touched(LITE, 16, traffic)
    assert even - real == pytest.approx(2 * 26 * fewer * expert_params(LITE))
    assert weight_bytes_read(LITE, 1, "bf16", traffic) == pytest.approx(
        weight_bytes_read(LITE, 1, "bf16")
    )


def test_a_model_of_another_size_takes_the_law_and_a_dense_one_nothing() -> None:
    traffic = find_traffic("v2-lite")
    assert traffic is not None
    law_E = chosen_by_law(256, 8, traffic.spread)
    assert experts_touched(V3, 32, traffic) == pytest.approx((1 - (1 - law_E) ** 32).sum())
    dense = next(model for model in MODELS.values() if not model.moe_layers)
    assert experts_touched(dense, 32, traffic) == 0


def test_even_is_the_default_and_changes_no_bit() -> None:
    gpu = find_gpu("h200-sxm")
    assert decode(V3, gpu, batch=7) == decode(V3, gpu, batch=7, traffic=find_traffic("even"))
    settings = ClusterSettings(n_nodes=1, tokens=4096, batch=256)
    assert settings.traffic == "even"
    assert run(settings).summary() == run(replace(settings, traffic="even")).summary()


def test_a_model_of_a_billion_experts_does_not_fill_the_memory() -> None:
    """Its configuration may be anybody's; the law makes a number for each of them."""
    many = replace(LITE, experts=10**9)
    with pytest.raises(
        ValueError, match=r"n_experts: got 1000000000, allowed is a whole number in"
    ):
        experts_touched(many, 16, find_traffic("v2-lite"))


def test_decode_prints_both_formulas_side_by_side(run_moe: Run) -> None:
    command = "decode", "deepseek-v2-lite", "--gpu", "rtx-4090", "--batch", "16"
    (row,) = json.loads(run_moe(*command, "--traffic", "v2-lite", "--json").stdout)
    assert row["experts_touched"] == pytest.approx(42.2, abs=0.05)
    assert row["experts_even"] == pytest.approx(50.8, abs=0.05)
    assert "as measured" in row["traffic"]
    (even,) = json.loads(run_moe(*command, "--json").stdout)
    assert even["experts_touched"] == row["experts_even"] and "traffic" not in even
    text = run_moe(*command, "--traffic", "v2-lite", COLUMNS="200").stdout
    assert "42.21" in text and "50.75" in text and "experts if even" in text
    text = run_moe("decode", "deepseek-v3", "--traffic", "v2-lite", COLUMNS="200").stdout
    assert "the law fitted to it" in text and "8 of 256 experts" in text


def test_a_cluster_computes_what_popular_experts_get() -> None:
    settings = ClusterSettings(
        n_nodes=1, n_experts=64, k=6, n_group=1, topk_group=1, tokens=65_536, batch=8192,
        traffic="v2-lite", copies="gpu", router="topk", seed=30,
    )  # fmt: skip
    traffic = find_traffic("v2-lite")
    assert traffic is not None
    load_G = traffic.chosen_RE[30].reshape(8, 8).sum(axis=1)
    found = run(settings)
    assert found.traffic.slowest_load == pytest.approx(load_G.max() / load_G.mean(), rel=0.01)
    # A placement is made for the same layer, so that it helps.
    placed = run(replace(settings, placement="balanced", redundant=8))
    assert placed.traffic.slowest_load < 1.1 < found.traffic.slowest_load
    assert run(settings).summary() == found.summary()


def test_wrong_traffic_is_one_line(tmp_path: Path, run_moe: Run) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK" + bytes(50))
    for name, words in (
        ("magic", "traffic: got 'magic', allowed is even, v2-lite"),
        (str(tmp_path / "none.npz"), "file: got"),
        (str(tmp_path / "a.npz"), "npz file: got"),
    ):
        for command in (("decode",), ("cluster", "simulate", "--tokens", "64")):
            # Kernels may be compiled before, which says so.
            *_, line = run_moe(*command, "--traffic", name, code=2).stderr.splitlines()
            assert line.startswith("moe: ") and words in line
    with pytest.raises(ValueError, match="beside a trace"):
        ClusterSettings(traffic="v2-lite", trace="a.npz")
    with pytest.raises(ValueError, match=r"skew: got 0\.5 beside the traffic 'v2-lite'"):
        ClusterSettings(traffic="v2-lite", skew=0.5)


def test_a_trace_s_file_is_taken_by_name(tmp_path: Path, run_moe: Run) -> None:
    expert_LNK = np.tile(np.array([[0, 1]], np.int16), (1, 300, 1))
    save_trace(make_trace(expert_LNK, np.full((1, 300, 2), 0.5), 8), tmp_path / "two.npz")
    said = run_moe(
        "decode", "mixtral-8x7b", "--batch", "64", "--traffic", str(tmp_path / "two.npz"), "--json"
    )
    (row,) = json.loads(said.stdout)
    assert row["experts_touched"] == pytest.approx(2) and row["experts_even"] > 7.9
