"""What the kernels find in this process: numba, if it is there, and whether memory is checked."""

from __future__ import annotations

import os
from typing import Any

from ..errors import check_choice


def _numba_or_none() -> Any:
    if os.environ.get("MOE_BACKEND", "numba") == "numpy":
        return None
    try:
        import numba
        from numba.np import linalg
    except ImportError:
        return None
    # numba loads scipy's BLAS when its array functions load, which takes 0.2 s; no kernel uses it.
    ensure, linalg.ensure_blas = linalg.ensure_blas, lambda: None
    try:
        from numba.np import arraymath
    finally:
        linalg.ensure_blas = ensure
    arraymath.ensure_blas = ensure
    return numba


numba = _numba_or_none()
# Whether kernels check every use of memory, and find NaN in memory that nobody wrote.
CHECK = check_choice("MOE_CHECK", os.environ.get("MOE_CHECK", "0"), ("0", "1")) == "1"
