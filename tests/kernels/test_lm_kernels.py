"""Kernels of the language model: gradients by differences, oracles, and bits that stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from moe import kernels

EPS = 1e-6


def normal(seed: int, *shape: int, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def close(mine: np.ndarray, truth: np.ndarray) -> None:
    assert mine.shape == truth.shape and mine.dtype == truth.dtype
    bound = 4e-5 if truth.dtype == np.float32 else 1e-11
    scale = max(1.0, float(np.abs(truth).max(initial=0)))
    assert np.abs(mine - truth).max(initial=0) <= bound * scale


def check_gradients(
    value: Callable[..., float], arrays: list[np.ndarray], grads: list[np.ndarray]
) -> None:
    """Compare the change along a random direction of each array with its gradient."""
    for i, (array, grad) in enumerate(zip(arrays, grads, strict=True)):
        assert grad.shape == array.shape
        direction, ends = normal(100 + i, *array.shape), []
        for sign in (1, -1):
            moved = [a.copy() for a in arrays]
            moved[i] += sign * EPS * direction
            ends.append(value(*moved))
        assert (ends[0] - ends[1]) / (2 * EPS) == pytest.approx(
            float((grad * direction).sum()), rel=1e-6, abs=1e-7
        )


@pytest.fixture(params=["numpy", "numba"])
def backend(request: pytest.FixtureRequest):
    """Both implementations must have right gradients."""
    with kernels.using(request.param):
        yield


def tables(length: int, half: int, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of rotary positions."""
    angle = np.outer(np.arange(length), 100.0 ** -np.linspace(0, 1, half, endpoint=False))
    return np.cos(angle).astype(dtype), np.sin(angle).astype(dtype)


@pytest.mark.usefixtures("backend")
def test_gradients_of_rms_norm() -> None:
    x_ND, gain_D, dy_ND = normal(0, 5, 7), normal(1, 7), normal(2, 5, 7)

    def value(x_ND: np.ndarray, gain_D: np.ndarray) -> float:
        return float((kernels.rms_norm(x_ND, gain_D, 1e-5)[0] * dy_ND).sum())

    _, inverse_N = kernels.rms_norm(x_ND, gain_D, 1e-5)
    grads = kernels.rms_norm_backward(dy_ND, x_ND, gain_D, inverse_N)
    check_gradients(value, [x_ND, gain_D], list(grads))


HEADS = [
    # H, G, C, U, R, gains ("head", "whole" or none), interleaved
    (3, 3, 8, 8, 4, "", False),
    (4, 2, 6, 6, 3, "head", False),
    (4, 2, 6, 5, 2, "head", True),
    (4, 1, 8, 3, 2, "whole", False),
    (2, 2, 5, 5, 0, "whole", False),
]


def heads_case(
    case: tuple[int, int, int, int, int, str, bool], n_rows: int, dtype: str = "float64"
) -> tuple[np.ndarray, tuple[int, int, int, int], list[np.ndarray], tuple]:
    """A fused product, the shape, gains, and the rest of the arguments."""
    h, g, c, u, half, kind, interleaved = case
    sizes = {"": [], "head": [c, c], "whole": [h * c, g * c]}[kind]
    gains = [normal(7 + i, size, dtype=dtype) for i, size in enumerate(sizes)]
    position_N = np.arange(n_rows) % 9
    rest = (1e-5, position_N, *tables(9, half, dtype), interleaved)
    return normal(3, n_rows, h * c + g * c + g * u, dtype=dtype), (h, g, c, u), gains, rest


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("case", HEADS)
def test_gradients_of_split_heads(case: tuple[int, int, int, int, int, str, bool]) -> None:
    qkv_NX, shape, gains, rest = heads_case(case, 4)
    q, k, v, kept = kernels.split_heads(qkv_NX, shape, *(gains or [None, None]), *rest)
    outer = [normal(20 + i, *part.shape) for i, part in enumerate((q, k, v))]

    def value(qkv_NX: np.ndarray, *gains: np.ndarray) -> float:
        *parts, _ = kernels.split_heads(qkv_NX, shape, *(gains or [None, None]), *rest)
        return float(sum((part * d).sum() for part, d in zip(parts, outer, strict=True)))

    grads = kernels.split_heads_backward(*outer, kept)
    assert bool(gains) == (grads[1] is not None) == (grads[2] is not None)
    check_gradients(value, [qkv_NX, *gains], [grad for grad in grads if grad is not None])


