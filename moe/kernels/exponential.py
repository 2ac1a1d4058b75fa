"""exp for compiled loops: in float32 a polynomial that vectorises, in float64 the exact one."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import numba


def exp(x):
    """E to the power x <= 88; float32 within one unit in the last place, 0 below -87."""
    return np.exp(x)


if numba is not None:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic, overload

    @intrinsic
    def _power_of_two(typingctx: Any, n: Any) -> Any:
        """2 to the power n as float32, by writing its exponent bits; -126 <= n <= 127."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            biased = builder.add(args[0], ir.IntType(32)(127))
            bits = builder.shl(biased, ir.IntType(32)(23))
            return builder.bitcast(bits, ir.FloatType())

        return types.float32(types.int32), codegen

    f32 = np.float32
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
        n = np.floor(y * LOG2_E + f32(0.5))
        r = y - n * LN2_HIGH - n * LN2_LOW
        p = ((((C[0] * r + C[1]) * r + C[2]) * r + C[3]) * r + C[4]) * r + C[5]
        value = (p * r * r + r + f32(1)) * _power_of_two(np.int32(n))
        return f32(0) if x < LOWEST else value + (x - x)  # NaN stays NaN

    @overload(exp, inline="always")
    def _exp_of(x):
        return _exp32 if x == types.float32 else (lambda x: np.exp(x))
