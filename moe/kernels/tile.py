"""The register tile: the innermost loop of every matrix product, as vector instructions.

A matrix product is limited by how often numbers are loaded. The tile keeps ROWS rows times VECTORS
vectors of sums of C in registers for the whole depth. Each step of the depth loads VECTORS vectors
of a row of B and one number of each row of A, and needs ROWS * VECTORS fused multiply-adds: with 8
rows and 2 vectors that are 16 for 10 loads, where a plain loop needs two loads for each one.

numba has no way to say "keep these sums in registers", so the tile is written in LLVM's terms: the
functions `_emit_*` run once, when a kernel is compiled, and each call of `emit` or `builder` adds
one instruction. LLVM assigns the registers; the tile's shape is chosen in `width.py`.

`python -m benchmarks.constants tile.AHEAD 8 48` times other values of a constant (likewise
STREAMS, and the constants of the other kernel files).
"""

from __future__ import annotations

from typing import Any

from .environment import numba
from .width import ROWS as ROWS
from .width import VECTOR_BYTES as VECTOR_BYTES

VECTORS = 2  # vectors of sums per row
STREAMS = 4  # rows of B that are read side by side when there are few rows of A
AHEAD = 24  # steps of the depth between asking for a row of B and using it

COLUMNS_32 = VECTORS * VECTOR_BYTES // 4
COLUMNS_64 = VECTORS * VECTOR_BYTES // 8

# Without numba there is nothing to compile, and only compiled code calls them.
tile_packed: Any = None
tile_narrow: Any = None
tile_stream: Any = None
stream_rows: Any = None
stream_row: Any = None
transpose_square: Any = None
fetch_line: Any = None

