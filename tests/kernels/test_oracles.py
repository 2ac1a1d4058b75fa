"""Every numba kernel equals its plain numpy oracle, for any shapes and options."""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import moe.kernels
from moe import kernels
from moe.kernels import (
    activation_text,
    dispatch,
    expert_gradients,
    experts,
    products,
    rerouting,
    scores,
    selection,
    steering,
    training,
)

sizes = st.integers(0, 70)
dtypes = st.sampled_from(["float32", "float64"])
activation_names = st.sampled_from(sorted(activation_text.CODES))


def tolerance(dtype: str) -> float:
    return 2e-5 if dtype == "float32" else 1e-12


def close(mine: np.ndarray, truth: np.ndarray, dtype: str) -> None:
    assert mine.shape == truth.shape and mine.dtype == truth.dtype
    scale = max(1.0, float(np.abs(truth).max(initial=0)))
    assert np.abs(mine - truth).max(initial=0) <= tolerance(dtype) * scale


def normal(seed: int, *shape: int, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def test_every_operation_has_an_oracle_above_it() -> None:
    for module in pkgutil.iter_modules(moe.kernels.__path__):
        source = importlib.import_module(f"moe.kernels.{module.name}")
        for name in vars(source):
            if name.startswith("_") and name.endswith("_fast"):
                operation = name.removeprefix("_").removesuffix("_fast")
                assert hasattr(source, f"{operation}_oracle"), name
                assert operation in kernels.__all__, name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("n", "e", "k"), [(0, 4, 2), (1, 1, 1), (300, 7, 3), (300, 8, 2), (300, 40, 5)]
)
def test_softmax_topk_and_back(n: int, e: int, k: int, dtype: str) -> None:
    # Rounded, so that there are ties; -inf is what a masked expert has.
    logits_NE = normal(0, n, e, dtype=dtype).round(1)
    logits_NE[: n // 4, k:] = -np.inf
    expert_NK, weight_NK, scores_NE = kernels.softmax_topk(logits_NE, k)
    true_expert_NK, true_weight_NK, true_scores_NE = selection.softmax_topk_oracle(logits_NE, k)
    assert np.array_equal(expert_NK, true_expert_NK)
    close(weight_NK, true_weight_NK, dtype)
    close(scores_NE, true_scores_NE, dtype)
    dweight_NK = normal(1, n, k, dtype=dtype)
    close(
        kernels.softmax_topk_backward(expert_NK, weight_NK, dweight_NK, e),
        selection.softmax_topk_backward_oracle(expert_NK, weight_NK, dweight_NK, e),
        dtype,
    )


@given(n=sizes, m=st.integers(1, 40), p=st.integers(1, 40), dtype=dtypes, seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_products(n: int, m: int, p: int, dtype: str, seed: int) -> None:
    a_NM, b_MP = normal(seed, n, m, dtype=dtype), normal(seed + 1, m, p, dtype=dtype)
    b_PM, b_NP = normal(seed + 2, p, m, dtype=dtype), normal(seed + 3, n, p, dtype=dtype)
    close(kernels.matmul(a_NM, b_MP), products.matmul_oracle(a_NM, b_MP), dtype)
    close(kernels.matmul_nt(a_NM, b_PM), products.matmul_nt_oracle(a_NM, b_PM), dtype)
    close(kernels.matmul_tn(a_NM, b_NP), products.matmul_tn_oracle(a_NM, b_NP), dtype)


@pytest.mark.parametrize("rows", [255, 256, 257, 1025])
def test_products_across_tiles(rows: int) -> None:
    a_NM, b_MP, b_NP = normal(1, rows, 300), normal(2, 300, 40), normal(3, rows, 40)
    close(kernels.matmul(a_NM, b_MP), a_NM @ b_MP, "float64")
    close(kernels.matmul_nt(b_NP, b_MP), b_NP @ b_MP.T, "float64")
    close(kernels.matmul_tn(a_NM, b_NP), a_NM.T @ b_NP, "float64")


@given(
    n=sizes,
    e=st.integers(1, 40),
    dtype=dtypes,
    seed=st.integers(0, 99),
    scale=st.sampled_from([0.0, 1.0, 1e4]),
)
@settings(max_examples=40, deadline=None)
def test_scores(n: int, e: int, dtype: str, seed: int, scale: float) -> None:
    logits_NE = (scale * normal(seed, n, e)).astype(dtype)
    probs_NE = kernels.softmax(logits_NE)
    close(probs_NE, scores.softmax_oracle(logits_NE), dtype)
    assert np.allclose(probs_NE.sum(axis=1), 1, atol=1e-5)
    close(kernels.sigmoid(logits_NE), scores.sigmoid_oracle(logits_NE), dtype)
    dprobs_NE = normal(seed + 1, n, e, dtype=dtype)
    close(
        kernels.softmax_backward(probs_NE, dprobs_NE),
        scores.softmax_backward_oracle(probs_NE, dprobs_NE),
        dtype,
    )


@given(
    n=sizes,
    e=st.integers(1, 40),
    data=st.data(),
    values=st.sampled_from(["normal", "few", "equal"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_topk_breaks_ties_toward_the_lower_index(
    n: int, e: int, data: st.DataObject, values: str, seed: int
) -> None:
    k = data.draw(st.integers(1, e))
    rng = np.random.default_rng(seed)
    select_NE = {
        "normal": rng.standard_normal((n, e)),
        "few": rng.integers(0, 3, (n, e)).astype(float),
        "equal": np.zeros((n, e)),
    }[values]
    mine, truth = kernels.topk(select_NE, k), selection.topk_oracle(select_NE, k)
    assert np.array_equal(mine, truth)
    for row, chosen in zip(select_NE, mine, strict=True):  # a third way: Python's own sort
        assert chosen.tolist() == sorted(range(e), key=lambda i: (-row[i], i))[:k]


@given(
    n=st.integers(1, 60),
    e=st.integers(1, 20),
    k=st.integers(1, 20),
    rate=st.sampled_from([0.0, 1e-4, 1e-3, 0.01, 0.03, 0.3]),
    levels=st.sampled_from([3, 50, 10**7]),  # few of them: many scores are equal
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_steering(n: int, e: int, k: int, rate: float, levels: int, seed: int) -> None:
    logits_NE = np.random.default_rng(seed).standard_normal((n, e)) * 2
    logits_NE = (np.round(logits_NE * levels) / levels).astype(np.float32)
    given_ = logits_NE, kernels.sigmoid(logits_NE), min(k, e), rate, 120
    load_SE = kernels.steer(*given_)
    assert np.array_equal(load_SE, steering.steer_oracle(*given_))
    assert (load_SE.sum(axis=1) == n * min(k, e)).all()


@given(
    n=sizes,
    groups=st.integers(1, 8),
    size=st.integers(1, 6),
    best_of=st.integers(1, 2),
    data=st.data(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_group_mask(
    n: int, groups: int, size: int, best_of: int, data: st.DataObject, seed: int
) -> None:
    keep = data.draw(st.integers(1, groups))
    select_NE = np.random.default_rng(seed).integers(-2, 3, (n, groups * size)).astype(float)
    mine = kernels.mask_groups(select_NE, groups, keep, best_of)
    assert np.array_equal(mine, selection.mask_groups_oracle(select_NE, groups, keep, best_of))
    assert (np.isfinite(mine).sum(axis=1) == keep * size).all()


@given(
    n=st.integers(0, 60),
    k=st.integers(1, 4),
    e=st.integers(1, 9),
    d=st.integers(1, 20),
    f=st.integers(1, 20),
    activation=activation_names,
    dtype=dtypes,
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_dispatch_experts_combine(
    n: int, k: int, e: int, d: int, f: int, activation: str, dtype: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    token_A = np.repeat(np.arange(n, dtype=np.int32), k)
    expert_A = rng.integers(0, e, n * k).astype(np.int32)
    kept_A = rng.random(n * k) < 0.8
    plan = kernels.dispatch_plan(token_A, expert_A, kept_A, n, e)
    truth = dispatch.dispatch_plan_oracle(token_A, expert_A, kept_A, n, e)
    for mine, other in zip(plan, truth, strict=True):
        assert np.array_equal(mine, other)

    h = 2 * f if activation in activation_text.GATED else f
    x_ND, up_EDH = normal(seed, n, d, dtype=dtype), normal(seed + 1, e, d, h, dtype=dtype)
    down_EFD, dy_ND = normal(seed + 2, e, f, d, dtype=dtype), normal(seed + 3, n, d, dtype=dtype)
    weight_S = normal(seed + 4, plan.token_S.size, dtype=dtype)
    b_up_EH = normal(seed + 5, e, h, dtype=dtype) if seed % 2 else None
    inputs = (x_ND, plan, up_EDH, down_EFD, activation, True, b_up_EH)
    mine = kernels.experts_forward(*inputs)
    other = experts.experts_forward_oracle(*inputs)
    close(mine[0], other[0], dtype)
    close(mine[1], other[1], dtype)
    assert mine[2] == other[2] == kept_A.sum()
    close(
        kernels.combine(mine[0], weight_S, plan),
        dispatch.combine_oracle(mine[0], weight_S, plan),
        dtype,
    )
    arguments = (dy_ND, x_ND, other[1], weight_S, plan, up_EDH, down_EFD, activation)
    for got, want in zip(
        kernels.experts_backward(*arguments),
        expert_gradients.experts_backward_oracle(*arguments),
        strict=True,
    ):
        close(got, want, dtype)
    sums = [np.zeros((e, h), dtype) for _ in range(2)]
    kernels.experts_backward(*arguments, sums[0])
    expert_gradients.experts_backward_oracle(*arguments, sums[1])
    close(*sums, dtype)


@given(
    n=st.integers(1, 90),
    c=st.integers(1, 5),
    v=st.integers(2, 300),
    d=st.integers(1, 16),
    dtype=dtypes,
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_training_kernels(n: int, c: int, v: int, d: int, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table_CVD = normal(seed, c, v, d, dtype=dtype)
    token_NC, target_N = rng.integers(0, v, (n, c)), rng.integers(0, v, n)
    close(kernels.embed(table_CVD, token_NC), training.embed_oracle(table_CVD, token_NC), dtype)
    dx_ND = normal(seed + 1, n, d, dtype=dtype)
    close(
        kernels.embed_backward(dx_ND, token_NC, v),
        training.embed_backward_oracle(dx_ND, token_NC, v),
        dtype,
    )
    logits_NV = normal(seed + 2, n, v, dtype=dtype)
    mine, truth = (
        kernels.cross_entropy(logits_NV, target_N),
        training.cross_entropy_oracle(logits_NV, target_N),
    )
    assert abs(mine[0] - truth[0]) <= tolerance(dtype) * max(1, truth[0])
    close(mine[1], truth[1], dtype)


@given(
    n=st.integers(0, 60),
    e=st.sampled_from([1, 2, 5, 12, 40]),
    k=st.integers(1, 12),
    limit=st.integers(1, 40),
    odd=st.sampled_from([-0.0, np.inf, -np.inf]),
    dtype=dtypes,
    seed=st.integers(0, 99),
)
@settings(max_examples=100, deadline=None)
def test_rerouting(n: int, e: int, k: int, limit: int, odd: float, dtype: str, seed: int) -> None:
    rng, k = np.random.default_rng(seed), min(k, e)
    logits_NE = rng.integers(-3, 3, (n, e)).astype(dtype)  # many ties
    logits_NE[rng.random((n, e)) < 0.1] = odd
    shuffled = rng.permutation(n * k)  # assignments may stand in any order
    token_A = np.repeat(np.arange(n, dtype=np.int32), k)[shuffled]
    rank_A = np.tile(np.arange(k, dtype=np.int32), n)[shuffled]
    expert_A = selection.topk_oracle(logits_NE + np.linspace(2, 0, e), k).reshape(-1)[shuffled]
    kept_A = np.zeros(n * k, bool)
    for expert in range(e):
        kept_A[np.flatnonzero(expert_A == expert)[:limit]] = True
    before = expert_A.copy(), kept_A.copy()
    arguments = (token_A, rank_A, expert_A, kept_A, logits_NE, limit)
    for mine, truth in zip(
        kernels.reroute(*arguments), rerouting.reroute_oracle(*arguments), strict=True
    ):
        assert mine.dtype == truth.dtype and mine.tolist() == truth.tolist()
    assert np.array_equal(expert_A, before[0]) and np.array_equal(kept_A, before[1])


def test_read_all_reads_all() -> None:
    values = np.arange(300_001, dtype=np.float32) % 7
    assert kernels.read_all(values) == values.sum(dtype=np.float64)
