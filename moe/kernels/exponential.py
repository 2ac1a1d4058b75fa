"""exp for compiled loops: polynomials that vectorise, with the same bits in every lane.

A compiler may give a loop's last numbers to other instructions than its vectors, or to another
library. Here each multiply-add is named, so that a number's exponential does not depend on its
place in a loop.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .environment import numba


def exp(x):
    """E to the power x <= 88 (float64: 709); within one unit in the last place, 0 below -87 (-708).

    NaN stays NaN.
    """
    return np.exp(x)


if numba is not None:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic, overload

    @intrinsic
    def _power_of_two(typingctx: Any, n: Any, like: Any) -> Any:
        """2 to the power n, in the type of `like`, by writing its exponent bits."""
        whole, zero, places = (
            (ir.IntType(32), 127, 23) if like == types.float32 else (ir.IntType(64), 1023, 52)
        )

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            wide = builder.sext(args[0], whole) if whole.width == 64 else args[0]
            bits = builder.shl(builder.add(wide, whole(zero)), whole(places))
            return builder.bitcast(bits, context.get_value_type(like))

        return like(types.int32, like), codegen

    @intrinsic
    def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
        """A * b + c, rounded once where the processor can."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = context.get_value_type(a)
            name = f"llvm.fmuladd.f{32 if a == types.float32 else 64}"
            module = builder.module
            function = module.globals.get(name) or ir.Function(
                module, ir.FunctionType(kind, [kind] * 3), name
            )
            return builder.call(function, args)

        return a(a, a, a), codegen

    f32, f64 = np.float32, np.float64
    LOWEST, HIGHEST = f32(-87.0), f32(88.0)
    LOG2_E, LN2_HIGH, LN2_LOW = f32(1.44269504), f32(0.693359375), f32(-2.12194440e-4)
    C = tuple(
        f32(c)
        for c in (
            1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2,
            1.6666665459e-1, 5.0000001201e-1,
        )
    )  # fmt: skip  # Cephes, expf

    def _exp32(x):
        # Split x = n ln 2 + r, |r| <= ln 2 / 2; then e^x = 2^n e^r.
        y = max(min(x, HIGHEST), LOWEST)
        n = np.floor(fma(y, LOG2_E, f32(0.5)))
        r = fma(-n, LN2_LOW, fma(-n, LN2_HIGH, y))
        p = fma(fma(fma(fma(fma(C[0], r, C[1]), r, C[2]), r, C[3]), r, C[4]), r, C[5])
        value = (fma(p * r, r, r) + f32(1)) * _power_of_two(np.int32(n), y)
        return f32(0) if x < LOWEST else value + (x - x)  # NaN stays NaN

    LOWEST_64, HIGHEST_64 = f64(-708.0), f64(709.0)
    # ln 2 in two parts, the first with so few bits that n times it is exact (Cephes, exp).
    LOG2_E_64, HIGH_64, LOW_64 = (
        f64(np.log2(math.e)),
        f64(6.93145751953125e-1),
        f64(1.42860682030941723212e-6),
    )
    # 1 / m!, m from 13 down to 2: the first term left out is 4e-18 of the whole.
    T = tuple(f64(1) / f64(float(np.prod(np.arange(1.0, m + 1)))) for m in range(13, 1, -1))

    def _exp64(x):
        y = max(min(x, HIGHEST_64), LOWEST_64)
        n = np.floor(fma(y, LOG2_E_64, f64(0.5)))
        r = fma(-n, LOW_64, fma(-n, HIGH_64, y))
        p = fma(fma(fma(fma(fma(T[0], r, T[1]), r, T[2]), r, T[3]), r, T[4]), r, T[5])
        p = fma(fma(fma(fma(fma(fma(p, r, T[6]), r, T[7]), r, T[8]), r, T[9]), r, T[10]), r, T[11])
        value = (fma(p * r, r, r) + f64(1)) * _power_of_two(np.int32(n), y)
        return f64(0) if x < LOWEST_64 else value + (x - x)

    @overload(exp, inline="always")
    def _exp_of(x):
        return _exp32 if x == types.float32 else _exp64
