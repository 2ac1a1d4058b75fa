"""The register tile: the innermost loop of every matrix product, as vector instructions.

numba has no way to say "keep these sums in registers", so the tile is written in LLVM's own
terms: R rows times two vectors of sums, one fused multiply-add each per step of the inner
dimension. LLVM fits it to the machine; only the tile's shape is chosen here.
"""

from __future__ import annotations

from typing import Any

from .backend import numba

VECTORS = 2  # vectors of sums per row


def _shape() -> tuple[int, int]:
    """Rows of a tile and bytes of a vector: all sums and operands must fit the registers."""
    if numba is None:
        return 4, 16
    from llvmlite.binding import get_host_cpu_features

    try:
        features = get_host_cpu_features()
    except RuntimeError:
        features = {}
    if features.get("avx512f"):
        return 8, 64  # 16 sums of 32 registers
    if features.get("avx2"):
        return 6, 32  # 12 sums of 16 registers
    return 6, 16


ROWS, VECTOR_BYTES = _shape()
COLUMNS_32 = VECTORS * VECTOR_BYTES // 4
COLUMNS_64 = VECTORS * VECTOR_BYTES // 8

tile_product: Any = None  # without numba; only compiled code calls them
copy_columns: Any = None

if numba is not None:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def tile_product(
        typingctx: Any,
        a: Any,
        row_at: Any,
        a_step: Any,
        b: Any,
        b_at: Any,
        c: Any,
        c_at: Any,
        c_row: Any,
        depth: Any,
        rows: Any,
        add: Any,
    ) -> Any:
        """C[m, :] (+)= sum over k of A[m, k] * B[k, :], for up to ROWS rows of C.

        A[m, k] is a[row_at[m] + k * a_step]; B is packed from b[b_at] on, (depth, columns)
        without gaps; C[m, :] starts at c[c_at + m * c_row]. Rows from `rows` on are computed and
        not stored; their `row_at` must be valid. `add` false: C is overwritten.
        """
        real = a.dtype
        lanes = VECTOR_BYTES // (4 if real == types.float32 else 8)
        signature = types.void(
            a, row_at, types.int64, b, types.int64, c, types.int64, types.int64, types.int64,
            types.int64, types.boolean,
        )  # fmt: skip

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _, _, step, _, panel_at, _, at, stride, n_steps, n_rows, adds = args
            vector = ir.VectorType(context.get_value_type(real), lanes)
            i64, i32 = ir.IntType(64), ir.IntType(32)
            align = 4 if real == types.float32 else 8
            a_data, row_data, b_data, c_data = (
                context.make_array(signature.args[i])(context, builder, args[i]).data
                for i in (0, 1, 3, 5)
            )
            b_data = builder.gep(b_data, [panel_at])
            starts = [
                builder.gep(a_data, [builder.load(builder.gep(row_data, [i64(m)]))])
                for m in range(ROWS)
            ]
            name = f"llvm.fma.v{lanes}f{8 * align}"
            fma = builder.module.globals.get(name) or ir.Function(
                builder.module, ir.FunctionType(vector, [vector] * 3), name
            )
            zero = ir.Constant(vector, [0.0] * lanes)
            undefined = ir.Constant(vector, ir.Undefined)
            first_lane = ir.Constant(ir.VectorType(i32, lanes), [0] * lanes)
            slots = [(m, v) for m in range(ROWS) for v in range(VECTORS)]

            before = builder.block
            loop, done = (builder.append_basic_block(n) for n in ("steps", "store"))
            builder.cbranch(builder.icmp_signed(">", n_steps, i64(0)), loop, done)

            builder.position_at_end(loop)
            k = builder.phi(i64)
            k.add_incoming(i64(0), before)
            sums = [builder.phi(vector) for _ in slots]
            b_row = builder.gep(b_data, [builder.mul(k, i64(VECTORS * lanes))])
            b_vectors = [
                builder.load(
                    builder.bitcast(builder.gep(b_row, [i64(v * lanes)]), vector.as_pointer()),
                    align=align,
                )
                for v in range(VECTORS)
            ]
            shift = builder.mul(k, step)
            after: list[Any] = []
            for m in range(ROWS):
                one = builder.load(builder.gep(starts[m], [shift]))
                first = builder.insert_element(undefined, one, i32(0))
                all_lanes = builder.shuffle_vector(first, undefined, first_lane)
                for v in range(VECTORS):
                    after.append(builder.call(fma, [all_lanes, b_vectors[v], sums[len(after)]]))
            next_k = builder.add(k, i64(1))
            k.add_incoming(next_k, loop)
            for phi, value in zip(sums, after):
                phi.add_incoming(zero, before)
                phi.add_incoming(value, loop)
            builder.cbranch(builder.icmp_signed("<", next_k, n_steps), loop, done)

            builder.position_at_end(done)
            results = []
            for value in after:
                phi = builder.phi(vector)
                phi.add_incoming(zero, before)
                phi.add_incoming(value, loop)
                results.append(phi)
            for m in range(ROWS):
                with builder.if_then(builder.icmp_signed("<", i64(m), n_rows)):
                    row = builder.add(at, builder.mul(stride, i64(m)))
                    for v in range(VECTORS):
                        place = builder.bitcast(
                            builder.gep(c_data, [builder.add(row, i64(v * lanes))]),
                            vector.as_pointer(),
                        )
                        new = results[m * VECTORS + v]
                        old = builder.load(place, align=align)
                        builder.store(
                            builder.select(adds, builder.fadd(old, new), new), place, align=align
                        )
            return context.get_dummy_value()

        return signature, codegen

    @intrinsic
    def copy_columns(
        typingctx: Any, source: Any, source_at: Any, target: Any, target_at: Any
    ) -> Any:
        """Copy one row of a panel, `VECTORS` vectors, from source[source_at] on."""
        real = source.dtype
        lanes = VECTOR_BYTES // (4 if real == types.float32 else 8)
        signature = types.void(source, types.int64, target, types.int64)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            vector = ir.VectorType(context.get_value_type(real), lanes)
            align = 4 if real == types.float32 else 8
            source_data, target_data = (
                context.make_array(signature.args[i])(context, builder, args[i]).data
                for i in (0, 2)
            )
            for v in range(VECTORS):
                shift = ir.IntType(64)(v * lanes)
                places = [
                    builder.bitcast(
                        builder.gep(data, [builder.add(at, shift)]), vector.as_pointer()
                    )
                    for data, at in ((source_data, args[1]), (target_data, args[3]))
                ]
                builder.store(builder.load(places[0], align=align), places[1], align=align)
            return context.get_dummy_value()

        return signature, codegen
