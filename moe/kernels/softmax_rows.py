"""Softmax of attention's rows, in whole vectors: the loops that numba leaves scalar.

Rows lie in working memory and fill whole tiles; what lies ahead of a row's end is masked. A sum is
taken lane by lane, and then of the lanes, so that zeros behind a row's end change no bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .environment import numba
from .tile import VECTORS

# Without numba there is nothing to compile, and only compiled code calls them.
softmax_row: Any = None
softmax_row_backward: Any = None

if numba is not None:
    from numba.core import types
    from numba.extending import intrinsic

    from .tile import I64, INTEGER
    from .vectors import RowEmitter

    def _emit_softmax_row(emit: RowEmitter) -> None:
        row, row_at, size, n, scale, out, out_at = emit.args
        builder, scales = emit.builder, emit.splat(scale)
        lowest = emit.same(-np.inf)

        def scaled(i: Any, tops: list[Any]) -> list[Any]:
            after = []
            for v, top in enumerate(tops):
                at = emit.plus(i, v * emit.lanes)
                place = builder.add(row_at, at)
                x = builder.fmul(emit.load(row, place), scales)
                x = builder.select(emit.first_lanes(builder.sub(n, at)), x, lowest)
                emit.store(x, row, place)
                after.append(emit.larger(top, x))
            return after

        tops = emit.tiles(size, [lowest] * VECTORS, scaled)
        top = tops[0]
        for other in tops[1:]:
            top = emit.larger(top, other)
        top = emit.folded(top, emit.larger)
        all_top = emit.splat(top)

        def exponentials(i: Any, sums: list[Any]) -> list[Any]:
            after = []
            for v, total in enumerate(sums):
                place = builder.add(row_at, emit.plus(i, v * emit.lanes))
                x = emit.exp(builder.fsub(emit.load(row, place), all_top))
                emit.store(x, row, place)
                after.append(builder.fadd(total, x))
            return after

        sums = emit.tiles(size, [emit.zero] * VECTORS, exponentials)
        total = sums[0]
        for other in sums[1:]:
            total = builder.fadd(total, other)
        builder.store(top, builder.gep(out, [out_at]))
        builder.store(
            emit.folded(total, builder.fadd), builder.gep(out, [builder.add(out_at, I64(1))])
        )

    def _emit_softmax_row_backward(emit: RowEmitter) -> None:
        row, row_at, drow, drow_at, size, n, scale, log_sum, along = emit.args
        builder = emit.builder
        scales, shift, mean = (emit.splat(number) for number in (scale, log_sum, along))
        lowest = emit.same(-np.inf)

        def body(i: Any, carried: list[Any]) -> list[Any]:
            for v in range(VECTORS):
                at = emit.plus(i, v * emit.lanes)
                place, dplace = builder.add(row_at, at), builder.add(drow_at, at)
                x = builder.fsub(builder.fmul(emit.load(row, place), scales), shift)
                x = builder.select(emit.first_lanes(builder.sub(n, at)), x, lowest)
                weight = emit.exp(x)
                emit.store(weight, row, place)
                slope = builder.fmul(builder.fsub(emit.load(drow, dplace), mean), scales)
                emit.store(builder.fmul(weight, slope), drow, dplace)
            return carried

        emit.tiles(size, [], body)

    @intrinsic
    def softmax_row(
        typingctx: Any, row: Any, row_at: Any, size: Any, n: Any, scale: Any, out: Any, out_at: Any
    ) -> Any:
        """Replace the first n numbers x of row[row_at:] by exp(scale x - top), the rest by zeros.

        `size` is the room of the row, whole tiles. out[out_at] becomes the top, the largest
        scale x, and out[out_at + 1] the sum.
        """
        signature = types.void(row, INTEGER, INTEGER, INTEGER, row.dtype, out, INTEGER)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _emit_softmax_row(RowEmitter(context, builder, signature, args))
            return context.get_dummy_value()

        return signature, codegen

    @intrinsic
    def softmax_row_backward(
        typingctx: Any, row: Any, row_at: Any, drow: Any, drow_at: Any, size: Any, n: Any,
        scale: Any, log_sum: Any, along: Any,
    ) -> Any:  # fmt: skip
        """Replace scores by weights, w = exp(scale x - log_sum), and their gradients dw by those
        of the unscaled scores, w (dw - along) scale; from the n-th number on by zeros.
        """  # noqa: D205
        signature = types.void(
            row, INTEGER, drow, INTEGER, INTEGER, INTEGER, row.dtype, row.dtype, row.dtype
        )

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _emit_softmax_row_backward(RowEmitter(context, builder, signature, args))
            return context.get_dummy_value()

        return signature, codegen
