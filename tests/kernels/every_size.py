"""Matrix kernels against their oracles at every size around every threshold, at one width.

`test_widths.py` runs it once a width, as a process of its own, since the width is chosen when the
kernels are compiled: `MOE_VECTOR_BYTES=32 MOE_CHECK=1 python -m tests.kernels.every_size`. What it
tried and what was wrong it prints as JSON. Sizes follow from the kernels' own constants. Numbers
are small and whole, so that sums are exact in any order: one wrong bit is a fault.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterable, Iterator

import numpy as np

from moe import kernels
from moe.experts import row_plan
from moe.kernels import (
    activation_text,
    blocks,
    dispatch,
    environment,
    expert_gradients,
    experts,
    items,
    products,
    tile,
    width,
)  # fmt: skip
from tests.kernels import lm_sizes

DTYPES = ("float32", "float64")
ROWS = range(71)  # all of the few, then around the thresholds
PRODUCTS = ("matmul", "matmul_nt", "matmul_tn")


def near(*thresholds: int) -> list[int]:
    """Each threshold, one less and one more."""
    return [size for t in thresholds for size in (t - 1, t, t + 1)]


def lanes(dtype: str) -> int:
    """Numbers in a vector."""
    return width.VECTOR_BYTES // np.dtype(dtype).itemsize


def up_to_vectors(dtype: str) -> list[int]:
    """Every size up to two tiles of columns and one more."""
    return list(range(1, 2 * tile.VECTORS * lanes(dtype) + 2))


def wholes(seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Small whole numbers; a few are zero."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(dtype)


class Tally:
    """How many cases were tried, and which were wrong."""

    def __init__(self) -> None:
        self.tried, self.wrong = 0, []

    @contextlib.contextmanager
    def case(self, name: str) -> Iterator[None]:
        """A kernel that stops in the body is a fault, and not the end."""
        try:
            yield
        except (IndexError, RuntimeError) as error:
            self.wrong.append(f"{name}: {error}")

    def compare(self, case: str, mine: object, truth: object, exact: bool = True) -> None:
        """Count a case; `exact`: every number must be equal, otherwise up to rounding."""
        self.tried += 1
        got, want = np.asarray(mine), np.asarray(truth)
        good = got.shape == want.shape and got.dtype == want.dtype
        if good and exact:
            good = np.array_equal(got, want)
        elif good:
            scale = max(1.0, float(np.abs(want).max(initial=0)))
            bound = 4e-5 if want.dtype == np.float32 else 1e-12
            good = bool(np.abs(got - want).max(initial=0) <= bound * scale)
        if not good:
            self.wrong.append(case)


# Products ---------------------------------------------------------------------------------------


def product_shapes(dtype: str) -> Iterator[tuple[int, int, int]]:
    """(rows, columns, depth): one of them goes through its sizes, the others take turns."""
    tiles = tile.VECTORS * lanes(dtype)
    far_rows = near(products.SHORT, products.TALL, 8 * products.TALL)
    columns = up_to_vectors(dtype) + near(tiles * blocks.PANELS, products.WIDE, blocks.RUN)
    depths = [0, *up_to_vectors(dtype), *near(blocks.DEPTH, blocks.STRETCH, 2 * blocks.STRETCH)]
    few = near(1, blocks.FEW)
    for i, rows in enumerate([*ROWS, *far_rows]):
        yield rows, (1, tiles + 1, 2 * tiles)[i % 3], (1, 5, blocks.STRETCH + 1)[(i // 3) % 3]
    for i, size in enumerate(columns):
        yield few[i % len(few)], size, (3, blocks.STRETCH + 2)[i % 2]
        yield blocks.FEW + 1 + i % tile.ROWS, size, 7
    for i, size in enumerate(depths):
        yield few[i % len(few)], (tiles - 1, tiles + 3)[i % 2], size
        yield blocks.FEW + 1 + i % tile.ROWS, tiles + i % 3, size
    for rows in (products.SHORT, products.TALL + 1):
        yield rows, 2 * tiles + 1, 0


def check_products(tally: Tally, dtype: str) -> None:
    """A @ B for either order of storage of both."""
    for i, (rows, columns, depth) in enumerate(product_shapes(dtype)):
        a_NM, b_MP = wholes(i, (rows, depth), dtype), wholes(i + 1, (depth, columns), dtype)
        b_PM, a_MN = np.ascontiguousarray(b_MP.T), np.ascontiguousarray(a_NM.T)
        case = f"{dtype}, {rows} x {columns} x {depth}"
        truth = products.matmul_oracle(a_NM, b_MP)
        with tally.case(case):
            tally.compare(f"matmul, {case}", kernels.matmul(a_NM, b_MP), truth)
            tally.compare(f"matmul_nt, {case}", kernels.matmul_nt(a_NM, b_PM), truth)
            tally.compare(f"matmul_tn, {case}", kernels.matmul_tn(a_MN, b_MP), truth)


# Experts ----------------------------------------------------------------------------------------


def loads(rows: int) -> Iterator[list[int]]:
    """Rows of each expert, so that one has `rows`, or all have together."""
    yield [rows]
    yield [0, rows, 0, 1, 0]
    yield [rows // 3, 0, rows - rows // 3]


def expert_shapes(dtype: str) -> Iterator[tuple[list[int], int, int]]:
    """(rows of each expert, D, F)."""
    tiles = tile.VECTORS * lanes(dtype)
    small = (1, 2, 3, 5, 6, 9, tiles - 1, tiles, tiles + 1)
    far = near(experts.FEW_SLOTS, items.SHORT, items.TALL, 8 * items.TALL)
    for i, rows in enumerate([*ROWS, *far]):
        for j, load in enumerate(loads(rows)):
            yield load, small[(i + j) % len(small)], small[(i // 2 + 2 * j) % len(small)]
    depths = near(experts.BLOCK, blocks.STRETCH, 2 * experts.BLOCK)
    rows = near(1, blocks.FEW, experts.FEW_SLOTS)
    for i, size in enumerate([*up_to_vectors(dtype), *depths]):
        for j in (0, 4):
            load = [rows[(i + j) % len(rows)], 0, rows[(i + j + 1) % len(rows)]]
            yield load, size, small[i % len(small)]
            yield load, small[(i + 1) % len(small)], size
    for i, size in enumerate(near(items.WIDE)):
        yield [2, 40 + i], size, 3
        yield [40, 2 + i], 3, size
    for n_experts in (8, 64, 65):
        yield list(np.random.default_rng(n_experts).integers(0, 4, n_experts)), 6, 9
    for load in ([], [0], [0, 0, 0]):
        yield load or [0], 4, 3


def check_experts(tally: Tally, dtype: str) -> None:
    """Both products, forward and backward, of experts with so many rows each."""
    activations = ("relu", "relu", *sorted(activation_text.CODES))
    for i, (load, d_model, d_expert) in enumerate(expert_shapes(dtype)):
        activation = activations[i % len(activations)]
        case = f"{dtype}, {activation}, rows {load}, D {d_model}, F {d_expert}"
        with tally.case(case):
            check_load(tally, case, i, load, d_model, d_expert, activation, dtype)


def check_load(
    tally: Tally, case: str, seed: int, load: list[int], d_model: int, d_expert: int,
    activation: str, dtype: str,
) -> None:  # fmt: skip
    """One case of `check_experts`."""
    rng, n_experts, slots = np.random.default_rng(seed), len(load), sum(load)
    halves = 2 if activation in activation_text.GATED else 1
    exact = activation == "relu"
    plan = row_plan(np.concatenate([[0], np.cumsum(load)]).astype(np.int64))
    taken = plan._replace(token_S=rng.integers(0, max(load) + 2, slots))
    x_ND = wholes(seed, (max(load) + 2, d_model), dtype)
    up_EDH = wholes(seed + 1, (n_experts, d_model, halves * d_expert), dtype)
    down_EFD = wholes(seed + 2, (n_experts, d_expert, d_model), dtype)
    weight_S, dy_ND = wholes(seed + 3, (slots,), dtype), wholes(seed + 4, x_ND.shape, dtype)
    bias_EH = wholes(seed + 5, up_EDH.shape[::2], dtype) if seed % 2 else None
    if not exact:  # smaller, where exponentials are neither 0 nor 1
        up_EDH, x_ND = (up_EDH / (2 * d_model)).astype(dtype), x_ND / 2
    given = (x_ND, taken, up_EDH, down_EFD, activation)
    y_SD, h_SH, rows = experts.experts_forward_oracle(*given, True, bias_EH)
    for keep in (True, False):
        mine = kernels.experts_forward(*given, keep, bias_EH)
        tally.compare(f"forward, {case}, keep {keep}", mine[0], y_SD, exact)
        if keep:
            tally.compare(f"first product, {case}", mine[1], h_SH, exact)
        tally.compare(f"rows, {case}", mine[2], rows)
    sum_ND = dispatch.combine_oracle(y_SD, weight_S, plan)
    tally.compare(f"combine, {case}", kernels.combine(y_SD, weight_S, plan), sum_ND, exact)
    given = (dy_ND, x_ND, h_SH, weight_S, taken, up_EDH, down_EFD, activation)
    sums = [np.zeros(up_EDH.shape[::2], dtype) for _ in range(2)]
    mine = kernels.experts_backward(*given, sums[0])
    truth = expert_gradients.experts_backward_oracle(*given, sums[1])
    for name, got, want in zip(("dx", "dweight", "dup", "ddown"), mine, truth):
        tally.compare(f"{name}, {case}", got, want, exact)
    tally.compare(f"dbias, {case}", *sums, exact)


# The same bits in any batch ----------------------------------------------------------------------


class Batch:
    """Rows, two experts, and who goes to which."""

    def __init__(self, seed: int, n_rows: int, d_model: int, d_expert: int, dtype: str) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.x_ND, self.dy_ND = rng.standard_normal((2, n_rows, d_model)).astype(dtype)
        self.up_EDH = rng.standard_normal((2, d_model, 2 * d_expert)).astype(dtype)
        self.down_EFD = rng.standard_normal((2, d_expert, d_model)).astype(dtype)
        self.expert_N = rng.integers(0, 2, n_rows)

    def outputs(self, some: np.ndarray) -> dict[str, np.ndarray]:
        """What kernels make of some rows, in the order given."""
        sorting = np.argsort(self.expert_N[some], kind="stable")
        order, back = some[sorting], np.argsort(sorting)
        ends = np.cumsum(np.bincount(self.expert_N[some], minlength=2))
        plan = row_plan(np.concatenate([[0], ends]).astype(np.int64))
        rows, weight_S = self.x_ND[order], np.ones(len(some), self.x_ND.dtype)
        weights = (self.up_EDH, self.down_EFD, "swiglu")
        y_SD, h_SH, _ = kernels.experts_forward(rows, plan, *weights)
        dx_SD, dweight_S, *_ = kernels.experts_backward(
            self.dy_ND[order], rows, h_SH, weight_S, plan, *weights
        )
        return {
            "y": y_SD[back],
            "dx": dx_SD[back],
            "dweight": dweight_S[back, None],
            "product": kernels.matmul(self.x_ND[some], self.up_EDH[0]),
            "product, other order": kernels.matmul_nt(self.x_ND[some], self.down_EFD[0]),
        }


def check_batches(tally: Tally, dtype: str) -> None:
    """A row's results among many others, and among few: the same bits."""
    tiles, n_all = tile.VECTORS * lanes(dtype), 300
    shapes = [
        (1, 1), (3, 9), (tiles - 1, tiles + 1), (2 * tiles, blocks.STRETCH + 3),
        (blocks.STRETCH + 1, 2 * experts.BLOCK + 7), (blocks.RUN + 1, 5),
    ]  # fmt: skip
    sizes = [1, 2, *near(blocks.FEW, 2 * tile.ROWS, experts.FEW_SLOTS), items.SHORT + 1, 200]
    for seed, (d_model, d_expert) in enumerate(shapes):
        batch = Batch(seed, n_all, d_model, d_expert, dtype)
        whole = batch.outputs(np.arange(n_all))
        for n in sizes:
            some = batch.rng.permutation(n_all)[:n]
            case = f"{dtype}, {n} of {n_all}, D {d_model}, F {d_expert}"
            with tally.case(case):
                for name, part in batch.outputs(some).items():
                    bits = [np.ascontiguousarray(p).view(np.uint8) for p in (part, whole[name])]
                    tally.compare(f"same bits of {name}, {case}", bits[0], bits[1][some])


CHECKS = {"products": check_products, "experts": check_experts, "batches": check_batches}
CHECKS |= lm_sizes.CHECKS


def run(names: Iterable[str] = CHECKS, dtypes: Iterable[str] = DTYPES) -> Tally:
    """Try all cases; the first few faults are enough."""
    tally = Tally()
    for name in names:
        for dtype in dtypes:
            CHECKS[name](tally, dtype)
    return tally


def main() -> None:
    """Print what was tried."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", choices=list(CHECKS), default=list(CHECKS))
    parser.add_argument("--dtypes", nargs="*", choices=DTYPES, default=list(DTYPES))
    asked = parser.parse_args()
    tally = run(asked.only, asked.dtypes)
    print(json.dumps({
        "vector_bytes": width.VECTOR_BYTES, "checked": environment.CHECK,
        "tried": tally.tried, "wrong": len(tally.wrong), "first": tally.wrong[:5],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
