"""Whole rows in vector instructions: what the tile's emitter has no need of."""

from __future__ import annotations

from typing import Any

from . import exponential
from .environment import numba
from .tile import VECTORS

if numba is not None:
    from llvmlite import ir

    from .tile import I32, I64, Emitter

    class RowEmitter(Emitter):
        """Vector instructions for rows: comparisons, exponentials, numbers of all lanes."""

        def same(self, number: Any) -> Any:
            """One number, known when the kernel is compiled, in all lanes."""
            return ir.Constant(self.kind, [float(number)] * self.lanes)

        def splat(self, number: Any) -> Any:
            """One number in all lanes."""
            first = self.builder.insert_element(self.undefined, number, I32(0))
            lanes = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
            return self.builder.shuffle_vector(first, self.undefined, lanes)

        def larger(self, a: Any, b: Any) -> Any:
            """The larger number of each lane; NaN where b is."""
            return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

        def folded(self, vector: Any, combine: Any) -> Any:
            """Combine the lanes, halves with halves; the result stands in the first lane."""
            half = self.lanes // 2
            while half:
                pick = [(j + half) % self.lanes for j in range(self.lanes)]
                turned = self.builder.shuffle_vector(
                    vector, self.undefined, ir.Constant(ir.VectorType(I32, self.lanes), pick)
                )
                vector = combine(vector, turned)
                half //= 2
            return self.builder.extract_element(vector, I32(0))

        def exp(self, x: Any) -> Any:
            """`exponential.exp` of each lane."""
            builder, like = self.builder, self.same
            e = exponential
            constants: tuple[Any, ...] = (
                (e.LOWEST, e.HIGHEST, e.LOG2_E, e.LN2_HIGH, e.LN2_LOW, e.C, 32, 127, 23)
                if self.size == 4
                else (
                    e.LOWEST_64,
                    e.HIGHEST_64,
                    e.LOG2_E_64,
                    e.HIGH_64,
                    e.LOW_64,
                    e.T,
                    64,
                    1023,
                    52,
                )
            )  # fmt: skip
            lowest, highest, log2_e, high, low, terms, whole, zero, places = constants
            below = builder.fcmp_ordered("<", x, like(lowest))
            y = builder.select(builder.fcmp_ordered("<", x, like(highest)), x, like(highest))
            y = builder.select(below, like(lowest), y)
            name = f"llvm.floor.v{self.lanes}f{8 * self.size}"
            floor = self.function(name, ir.FunctionType(self.kind, [self.kind]))
            n = builder.call(floor, [self.fma(y, like(log2_e), like(0.5))])
            minus_n = builder.fsub(like(-0.0), n)
            r = self.fma(minus_n, like(low), self.fma(minus_n, like(high), y))
            p = like(terms[0])
            for term in terms[1:]:
                p = self.fma(p, r, like(term))
            e_r = builder.fadd(self.fma(builder.fmul(p, r), r, r), like(1))
            exponent = builder.fptosi(n, ir.VectorType(I32, self.lanes))
            wide = ir.VectorType(ir.IntType(whole), self.lanes)
            if whole == 64:
                exponent = builder.sext(exponent, wide)
            shift = [ir.Constant(wide, [number] * self.lanes) for number in (zero, places)]
            bits = builder.shl(builder.add(exponent, shift[0]), shift[1])
            value = builder.fmul(e_r, builder.bitcast(bits, self.kind))
            value = builder.fadd(value, builder.fsub(x, x))  # NaN stays NaN
            return builder.select(below, self.zero, value)

        def function(self, name: str, kind: Any) -> Any:
            """An intrinsic function of LLVM."""
            return self._function(name, kind)

        def tiles(self, size: Any, begin: list[Any], body: Any) -> list[Any]:
            """Run `body(at, carried)` for each tile's width below `size`, which is above 0."""
            builder, before = self.builder, self.builder.block
            loop, done = (builder.append_basic_block(n) for n in ("row", "done"))
            builder.branch(loop)
            builder.position_at_end(loop)
            i = builder.phi(I64)
            i.add_incoming(I64(0), before)
            carried = [builder.phi(self.kind) for _ in begin]
            after = body(i, carried)
            following = self.plus(i, VECTORS * self.lanes)
            i.add_incoming(following, builder.block)
            for phi, first, value in zip(carried, begin, after):
                phi.add_incoming(first, before)
                phi.add_incoming(value, builder.block)
            builder.cbranch(builder.icmp_signed("<", following, size), loop, done)
            builder.position_at_end(done)
            return after
