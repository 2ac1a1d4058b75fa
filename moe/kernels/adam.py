"""Adam for any number of arrays: one kernel, whose work items are chunks of all of them.

It is limited by memory: seven numbers move for each one that is updated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .backend import choose, njit
from .costs import NUMBER_NS
from .environment import numba
from .panels import columns_of
from .scores import dot
from .threads import run_items, take_item
from .tile import VECTORS

CHUNK = 1 << 14
AHEAD = 1024  # bytes between asking for a line and using it; the next page is asked for in time

part: Any = None  # without numba there is nothing to compile, and only compiled code calls it
whole_vectors: Any = None

if numba is not None:
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    from .tile import INTEGER
    from .vectors import RowEmitter

    @intrinsic
    def _pointer(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], cgutils.voidptr_t)

        return types.voidptr(types.int64), codegen

    @njit
    def part(address, low, size, like):
        """Return a flat view of `size` numbers, of `like`'s type, from number `low` of an address.

        The arrays of a model have different numbers of axes: if they were passed as arrays, the
        kernel would be compiled for every combination.
        """
        return numba.carray(_pointer(address + low * like.itemsize), size, like.dtype)

    def _emit_update(emit: RowEmitter) -> None:
        param, grad, mean, square, size, *constants = emit.args
        builder = emit.builder
        keep1, new1, keep2, new2, rate, spread, eps, clip, shrink = map(emit.splat, constants)
        name = f"llvm.sqrt.v{emit.lanes}f{8 * emit.size}"
        root = emit.function(name, ir.FunctionType(emit.kind, [emit.kind]))

        def body(i: Any, carried: list[Any]) -> list[Any]:
            for v in range(VECTORS):
                at = emit.plus(i, v * emit.lanes)
                soon = emit.plus(at, AHEAD // emit.size)
                for array in (param, grad, mean, square):
                    emit.prefetch(array, soon, near=True, write=array is not grad)
                g = builder.fmul(emit.load(grad, at), clip)
                m = builder.fmul(keep1, emit.load(mean, at))
                m = builder.fadd(m, builder.fmul(new1, g))
                s = builder.fmul(keep2, emit.load(square, at))
                s = builder.fadd(s, builder.fmul(builder.fmul(new2, g), g))
                below = builder.fadd(builder.fmul(builder.call(root, [s]), spread), eps)
                step = builder.fdiv(builder.fmul(rate, m), below)
                emit.store(m, mean, at)
                emit.store(s, square, at)
                shrunk = builder.fmul(emit.load(param, at), shrink)
                emit.store(builder.fsub(shrunk, step), param, at)
            return carried

        emit.tiles(size, [], body)

    @intrinsic
    def whole_vectors(
        typingctx: Any, param: Any, grad: Any, mean: Any, square: Any, size: Any, constants: Any
    ) -> Any:
        """Update `size` numbers, which fill tiles' widths of vectors and are more than none."""
        signature = types.void(param, grad, mean, square, INTEGER, constants)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _emit_update(RowEmitter(context, builder, signature, args))
            return context.get_dummy_value()

        return signature, codegen


def sum_squares_oracle(arrays: Sequence[np.ndarray]) -> float:
    """Sum of the squares of all numbers: the square of the norm that clipping compares."""
    return float(sum((array.astype(np.float64) ** 2).sum() for array in arrays))