@pytest.mark.usefixtures("backend")
def test_scores_see_only_the_distance() -> None:
    """Rotary positions: a query's product with a key depends on how far they lie apart."""
    q, k = normal(0, 1, 6), normal(1, 1, 6)
    row = np.tile(np.concatenate([q, k, k], axis=1), (5, 1))
    for interleaved in (False, True):
        tail = (None, None, 1e-5, np.arange(5), *tables(5, 3), interleaved)
        q_N, k_N, *_ = kernels.split_heads(row, (1, 1, 6, 6), *tail)
        products = q_N[:, 0] @ k_N[:, 0].T
        assert np.allclose(np.diag(products, -2), products[2, 0])
        assert not np.isclose(products[3, 0], products[2, 0])


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("h", "g", "c", "u"), [(2, 2, 4, 4), (4, 2, 5, 3), (3, 1, 2, 6)])
def test_gradients_of_attention(h: int, g: int, c: int, u: int) -> None:
    rows = 2 * 7
    arrays = [normal(0, rows, h, c), normal(1, rows, g, c), normal(2, rows, g, u)]
    dout_NHU = normal(3, rows, h, u)

    def value(*arrays: np.ndarray) -> float:
        return float((kernels.attention(*arrays, 2, 0.7)[0] * dout_NHU).sum())

    kept = kernels.attention(*arrays, 2, 0.7)
    grads = kernels.attention_backward(dout_NHU, *arrays, *kept, 2, 0.7)
    check_gradients(value, arrays, list(grads))


