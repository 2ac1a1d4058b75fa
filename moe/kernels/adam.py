"""Adam for any number of arrays: one kernel, whose work items are chunks of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .backend import choose, njit
from .costs import NUMBER_NS
from .environment import numba
from .threads import run_items, take_item

CHUNK = 1 << 14

part: Any = None  # without numba there is nothing to compile, and only compiled code calls it

if numba is not None:
    from numba.core import cgutils, types
    from numba.extending import intrinsic

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
) -> None:
    """One Adam update of all arrays in place (arXiv 1412.6980, algorithm 1); `step` from 1."""
    for param, grad, mean, square in zip(params, grads, means, squares, strict=True):
        kind = param.dtype.type
        mean *= kind(beta1)
        mean += kind(1 - beta1) * grad
        square *= kind(beta2)
        square += kind(1 - beta2) * grad * grad
        size = kind(rate / (1 - beta1**step))
        spread = kind(1 / np.sqrt(1 - beta2**step))
        param -= size * mean / (np.sqrt(square) * spread + kind(eps))


@njit
def _adam_step(queue, n_items, array_A5, constants):
    """Each item is a chunk of one parameter array.

    A row of `array_A5` holds four addresses (param, grad, mean, square) and the common size.
    """
    keep1, new1, keep2, new2, size, spread, eps = constants
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
        for i in range(n):
            mean[i] = keep1 * mean[i] + new1 * grad[i]
            square[i] = keep2 * square[i] + new2 * grad[i] * grad[i]
            param[i] -= size * mean[i] / (np.sqrt(square[i]) * spread + eps)
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
) -> None:
    constants = [beta1, 1 - beta1, beta2, 1 - beta2, rate / (1 - beta1**step),
                 1 / np.sqrt(1 - beta2**step), eps]  # fmt: skip
    for dtype in {param.dtype for param in params}:
        rows, alive = [], []
        for param, grad, mean, square in zip(params, grads, means, squares, strict=True):
            if param.dtype != dtype:
                continue
            contiguous = grad.astype(dtype, order="C", copy=False)
            alive.append(contiguous)  # an address alone does not keep a converted copy alive
            addresses = [_address("param", a, param, True) for a in (param, mean, square)]
            addresses.insert(1, _address("grad", contiguous, param, False))
            rows.append([*addresses, param.size])
        array_A5 = np.array(rows, np.int64)
        n_items = int((-(-array_A5[:, 4] // CHUNK)).sum())
        work_ns = NUMBER_NS["adam_step"] * float(array_A5[:, 4].sum())
        run_items(_adam_step, n_items, work_ns, array_A5, np.array(constants, dtype))


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