@njit
def _sum_squares(queue, n_items, array_A2, total_I, like):
    item = take_item(queue)
    while item < n_items:
        a, chunk = 0, item
        while chunk * CHUNK >= array_A2[a, 1]:
            chunk -= -(-array_A2[a, 1] // CHUNK)
            a += 1
        low = chunk * CHUNK
        values = part(array_A2[a, 0], low, min(CHUNK, array_A2[a, 1] - low), like)
        total_I[item] = dot(values, values)
        item = take_item(queue)


def _sum_squares_fast(arrays: Sequence[np.ndarray]) -> float:
    total = 0.0
    for dtype in sorted({array.dtype for array in arrays}, key=str):
        some = [np.ascontiguousarray(a) for a in arrays if a.dtype == dtype and a.size]
        if not some:
            continue
        array_A2 = np.array([[_address("array", a, a, False), a.size] for a in some], np.int64)
        total_I = np.empty(int((-(-array_A2[:, 1] // CHUNK)).sum()), np.float64)
        work_ns = NUMBER_NS["sum_squares"] * float(array_A2[:, 1].sum())
        run_items(_sum_squares, total_I.size, work_ns, array_A2, total_I, np.empty(0, dtype))
        total += float(total_I.sum())
    return total


sum_squares = choose(sum_squares_oracle, _sum_squares_fast)


def adam_step_oracle(
    params: Sequence[np.ndarray],
    grads: Sequence[np.ndarray],
    means: Sequence[np.ndarray],
    squares: Sequence[np.ndarray],
    step: int,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float = 0.0,
    clip: float = 1.0,
) -> None:
    """One Adam update of all arrays in place (arXiv 1412.6980, algorithm 1); `step` from 1.

    Parameters
    ----------
    params, grads, means, squares
        Arrays, their gradients, and the running means of these and of their squares.
    step, rate, beta1, beta2, eps
        As in the paper.
    decay
        Weight decay apart from the gradient (AdamW, arXiv 1711.05101): arrays with more than one
        axis shrink by rate * decay first.
    clip
        Factor of all gradients.
    """
    for param, grad, mean, square in zip(params, grads, means, squares, strict=True):
        kind = param.dtype.type
        grad = grad * kind(clip)
        if decay and param.ndim > 1:
            param *= kind(1 - rate * decay)
        mean *= kind(beta1)
        mean += kind(1 - beta1) * grad
        square *= kind(beta2)
        square += kind(1 - beta2) * grad * grad
        size = kind(rate / (1 - beta1**step))
        spread = kind(1 / np.sqrt(1 - beta2**step))
        param -= size * mean / (np.sqrt(square) * spread + kind(eps))


@njit
def _adam_step(queue, n_items, array_A5, constants, shrink_A):
    """Each item is a chunk of one parameter array.

    A row of `array_A5` holds four addresses (param, grad, mean, square) and the common size.
    """
    keep1, new1, keep2, new2 = constants[0], constants[1], constants[2], constants[3]
    size, spread, eps, clip = constants[4], constants[5], constants[6], constants[7]
    stride = columns_of(constants)
    item = take_item(queue)
    while item < n_items:
        a, chunk = 0, item
        while chunk * CHUNK >= array_A5[a, 4]:
            chunk -= -(-array_A5[a, 4] // CHUNK)
            a += 1
        low, n = chunk * CHUNK, min(CHUNK, array_A5[a, 4] - chunk * CHUNK)
        param = part(array_A5[a, 0], low, n, constants)
        grad = part(array_A5[a, 1], low, n, constants)
        mean = part(array_A5[a, 2], low, n, constants)
        square = part(array_A5[a, 3], low, n, constants)
        whole, shrink = n - n % stride, shrink_A[a]
        if whole > 0:
            whole_vectors(
                param, grad, mean, square, whole,
                (keep1, new1, keep2, new2, size, spread, eps, clip, shrink),
            )  # fmt: skip
        for i in range(whole, n):
            g = grad[i] * clip
            mean[i] = keep1 * mean[i] + new1 * g
            square[i] = keep2 * square[i] + new2 * g * g
            param[i] = param[i] * shrink - size * mean[i] / (np.sqrt(square[i]) * spread + eps)
        item = take_item(queue)


def _adam_step_fast(
    params: Sequence[np.ndarray],
    grads: Sequence[np.ndarray],
    means: Sequence[np.ndarray],
    squares: Sequence[np.ndarray],
    step: int,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float = 0.0,
    clip: float = 1.0,
) -> None:
    constants = [beta1, 1 - beta1, beta2, 1 - beta2, rate / (1 - beta1**step),
                 1 / np.sqrt(1 - beta2**step), eps, clip]  # fmt: skip
    for dtype in {param.dtype for param in params}:
        rows, shrinks, alive = [], [], []
        for param, grad, mean, square in zip(params, grads, means, squares, strict=True):
            if param.dtype != dtype:
                continue
            contiguous = grad.astype(dtype, order="C", copy=False)
            alive.append(contiguous)  # an address alone does not keep a converted copy alive
            addresses = [_address("param", a, param, True) for a in (param, mean, square)]
            addresses.insert(1, _address("grad", contiguous, param, False))
            rows.append([*addresses, param.size])
            shrinks.append(1 - rate * decay if param.ndim > 1 else 1.0)
        array_A5 = np.array(rows, np.int64)
        n_items = int((-(-array_A5[:, 4] // CHUNK)).sum())
        work_ns = NUMBER_NS["adam_step"] * float(array_A5[:, 4].sum())
        run_items(
            _adam_step,
            n_items,
            work_ns,
            array_A5,
            np.array(constants, dtype),
            np.array(shrinks, dtype),
        )


def _address(name: str, array: np.ndarray, param: np.ndarray, written: bool) -> int:
    """Address of an array's first number; the others have to follow it in C order."""
    fits = array.flags.carray if written else array.flags.c_contiguous and array.flags.aligned
    if not fits or (array.shape, array.dtype) != (param.shape, param.dtype):
        state = "contiguous" if array.flags.c_contiguous else "not contiguous"
        raise ValueError(
            f"{name}: got {array.dtype} {array.shape}, {state}, allowed is a contiguous array of "
            f"{param.dtype} {param.shape}{', not read-only' if written else ''}"
        )
    return int(array.__array_interface__["data"][0])


adam_step = choose(adam_step_oracle, _adam_step_fast)