@pytest.mark.usefixtures("backend")
def test_attention_looks_at_no_later_position_and_no_other_sequence() -> None:
    q, k, v = (normal(i, 12, 2, 4) for i in range(3))
    before, _ = kernels.attention(q, k, v, 2, 0.5)
    for array in (q, k, v):
        array[4:6] += 1
    after, _ = kernels.attention(q, k, v, 2, 0.5)
    changed = np.flatnonzero((before != after).any(axis=(1, 2)))
    assert changed.tolist() == [4, 5]
    assert np.allclose(before[[0, 6]], v[[0, 6]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_attention_has_the_same_bits_in_any_batch_and_on_any_threads(dtype: str) -> None:
    b, t, h, g, c = 12, 60, 4, 2, 8
    q, k, v, dout = (normal(i, b * t, n, c, dtype=dtype) for i, n in enumerate((h, g, g, h)))

    def both(low: int, high: int) -> list[bytes]:
        some = slice(low * t, high * t)
        given = q[some], k[some], v[some]
        kept = kernels.attention(*given, high - low, 0.3)
        grads = kernels.attention_backward(dout[some], *given, *kept, high - low, 0.3)
        return [array[-t:].tobytes() for array in (*kept, *grads)]

    whole = both(0, b)
    assert both(b - 1, b) == whole
    for threads in (1, 2, 3):
        with kernels.using(threads=threads):
            assert both(0, b) == whole


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("h", "g", "c", "u"), [(2, 2, 16, 16), (4, 2, 5, 3), (1, 1, 8, 8)])
def test_heads_that_are_columns_have_the_bits_of_heads_of_their_own(
    dtype: str, h: int, g: int, c: int, u: int
) -> None:
    b, t = 3, 21
    qkv_NX = normal(0, b * t, h * c + g * c + g * u, dtype=dtype)
    dout_NHU, none_TR = normal(1, b * t, h, u, dtype=dtype), np.empty((t, 0), dtype)
    plain = ((h, g, c, u), None, None, 0.0, np.arange(b * t) % t, none_TR, none_TR, False)
    *columns, split = kernels.split_heads(qkv_NX, *plain)
    assert all(np.shares_memory(part, qkv_NX) for part in columns)
    results = []
    for order in ("columns", "own", "transposed"):
        heads = {
            "columns": columns,
            "own": [np.ascontiguousarray(part) for part in columns],
            "transposed": [part.transpose(2, 1, 0).copy().transpose(2, 1, 0) for part in columns],
        }[order]
        kept = kernels.attention(*heads, b, 0.3)
        grads = kernels.attention_backward(dout_NHU, *heads, *kept, b, 0.3)
        dqkv_NX, *gains = kernels.split_heads_backward(*grads, split)
        again_NX, *_ = kernels.split_heads_backward(*(grad.copy() for grad in grads), split)
        assert gains == [None, None]
        assert dqkv_NX.tobytes() == again_NX.tobytes()
        results.append([array.tobytes() for array in (*kept, dqkv_NX)])
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("shuffled", [(1, 0, 2), (0, 2, 1)])
def test_gradients_in_another_order_are_put_side_by_side(shuffled: tuple[int, ...]) -> None:
    made_NX, none_TR = normal(0, 6, 12), np.empty((6, 0))
    parts = [made_NX[:, i * 4 : i * 4 + 4].reshape(6, 2, 2) for i in shuffled]
    _, _, _, split = kernels.split_heads(
        normal(1, 6, 12), (2, 2, 2, 2), None, None, 0.0, np.arange(6), none_TR, none_TR, False
    )
    dqkv_NX, _, _ = kernels.split_heads_backward(*parts, split)
    assert np.array_equal(dqkv_NX, np.concatenate([p.reshape(6, 4) for p in parts], axis=1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_attention_step_reads_no_further_than_its_length(dtype: str) -> None:
    q_NHC, cache_BTGC = normal(0, 30, 4, 6, dtype=dtype), normal(1, 2, 15, 2, 6, dtype=dtype)
    rows = cache_BTGC.reshape(30, 2, 6)
    out_NHU, _ = kernels.attention(q_NHC, rows, rows, 2, 0.4)
    for length in (1, 7, 14, 15):
        filled_BTGC = cache_BTGC.copy()
        filled_BTGC[:, length:] = np.nan
        at = np.array([length - 1, 15 + length - 1])
        step_BHU = kernels.attention_step(q_NHC[at], filled_BTGC, filled_BTGC, length, 0.4)
        assert step_BHU.tobytes() == out_NHU[at].tobytes()


@pytest.mark.usefixtures("backend")
def test_attention_counts_what_it_multiplies() -> None:
    q, k, v = normal(0, 6, 4, 5), normal(1, 6, 2, 5), normal(2, 6, 2, 3)
    pairs = 2 * 4 * (1 + 2 + 3)
    with kernels.counting() as count:
        kept = kernels.attention(q, k, v, 2, 1.0)
    assert count.flops == 2 * pairs * (5 + 3)
    with kernels.counting() as count:
        kernels.attention_backward(kept[0], q, k, v, *kept, 2, 1.0)
    assert count.flops == 2 * pairs * (3 * 5 + 2 * 3)
    with kernels.counting() as count:
        kernels.attention_step(q[:2], k.reshape(2, 3, 2, 5), v.reshape(2, 3, 2, 3), 2, 1.0)
    assert count.flops == 2 * 2 * 4 * 2 * (5 + 3)


@pytest.mark.usefixtures("backend")
def test_gradients_of_classify() -> None:
    x_ND, w_DV = normal(0, 6, 5), normal(1, 5, 9)
    target_N = np.array([0, 8, 3, 3, 1, 2])
    weight_N = np.array([0.5, 0.0, 1.0, -2.0, 0.25, 1.0])

    def value(x_ND: np.ndarray, w_DV: np.ndarray) -> float:
        return float(kernels.token_losses(x_ND, w_DV, target_N) @ weight_N)

    loss_N, *grads = kernels.classify(x_ND, w_DV, target_N, weight_N)
    close(loss_N, kernels.token_losses(x_ND, w_DV, target_N))
    probs_NV = np.exp(x_ND @ w_DV) / np.exp(x_ND @ w_DV).sum(axis=1, keepdims=True)
    close(loss_N, -np.log(probs_NV[np.arange(6), target_N]))
    check_gradients(value, [x_ND, w_DV], grads)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 17), (2, 17, 5), (1, 1, 4)])
def test_orthogonalize_keeps_vectors_and_evens_values(shape: tuple[int, int, int]) -> None:
    g_KRS = normal(0, *shape)
    for mine, matrix in zip(kernels.orthogonalize(g_KRS, 8), g_KRS, strict=True):
        u, s, v = np.linalg.svd(matrix, full_matrices=False)
        inner = u.T @ mine @ v.T
        assert np.abs(inner - np.diag(np.diag(inner))).max() < 1e-9
        assert ((np.diag(inner) > 0.6) & (np.diag(inner) < 1.3)).all(), s
