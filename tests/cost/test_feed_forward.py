"""Counted costs against formulas written out by hand, and against what the layer counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import moe
from moe.cost import FeedForward, expected_experts


def test_a_small_layer_by_hand() -> None:
    shape = FeedForward(d_model=4, d_expert=10, n_experts=8, k=2, n_shared=1)
    assert shape.expert_params == 3 * 4 * 10
    assert shape.total_params == 9 * 120 + 4 * 8
    assert shape.active_params == 3 * 120 + 4 * 8
    assert shape.flops_per_token == 3 * 240 + 2 * 4 * 8
    assert shape.dense("total").d_expert == 90 and shape.dense("active").d_expert == 30
    assert shape.dense("total").flops_per_token == 9 * 240
    assert shape.weight_bytes(1) == pytest.approx(4 * (3 * 120 + 32))


@given(
    d=st.integers(1, 12),
    f=st.integers(1, 12),
    e=st.integers(1, 10),
    shared=st.integers(0, 2),
    activation=st.sampled_from(["swiglu", "gelu", "relu"]),
    data=st.data(),
)
@settings(max_examples=30, deadline=None)
def test_formulas_equal_the_arrays_and_the_counter(
    d: int, f: int, e: int, shared: int, activation: str, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, e))
    shape = FeedForward(d, f, e, k, shared, activation)
    layer = moe.MoELayer.init(d, f, e, k=k, n_shared=shared, activation=activation)
    assert shape.total_params == layer.n_params
    _, ctx = layer.forward(np.ones((5, d)))
    assert ctx.executed_flops == 5 * shape.flops_per_token
    for baseline in ("total", "active"):
        matching = shape.dense(baseline)
        dense = moe.DenseFFN.init(d, matching.d_expert, activation=activation)
        assert matching.total_params == dense.n_params
        assert dense.forward(np.ones((5, d)))[1].executed_flops == 5 * matching.flops_per_token


def test_experts_touched_equal_a_simulation(rng: np.random.Generator) -> None:
    seen = [np.unique(rng.integers(0, 8, 10)).size for _ in range(4000)]
    assert expected_experts(8, 1, 10) == pytest.approx(np.mean(seen), rel=0.02)
    assert expected_experts(8, 2, 1) == pytest.approx(2)
    assert expected_experts(8, 3, 0) == 0


def test_batch_that_reads_nearly_everything() -> None:
    shape = FeedForward(64, 64, 16, 2)
    n = shape.all_read_batch()
    assert expected_experts(16, 2, n) >= 0.9 * 16 > expected_experts(16, 2, n - 1)


@given(
    e=st.integers(2, 64),
    flops=st.sampled_from([1e10, 1e11, 1e13]),
    read=st.sampled_from([1e9, 1e10, 1e12]),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_break_even_is_where_arithmetic_hides_the_reading(
    e: int, flops: float, read: float, data: st.DataObject
) -> None:
    shape = FeedForward(256, 128, e, data.draw(st.integers(1, e)))
    n = shape.break_even_batch(flops, read)

    def ratio(batch: int) -> float:
        return shape.seconds(batch, flops, read) / (batch * shape.flops_per_token / flops)

    assert all(ratio(batch) == pytest.approx(1) for batch in (n, n + 1, 2 * n, 10 * n))
    if n > 1:
        assert ratio(n - 1) > 1
    # A dense layer of equal active size gets there sooner: its weights are fewer.
    assert shape.dense("active").break_even_batch(flops, read) <= n


def test_bad_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"k: got 9, allowed is a whole number in 1\.\.8"):
        FeedForward(4, 4, 8, 9)
    with pytest.raises(ValueError, match="parameters: got 'half', allowed is one of total, active"):
        FeedForward(4, 4).dense("half")


def test_a_batch_that_reads_a_share_of_any_number_of_experts_is_found_at_once() -> None:
    shape = FeedForward(4, 4, n_experts=10**9, k=3)
    n = shape.all_read_batch(0.5)
    assert n == pytest.approx(10**9 * np.log(2) / 3, rel=1e-6)
    assert expected_experts(10**9, 3, n - 1) < 0.5 * 10**9 <= expected_experts(10**9, 3, n)
    for one, first in ((FeedForward(4, 4, 8, 8), 1), (FeedForward(4, 4, 8, 2), 2)):
        assert one.all_read_batch(0.3) == first
    whole = FeedForward(4, 4, 8, 2).all_read_batch(1.0)
    assert expected_experts(8, 2, whole) == 8.0 > expected_experts(8, 2, whole - 1)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.1, float("nan")])
def test_a_share_that_no_batch_reads_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"share: got .*, allowed is a number > 0 and <= 1"):
        FeedForward(4, 4, 8, 2).all_read_batch(share)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_a_speed_that_cannot_be_is_refused(speed: float) -> None:
    shape = FeedForward(4, 4, 8, 2)
    with pytest.raises(ValueError, match=r"flops_per_s: got .*, allowed is a number > 0"):
        shape.break_even_batch(speed, 1e9)
    with pytest.raises(ValueError, match=r"bytes_per_s: got .*, allowed is a number > 0"):
        shape.break_even_batch(1e9, speed)