if numba is not None:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    I64, I32 = ir.IntType(64), ir.IntType(32)
    BYTES = ir.IntType(8).as_pointer()
    INTEGER, LOGICAL = types.int64, types.boolean

    def _flattened(builder: Any, kinds: Any, values: Any) -> tuple[list[Any], list[Any]]:
        """Types and values of arguments, the members of tuples one by one."""
        flat: tuple[list[Any], list[Any]] = [], []
        for kind, value in zip(kinds, values):
            pair = [kind], [value]
            if hasattr(kind, "types"):  # a tuple
                members = [builder.extract_value(value, i) for i in range(len(kind.types))]
                pair = _flattened(builder, kind.types, members)
            for whole, part in zip(flat, pair):
                whole.extend(part)
        return flat

    class Emitter:
        """Vector instructions on flat arrays, for one type of number."""

        def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
            kinds, values = _flattened(builder, signature.args, args)
            self.builder, real = builder, kinds[0].dtype
            self.size = 4 if real == types.float32 else 8
            self.lanes = VECTOR_BYTES // self.size
            self.real = context.get_value_type(real)
            self.kind = ir.VectorType(self.real, self.lanes)
            self.zero = ir.Constant(self.kind, [0.0] * self.lanes)
            self.undefined = ir.Constant(self.kind, ir.Undefined)
            # Arrays become pointers to their first element.
            self.args = [
                context.make_array(kind)(context, builder, value).data
                if isinstance(kind, types.Array)
                else value
                for kind, value in zip(kinds, values)
            ]

        def _place(self, data: Any, at: Any) -> Any:
            return self.builder.bitcast(self.builder.gep(data, [at]), self.kind.as_pointer())

        def load(self, data: Any, at: Any) -> Any:
            """One vector."""
            return self.builder.load(self._place(data, at), align=self.size)

        def store(self, value: Any, data: Any, at: Any) -> None:
            """Write one vector."""
            self.builder.store(value, self._place(data, at), align=self.size)

        def spread(self, data: Any, at: Any) -> Any:
            """One number in all lanes."""
            one = self.builder.load(self.builder.gep(data, [at]))
            first = self.builder.insert_element(self.undefined, one, I32(0))
            lanes = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
            return self.builder.shuffle_vector(first, self.undefined, lanes)

        def _function(self, name: str, kind: Any) -> Any:
            module = self.builder.module
            return module.globals.get(name) or ir.Function(module, kind, name)

        def fma(self, a: Any, b: Any, c: Any) -> Any:
            """A * b + c."""
            # Fused where the processor can, in every lane and on every path alike.
            name = f"llvm.fmuladd.v{self.lanes}f{8 * self.size}"
            return self.builder.call(
                self._function(name, ir.FunctionType(self.kind, [self.kind] * 3)), [a, b, c]
            )

        def prefetch(self, data: Any, at: Any, near: bool, write: bool = False) -> None:
            """Ask for a line, into the first cache or only into the second."""
            kind = ir.FunctionType(ir.VoidType(), [BYTES, I32, I32, I32])
            where = self.builder.bitcast(self.builder.gep(data, [at]), BYTES)
            self.builder.call(
                self._function("llvm.prefetch.p0", kind),
                [where, I32(int(write)), I32(3 if near else 2), I32(1)],
            )

        def first_lanes(self, n: Any) -> Any:
            """Mask of the first n lanes."""
            whole = ir.VectorType(I64, self.lanes)
            lanes = ir.Constant(whole, list(range(self.lanes)))
            first = self.builder.insert_element(ir.Constant(whole, ir.Undefined), n, I32(0))
            zeros = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
            spread = self.builder.shuffle_vector(first, ir.Constant(whole, ir.Undefined), zeros)
            return self.builder.icmp_signed("<", lanes, spread)

        def load_some(self, data: Any, at: Any, mask: Any) -> Any:
            """One vector, zeros outside the mask."""
            pointer = self._place(data, at)
            name = f"llvm.masked.load.v{self.lanes}f{8 * self.size}"
            kind = ir.FunctionType(self.kind, [pointer.type, I32, mask.type, self.kind])
            function = self._function(f"{name}.p0", kind)
            return self.builder.call(function, [pointer, I32(self.size), mask, self.zero])

        def store_some(self, value: Any, data: Any, at: Any, mask: Any) -> None:
            """Write the lanes in the mask."""
            pointer, name = (
                self._place(data, at),
                f"llvm.masked.store.v{self.lanes}f{8 * self.size}",
            )
            kind = ir.FunctionType(ir.VoidType(), [self.kind, pointer.type, I32, mask.type])
            function = self._function(f"{name}.p0", kind)
            self.builder.call(function, [value, pointer, I32(self.size), mask])

        def plus(self, at: Any, number: int) -> Any:
            """A place some numbers further."""
            return self.builder.add(at, I64(number))

    def _emit_row_of_b(
        emit: Emitter, names: dict[str, Any], k: Any, stream: bool, vectors: int
    ) -> list[Any]:
        """Load the vectors of row k of B, and ask for what is needed later."""
        builder, lanes = emit.builder, emit.lanes
        packed_row = builder.add(names["packed_at"], builder.mul(k, I64(VECTORS * lanes)))
        if not stream:
            # Packed rows lie one after another, so the hardware fetches them ahead by itself; the
            # tile's spare loads fetch the block of B that is packed next.
            emit.prefetch(names["b"], builder.add(names["next_at"], k), near=False)
            return [
                emit.load(names["packed"], emit.plus(packed_row, v * lanes)) for v in range(vectors)
            ]
        b_row = builder.add(names["b_at"], builder.mul(k, names["b_row"]))
        soon = builder.add(b_row, builder.mul(names["b_row"], I64(AHEAD)))
        b_vectors = []
        for v in range(VECTORS):
            # The rows lie far apart, where the hardware sees no pattern to fetch ahead.
            emit.prefetch(names["b"], emit.plus(soon, v * lanes), near=True)
            b_vectors.append(emit.load(names["b"], emit.plus(b_row, v * lanes)))
            emit.store(b_vectors[v], names["packed"], emit.plus(packed_row, v * lanes))
        return b_vectors

    def _emit_tile(
        emit: Emitter, names: dict[str, Any], stream: bool, vectors: int = VECTORS
    ) -> None:
        """The tile; with `stream`, B is not packed yet, and is packed on the way."""
        builder, lanes = emit.builder, emit.lanes
        row_starts = [builder.load(builder.gep(names["row_at"], [I64(m)])) for m in range(ROWS)]
        # C is asked for now, so that it is in the first cache by the time that the sums are done.
        for m in range(ROWS):
            row = builder.add(names["c_at"], builder.mul(names["c_row"], I64(m)))
            for v in range(vectors):
                emit.prefetch(names["c"], emit.plus(row, v * lanes), near=True, write=True)
        before = builder.block
        loop, done = (builder.append_basic_block(n) for n in ("steps", "store"))
        builder.cbranch(builder.icmp_signed(">", names["depth"], I64(0)), loop, done)

        # A phi takes the value of the block that control came from: here 0, then the last step's.
        builder.position_at_end(loop)
        k = builder.phi(I64)
        k.add_incoming(I64(0), before)
        sums = [builder.phi(emit.kind) for _ in range(ROWS * vectors)]
        b_vectors = _emit_row_of_b(emit, names, k, stream, vectors)
        shift = builder.mul(k, names["a_step"])
        after: list[Any] = []
        for start in row_starts:
            a = emit.spread(names["a"], builder.add(start, shift))
            for b in b_vectors:
                after.append(emit.fma(a, b, sums[len(after)]))
        next_k = emit.plus(k, 1)
        k.add_incoming(next_k, loop)
        for phi, value in zip(sums, after):
            phi.add_incoming(emit.zero, before)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", next_k, names["depth"]), loop, done)

        builder.position_at_end(done)
        results = []
        for value in after:
            phi = builder.phi(emit.kind)
            phi.add_incoming(emit.zero, before)
            phi.add_incoming(value, loop)
            results.append(phi)
        if stream:
            _emit_store(emit, names, results, None, vectors)
            return
        # The last panel may stand over the edge of C.
        full = builder.icmp_signed(">=", names["inside"], I64(vectors * lanes))
        with builder.if_else(full) as (whole, cut):
            with whole:
                _emit_store(emit, names, results, None, vectors)
            with cut:
                left = [builder.sub(names["inside"], I64(v * lanes)) for v in range(vectors)]
                _emit_store(emit, names, results, [emit.first_lanes(n) for n in left], vectors)

    def _emit_store(
        emit: Emitter, names: dict[str, Any], results: list[Any], masks: list[Any] | None,
        vectors: int,
    ) -> None:  # fmt: skip
        """Write or add the sums to C, with masks only those columns."""
        builder = emit.builder
        for m in range(ROWS):
            with builder.if_then(builder.icmp_signed("<", I64(m), names["rows"])):
                row = builder.add(names["c_at"], builder.mul(names["c_row"], I64(m)))
                places = [emit.plus(row, v * emit.lanes) for v in range(vectors)]
                new = results[m * vectors : (m + 1) * vectors]
                with builder.if_else(names["add"]) as (add, overwrite):
                    with add:
                        for v, (place, value) in enumerate(zip(places, new)):
                            if masks is None:
                                old = emit.load(names["c"], place)
                                emit.store(builder.fadd(old, value), names["c"], place)
                            else:
                                old = emit.load_some(names["c"], place, masks[v])
                                total = builder.fadd(old, value)
                                emit.store_some(total, names["c"], place, masks[v])
                    with overwrite:
                        for v, (place, value) in enumerate(zip(places, new)):
                            if masks is None:
                                emit.store(value, names["c"], place)
                            else:
                                emit.store_some(value, names["c"], place, masks[v])

    def _packed(vectors: int) -> Any:
        """Make the tile that computes the first `vectors` vectors of each row."""

        @intrinsic
        def tile(
            typingctx: Any, rows_of_a: Any, packed: Any, packed_at: Any, b: Any, next_at: Any,
            c: Any, c_at: Any, c_row: Any, size: Any, add: Any,
        ) -> Any:  # fmt: skip
            """C[m, :] (+)= sum over k of A[m, k] * B[k, :], for up to ROWS rows of C.

            `rows_of_a` is `Rows` of A; B lies in packed[packed_at:], (depth, columns) without gaps;
            C[m, :] starts at c[c_at + m * c_row]. `size` is (depth, rows, inside): rows from `rows`
            on are computed and not stored, so that their places must be valid too; columns from
            `inside` on are not stored either. If `add` is false, C is overwritten. Meanwhile
            b[next_at : next_at + depth] is fetched into the second cache, for the next block.
            """
            signature = types.void(
                rows_of_a, packed, INTEGER, b, INTEGER, c, INTEGER, INTEGER,
                size, LOGICAL,
            )  # fmt: skip

            def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                emit = Emitter(context, builder, signature, args)
                names = ("a", "row_at", "a_step", "packed", "packed_at", "b", "next_at", "c",
                         "c_at", "c_row", "depth", "rows", "inside", "add")  # fmt: skip
                _emit_tile(emit, dict(zip(names, emit.args)), stream=False, vectors=vectors)
                return context.get_dummy_value()

            return signature, codegen

        return tile

    # The narrow one is for a last panel of few columns: no sums that nobody wants.
    tile_packed, tile_narrow = _packed(VECTORS), _packed(1)

    @intrinsic
    def tile_stream(
        typingctx: Any, rows_of_a: Any, b: Any, b_at: Any, b_row: Any, packed: Any,
        packed_at: Any, c: Any, c_at: Any, c_row: Any, size: Any, add: Any,
    ) -> Any:  # fmt: skip
        """`tile_packed` for a B that is not packed yet: B[k, :] starts at b[b_at + k * b_row].

        On the way it is packed into packed[packed_at:] for the tiles that follow. `size` is
        (depth, rows): all columns are stored.
        """
        signature = types.void(
            rows_of_a, b, INTEGER, INTEGER, packed, INTEGER, c, INTEGER, INTEGER,
            size, LOGICAL,
        )  # fmt: skip

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            emit = Emitter(context, builder, signature, args)
            names = ("a", "row_at", "a_step", "b", "b_at", "b_row", "packed", "packed_at", "c",
                     "c_at", "c_row", "depth", "rows", "add")  # fmt: skip
            _emit_tile(emit, dict(zip(names, emit.args)), stream=True)
            return context.get_dummy_value()

        return signature, codegen

    def _stream(streams: int) -> Any:
        """Make the intrinsic that reads `streams` rows of B side by side."""

        @intrinsic
        def rows_side_by_side(
            typingctx: Any, rows_of_a: Any, b: Any, b_at: Any, b_row: Any, c: Any, c_row: Any,
            columns: Any, rows: Any,
        ) -> Any:  # fmt: skip
            """C[m, :] += the first terms of sum over k of A[m, k] * B[k, :], one for each row of B.

            For up to ROWS rows of C, which begin at c[m * c_row] and have room for whole vectors.
            Memory is quickest in long runs, so rows of B are read side by side from end to end;
            the sums wait in the first cache.
            """
            signature = types.void(
                rows_of_a, b, INTEGER, INTEGER, c, INTEGER, INTEGER, INTEGER
            )  # fmt: skip

            def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                _emit_stream(Emitter(context, builder, signature, args), streams)
                return context.get_dummy_value()

            return signature, codegen

        return rows_side_by_side

    def _emit_stream(emit: Emitter, streams: int) -> None:
        """The body of `stream_rows`: a loop over whole vectors, and the rest under a mask."""
        a, row_at, a_step, b, b_at, b_row, c, c_row, columns, rows = emit.args
        builder, factors = emit.builder, []
        for m in range(ROWS):
            at = builder.load(builder.gep(row_at, [I64(m)]))
            terms = []
            for _ in range(streams):
                terms.append(emit.spread(a, at))
                at = builder.add(at, a_step)
            factors.append(terms)

        def step(i: Any, mask: Any) -> None:
            at = builder.add(b_at, i)
            b_vectors = []
            for _ in range(streams):
                b_vectors.append(emit.load(b, at) if mask is None else emit.load_some(b, at, mask))
                emit.prefetch(b, builder.add(at, builder.mul(b_row, I64(streams))), near=True)
                at = builder.add(at, b_row)
            place = i
            for m in range(ROWS):
                with builder.if_then(builder.icmp_signed("<", I64(m), rows)):
                    total = emit.load(c, place)
                    for factor, b_vector in zip(factors[m], b_vectors):
                        total = emit.fma(factor, b_vector, total)
                    emit.store(total, c, place)
                place = builder.add(place, c_row)

        whole = builder.sub(columns, builder.srem(columns, I64(emit.lanes)))
        before = builder.block
        loop, done = (builder.append_basic_block(n) for n in ("columns", "end"))
        builder.cbranch(builder.icmp_signed(">", whole, I64(0)), loop, done)
        builder.position_at_end(loop)
        i = builder.phi(I64)
        i.add_incoming(I64(0), before)
        step(i, None)
        next_i = emit.plus(i, emit.lanes)
        i.add_incoming(next_i, builder.block)
        builder.cbranch(builder.icmp_signed("<", next_i, whole), loop, done)
        builder.position_at_end(done)
        with builder.if_then(builder.icmp_signed("<", whole, columns)):
            step(whole, emit.first_lanes(builder.sub(columns, whole)))

    stream_rows, stream_row = _stream(STREAMS), _stream(1)

    @intrinsic
    def transpose_square(
        typingctx: Any, source: Any, row_at: Any, source_at: Any, target: Any, target_at: Any,
        target_row: Any,
    ) -> Any:  # fmt: skip
        """Copy a square of one vector by one vector of numbers, rows to columns.

        Row i of the square begins at source[row_at[i] + source_at].
        """
        signature = types.void(source, row_at, INTEGER, target, INTEGER, INTEGER)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            emit = Emitter(context, builder, signature, args)
            source, row_at, source_at, target, target_at, target_row = emit.args
            lanes = emit.lanes
            starts = [builder.load(builder.gep(row_at, [I64(i)])) for i in range(lanes)]
            rows = [emit.load(source, builder.add(source_at, start)) for start in starts]
            # Swap the off-diagonal blocks of every 2h x 2h block, for h = lanes / 2, ..., 1.
            half = lanes // 2
            while half:
                pick = [j if not j & half else lanes + (j ^ half) for j in range(lanes)]
                upper = ir.Constant(ir.VectorType(I32, lanes), pick)
                pick = [(j | half) if not j & half else lanes + j for j in range(lanes)]
                lower = ir.Constant(ir.VectorType(I32, lanes), pick)
                for i in range(lanes):
                    if not i & half:
                        a, b = rows[i], rows[i | half]
                        rows[i] = builder.shuffle_vector(a, b, upper)
                        rows[i | half] = builder.shuffle_vector(a, b, lower)
                half //= 2
            for i, row in enumerate(rows):
                emit.store(row, target, builder.add(target_at, builder.mul(target_row, I64(i))))
            return context.get_dummy_value()

        return signature, codegen

    @intrinsic
    def fetch_line(typingctx: Any, data: Any, at: Any) -> Any:
        """Ask for the line of data[at], into the first cache."""
        signature = types.void(data, INTEGER)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            emit = Emitter(context, builder, signature, args)
            emit.prefetch(emit.args[0], emit.args[1], near=True)
            return context.get_dummy_value()

        return signature, codegen
