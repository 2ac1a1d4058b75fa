"""How wide the kernels' vectors are: `MOE_VECTOR_BYTES`, or else the processor's widest.

The width decides the shape of the register tile. Any width runs on any processor, since LLVM splits
vectors that are too wide for it, so that every width can be tested everywhere.
"""

from __future__ import annotations

import os

from ..errors import check_choice
from .environment import numba

# Rows of a tile, by bytes of a vector: all sums and operands must fit into the registers.
TILE_ROWS = {
    16: 6,
    32: 6,  # 12 sums of 16 registers
    64: 8,  # 16 sums of 32 registers
}


def _widest() -> int:
    """Bytes of this processor's widest vectors, as far as the kernels know them."""
    if numba is None:
        return 16
    from llvmlite.binding import get_host_cpu_features

    try:
        features = get_host_cpu_features()
    except RuntimeError:
        features = {}
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


def _chosen() -> int:
    setting = os.environ.get("MOE_VECTOR_BYTES")
    if setting is None:
        return _widest()
    return int(check_choice("MOE_VECTOR_BYTES", setting, [str(width) for width in TILE_ROWS]))


VECTOR_BYTES = _chosen()
ROWS = TILE_ROWS[VECTOR_BYTES]
