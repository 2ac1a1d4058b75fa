"""Kernels of the language model at every size around their tiles; `every_size.py` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Protocol

import numpy as np

from moe import kernels
from moe.kernels import (
    adam,
    attention_gradients,
    causal_attention,
    classifier,
    heads,
    newton_schulz,
    norms,
    tile,
    width,
)  # fmt: skip


class Tally(Protocol):
    """What counts cases: see `every_size.Tally`."""

    def case(self, name: str) -> object: ...

    def compare(self, case: str, mine: object, truth: object, exact: bool = True) -> None: ...


def normal(seed: int, *shape: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).view(np.uint8)


# Attention --------------------------------------------------------------------------------------


def attention_shapes(dtype: str) -> Iterator[tuple[int, int, int, int, int, int]]:
    """(B, T, H, G, C, U): one of them goes through its sizes, the others take turns."""
    columns = tile.VECTORS * width.VECTOR_BYTES // np.dtype(dtype).itemsize
    small = (1, 3, columns - 1, columns, columns + 1)
    block = attention_gradients.BLOCK
    lengths = [*range(1, 2 * tile.ROWS + 2), columns - 1, columns + 1, block - 1, block, block + 1]
    for i, length in enumerate([*lengths, 2 * block + 1]):
        groups = 1 + i % 2
        yield 2, length, groups * (1, 3, tile.ROWS + 1)[i % 3], groups, small[i % 5], small[i % 3]
    for size in range(1, 2 * columns + 2):
        yield 1, tile.ROWS + size % 3, 2, 1, size, small[size % 5]
        yield 1, tile.ROWS + size % 3, 2, 2, small[size % 5], size
    yield 0, 3, 2, 1, 4, 4


def check_attention(tally: Tally, dtype: str) -> None:
    """Forward, backward, and step by step with the same bits."""
    for seed, (b, t, h, g, c, u) in enumerate(attention_shapes(dtype)):
        case = f"attention, {dtype}, B {b}, T {t}, H {h}, G {g}, C {c}, U {u}"
        q, k, v = (
            normal(seed + i, b * t, *shape, dtype=dtype)
            for i, shape in enumerate(((h, c), (g, c), (g, u)))
        )
        with tally.case(case):  # type: ignore[attr-defined]
            given, rest = (q, k, v), (b, c**-0.5)
            made = kernels.attention(*given, *rest)
            truth = causal_attention.attention_oracle(*given, *rest)
            for name, mine, other in zip(("out", "log sum"), made, truth, strict=True):
                tally.compare(f"{name}, {case}", mine, other, exact=False)
            dout = normal(seed + 3, b * t, h, u, dtype=dtype)
            grads = kernels.attention_backward(dout, *given, *truth, *rest)
            oracle = attention_gradients.attention_backward_oracle(dout, *given, *truth, *rest)
            for name, mine, other in zip(("dq", "dk", "dv"), grads, oracle, strict=True):
                tally.compare(f"{name}, {case}", mine, other, exact=False)
            q_BTHC, out_BTHU = q.reshape(b, t, h, c), made[0].reshape(b, t, h, u)
            cache = k.reshape(b, t, g, c), v.reshape(b, t, g, u)
            for n in sorted({1, (t + 1) // 2, t}):
                step = kernels.attention_step(q_BTHC[:, n - 1].copy(), *cache, n, rest[1])
                tally.compare(f"step {n}, {case}", bits(step), bits(out_BTHU[:, n - 1]))


# Rows: norms, heads, classifier -------------------------------------------------------------------


def check_norms(tally: Tally, dtype: str) -> None:
    """Norms and their gradients, and rows with the same bits in any batch."""
    rows = (0, 1, norms.ROWS - 1, norms.ROWS, norms.ROWS + 1, 3 * norms.ROWS)
    for i, d in enumerate([*range(1, 40), 63, 64, 65, 257]):
        n, case = rows[i % len(rows)], f"norm, {dtype}, D {d}"
        x, added, dy = (normal(i + j, n, d, dtype=dtype) for j in range(3))
        gain = normal(i, d, dtype=dtype)
        with tally.case(case):  # type: ignore[attr-defined]
            made = kernels.rms_norm(x, gain, 1e-5)
            truth = norms.rms_norm_oracle(x, gain, 1e-5)
            both = [*zip(made, truth, strict=True)]
            given = (dy, x, gain, truth[1])
            both += zip(
                kernels.rms_norm_backward(*given), norms.rms_norm_backward_oracle(*given),
                strict=True,
            )  # fmt: skip
            given = (x, added, gain, 1e-5)
            both += zip(
                kernels.add_rms_norm(*given), norms.add_rms_norm_oracle(*given), strict=True
            )
            for k, (mine, other) in enumerate(both):
                tally.compare(f"{k} of {case}, N {n}", mine, other, exact=False)
            for low in range(0, n, 61):
                alone = kernels.rms_norm(x[low : low + 1], gain, 1e-5)[0]
                tally.compare(f"row {low}, {case}", bits(alone), bits(made[0][low : low + 1]))


def head_shapes() -> Iterator[tuple[int, int, int, int, int, str, bool]]:
    """(H, G, C, U, R, gains, interleaved)."""
    for c in [*range(1, 20), 32, 33]:
        half = (c // 2, c // 4, 0)[c % 3]
        for i, kind in enumerate(("none", "head", "whole")):
            heads_, groups = ((2, 2), (4, 2), (3, 1), (1, 1))[(c + i) % 4]
            yield heads_, groups, c, 1 + (c + i) % 9, half, kind, (c + i) % 2 == 0


def check_heads(tally: Tally, dtype: str) -> None:
    """Heads split off, normed and turned, and the way back."""
    for i, (h, g, c, u, half, kind, interleaved) in enumerate(head_shapes()):
        n = (1, 3, heads.ROWS, heads.ROWS + 2, 0)[i % 5]
        sizes = {"none": None, "head": (c, c), "whole": (h * c, g * c)}[kind]
        gains = [None, None]
        if sizes:
            gains = [normal(i + j, size, dtype=dtype) for j, size in enumerate(sizes)]
        angle = normal(i, 11, half, dtype=dtype)
        qkv = normal(i, n, (h + g) * c + g * u, dtype=dtype)
        rest = (1e-5, np.arange(n) % 11, np.cos(angle), np.sin(angle), interleaved)
        case = f"heads, {dtype}, N {n}, H {h}, G {g}, C {c}, U {u}, R {half}, {kind}, {interleaved}"
        with tally.case(case):  # type: ignore[attr-defined]
            *made, kept = kernels.split_heads(qkv, (h, g, c, u), *gains, *rest)
            *truth, kept_too = heads.split_heads_oracle(qkv, (h, g, c, u), *gains, *rest)
            inverses = [kept.q_inverse, kept.k_inverse, kept_too.q_inverse, kept_too.k_inverse]
            douter = [normal(i + j, *part.shape, dtype=dtype) for j, part in enumerate(truth)]
            grads = kernels.split_heads_backward(*douter, kept_too)
            oracle = heads.split_heads_backward_oracle(*douter, kept_too)
            pairs = zip([*made, *inverses[:2], *grads], [*truth, *inverses[2:], *oracle])
            for k, (mine, other) in enumerate(pairs):
                if other is None:
                    tally.compare(f"{k} of {case}", mine is None, True)
                else:
                    tally.compare(f"{k} of {case}", mine, other, exact=False)


def check_classifier(tally: Tally, dtype: str) -> None:
    """Losses and gradients at every width around the tiles."""
    rows = (0, 1, 5, classifier.ROWS - 1, classifier.ROWS, classifier.ROWS + 1, 200)
    for i, v in enumerate([*range(1, 70), 255, 256, 257]):
        n, d = rows[i % len(rows)], (1, 7, 16, 33)[i % 4]
        case = f"classify, {dtype}, N {n}, D {d}, V {v}"
        x, w = normal(i, n, d, dtype=dtype), normal(i + 1, d, v, dtype=dtype)
        target_N = np.random.default_rng(i).integers(0, v, n)
        weight_N = normal(i + 2, n, dtype=dtype) * (np.arange(n) % 3 > 0)
        with tally.case(case):  # type: ignore[attr-defined]
            given = (x, w, target_N, weight_N.astype(dtype))
            made, truth = kernels.classify(*given), classifier.classify_oracle(*given)
            for name, mine, other in zip(("loss", "dx", "dw"), made, truth, strict=True):
                tally.compare(f"{name}, {case}", mine, other, exact=False)
            losses = kernels.token_losses(*given[:3])
            tally.compare(f"loss alone, {case}", bits(losses), bits(made[0]))
            for low in range(0, n, 29):
                some = slice(low, low + 1)
                alone = kernels.classify(x[some], w, target_N[some], weight_N[some].astype(dtype))
                tally.compare(f"row {low}, {case}", bits(alone[0]), bits(made[0][some]))
                tally.compare(f"dx of row {low}, {case}", bits(alone[1]), bits(made[1][some]))


# Optimisers ---------------------------------------------------------------------------------------


def check_newton_schulz(tally: Tally, dtype: str) -> None:
    """Matrices of every orientation; few steps, since rounding grows with them."""
    sizes = [(r, s) for r in (1, 2, 7, 8, 17, 64) for s in (1, 3, 8, 9, 33, 130)]
    for i, (r, s) in enumerate(sizes):
        g = normal(i, 1 + i % 3, r, s, dtype=dtype)
        case = f"Newton-Schulz, {dtype}, {r} x {s}"
        with tally.case(case):  # type: ignore[attr-defined]
            mine = kernels.orthogonalize(g, 3)
            tally.compare(case, mine, newton_schulz.orthogonalize_oracle(g, 3), exact=False)


def check_adam(tally: Tally, dtype: str) -> None:
    """Arrays of every size around a vector and around a chunk, with decay and clipping."""
    sizes = [*range(0, 40), adam.CHUNK - 1, adam.CHUNK, adam.CHUNK + 1]
    shapes = [(n,) if n % 2 else (n // 2, 2) for n in sizes]
    for i, (decay, clip) in enumerate(((0.0, 1.0), (0.1, 0.3))):
        lists = [[normal(i + j, *shape, dtype=dtype) ** 2 for shape in shapes] for j in range(4)]
        other = [[array.copy() for array in arrays] for arrays in lists]
        constants = (3, 0.01, 0.9, 0.95, 1e-8, decay, clip)
        with tally.case(f"Adam, {dtype}"):  # type: ignore[attr-defined]
            kernels.adam_step(*lists, *constants)
            adam.adam_step_oracle(*other, *constants)
            for mine, truth in zip(chain(*lists), chain(*other), strict=True):
                tally.compare(f"Adam, {dtype}, {mine.shape}", mine, truth, exact=False)
            squares = kernels.sum_squares(lists[0]), adam.sum_squares_oracle(lists[0])
            tally.compare(f"squares, {dtype}", abs(squares[0] / squares[1] - 1) < 1e-6, True)


CHECKS = {
    "attention": check_attention,
    "norms": check_norms,
    "heads": check_heads,
    "classifier": check_classifier,
    "newton-schulz": check_newton_schulz,
    "adam": check_adam,
}
