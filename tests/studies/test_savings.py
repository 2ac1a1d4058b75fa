"""Costs against dense layers: counted by hand, and measured on a made-up computer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moe.dense import DenseFFN
from moe.studies import savings
from moe.studies.savings import (
    ACTIVE,
    MOE,
    TOTAL,
    MeasuredCost,
    SavingsSettings,
    bytes_by_batch,
    count,
    measure,
    too_large,
)

SHAPE = SavingsSettings(d_model=8, d_expert=4, n_experts=5, k=2, n_shared=1, n_tokens=3)
EXPERT = 3 * 8 * 4  # weights
TOUCHED = 5 * (1 - (3 / 5) ** 3)  # experts that three tokens touch, expected


def test_every_counted_figure_by_hand() -> None:
    moe, total, active = count(SHAPE)
    assert [moe.layer, total.layer, active.layer] == [MOE, TOTAL, ACTIVE]
    assert (moe.params, moe.active_params) == (6 * EXPERT + 40, 3 * EXPERT + 40)
    assert total.params == total.active_params == 6 * EXPERT
    assert active.params == active.active_params == 3 * EXPERT
    assert [c.flops_per_token for c in (moe, total, active)] == [
        2 * (3 * EXPERT + 40), 2 * 6 * EXPERT, 2 * 3 * EXPERT,
    ]  # fmt: skip
    assert moe.weight_bytes == pytest.approx(4 * ((TOUCHED + 1) * EXPERT + 40))
    assert (total.weight_bytes, active.weight_bytes) == (4 * 6 * EXPERT, 4 * 3 * EXPERT)
    for cost in (moe, total, active):
        assert cost.flops_saved == pytest.approx(1 - moe.flops_per_token / cost.flops_per_token)
        assert cost.bytes_saved == pytest.approx(1 - moe.weight_bytes / cost.weight_bytes)
    assert moe.flops_saved == moe.bytes_saved == 0 and active.flops_saved < 0 < total.flops_saved


def test_the_batch_is_checked_at_both_ends() -> None:
    for n_tokens in (1, 1 << 24):
        assert replace(SHAPE, n_tokens=n_tokens).n_tokens == n_tokens
    for n_tokens in (0, (1 << 24) + 1):
        with pytest.raises(ValueError, match=f"n_tokens: got {n_tokens}"):
            replace(SHAPE, n_tokens=n_tokens)
    with pytest.raises(ValueError, match="k: got 6"):
        replace(SHAPE, k=6)


def test_bytes_double_the_batch_up_to_the_end() -> None:
    rows = bytes_by_batch(SHAPE, up_to=5)
    assert [(row["layer"], row["n_tokens"]) for row in rows] == [
        (name, n) for name in (MOE, TOTAL, ACTIVE) for n in (1, 2, 4)
    ]
    assert rows[0]["megabytes"] == pytest.approx(4 * (3 * EXPERT + 40) / 1e6)
    assert {row["megabytes"] for row in rows[3:6]} == {4 * 6 * EXPERT / 1e6}
    assert max(row["n_tokens"] for row in bytes_by_batch(SHAPE)) == 4096


def test_layers_are_too_large_from_the_first_weight_beyond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = 6 * EXPERT + 40
    monkeypatch.setattr(savings, "MAX_MEASURED_WEIGHTS", weights)
    assert too_large(SHAPE) == ""
    monkeypatch.setattr(savings, "MAX_MEASURED_WEIGHTS", weights - 1)
    assert "Choose fewer or narrower experts" in too_large(SHAPE)
    with pytest.raises(ValueError, match=f"got {weights} weights, allowed for .* {weights - 1}"):
        measure(SHAPE, (1,))
    monkeypatch.undo()
    large = SavingsSettings(d_model=512, d_expert=512, n_experts=64)
    told = (64 * 3 * 512 * 512 + 512 * 64) / 1e6
    assert f"has {told:.0f} million weights" in too_large(large)
    assert "up to 13 million can be" in too_large(large)


def test_all_layers_are_timed_and_a_dense_one_counts_as_its_faster_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, told = [], []
    # The library's own product is faster for the total layer, numpy's for the active one.
    times = {MOE: [3e-3, 1e-3, 2e-3], TOTAL: [4e-3, 9e-3, 4e-3], f"{TOTAL} (numpy)": [5e-3] * 3,
             ACTIVE: [6e-3] * 3, f"{ACTIVE} (numpy)": [1e-3, 1e-3, 8e-3]}  # fmt: skip

    def blocks(calls, blocks, block_seconds, pause, on_pause):
        asked.append((blocks, block_seconds, pause))
        on_pause()
        for name in (TOTAL, ACTIVE):  # both ways compute the same
            np.testing.assert_allclose(calls[f"{name} (numpy)"](), calls[name](), atol=1e-6)
        assert list(calls) == list(times)
        asked.append(np.shape(calls[MOE]()))
        return times

    monkeypatch.setattr(savings, "blocks_in_turn", blocks)
    rows = measure(SHAPE, (3, 2_000), runs=7, on_pause=told.append)
    assert [(row.layer, row.n_tokens) for row in rows] == [
        (name, n) for n in (3, 2_000) for name in (MOE, TOTAL, ACTIVE)
    ]
    assert asked[0][0] == 7 and asked[1] == (3, 8) and asked[3] == (2_000, 8)
    assert all(0 < seconds <= 0.05 for seconds in asked[0][1:])  # a visitor waits
    assert told[-2:] == ["timing batches of 3 tokens", "timing batches of 2,000 tokens"]
    moe, total, active = rows[:3]
    assert (moe.milliseconds, moe.low, moe.high, moe.speed_up) == pytest.approx((2, 1, 3, 1))
    assert (total.milliseconds, total.low, total.high) == pytest.approx((4, 4, 9))
    assert (total.speed_up, total.least, total.most) == pytest.approx((2, 4 / 3, 9))
    assert (active.milliseconds, active.low, active.high) == pytest.approx((1, 1, 8))
    assert (active.speed_up, active.least, active.most) == pytest.approx((0.5, 1 / 3, 4))
    work = [2 * (3 * EXPERT + 40), 2 * 6 * EXPERT, 2 * 3 * EXPERT]
    for row, flops in zip(rows, 2 * work, strict=True):
        assert row.executed_gflops == pytest.approx(row.n_tokens * flops / 1e9)
    measure(SHAPE, (1,))  # nobody listens
    assert asked[-2][0] == savings.RUNS


def test_turns_are_waited_for_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    class Turns:
        def measuring(self, waiting):
            waiting(3)
            raise TimeoutError

    monkeypatch.setattr(savings, "TURNS", Turns())
    with pytest.raises(TimeoutError):
        measure(SHAPE, (1,), on_pause=told.append)
    assert told == ["You are number 3 in the queue"]


def test_plain_numpy_computes_what_the_dense_layer_does() -> None:
    layer = DenseFFN.init(8, 4)
    x_ND = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    np.testing.assert_allclose(savings._numpy_caller(layer, x_ND)(), layer(x_ND), atol=1e-6)


def test_runs_of_different_number_are_compared_in_their_order() -> None:
    one = MeasuredCost.of(TOTAL, 4, [2e-3, 4e-3, 9e-3], [1e-3, 4e-3], 0.5)
    assert (one.least, one.most) == pytest.approx((1, 2))
    assert one.speed_up == pytest.approx(4 / 2.5) and one.high == pytest.approx(9)
    other = MeasuredCost.of(TOTAL, 4, [1e-3, 4e-3], [2e-3, 4e-3, 9e-3], 0.5)
    assert (other.least, other.most) == pytest.approx((0.5, 1))


def test_two_measurements_have_the_spread_of_both() -> None:
    one = MeasuredCost.of(TOTAL, 4, [1e-3, 2e-3, 3e-3], [1e-3, 1e-3, 2e-3], 0.5)
    other = MeasuredCost.of(TOTAL, 4, [4e-3], [1e-3], 0.5)
    both = one.pooled(other)
    assert (both.low, both.high, both.runs) == (pytest.approx(1.0), pytest.approx(4.0), 4)
    assert (both.least, both.most) == pytest.approx((1.0, 4.0))
    assert both.milliseconds == pytest.approx((3 * 2.0 + 4.0) / 4)
    assert both.speed_up == pytest.approx((3 * 2.0 + 4.0) / 4)
    assert (both.layer, both.n_tokens, both.executed_gflops) == (TOTAL, 4, 0.5)
