"""The layer over real processes: mpiexec -n 4 python -m moe.cluster.mpi --json.

Needs the extra `mpi` (pip install 'moescope[mpi]'), which brings mpi4py, MPICH and its mpiexec.
"""

from __future__ import annotations

import os
import sys

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MOE_NUM_THREADS")


def main() -> None:
    """Run one rank; the whole job ends if this rank fails."""
    defaults = dict.fromkeys(THREADS, "1")  # ranks share the cores
    defaults["MOE_BACKEND"] = "numpy"  # else every rank would compile kernels, all at once
    missing = {name: value for name, value in defaults.items() if name not in os.environ}
    if missing:  # BLAS reads these when it is loaded, which the package has done already
        os.environ.update(missing)
        os.execv(sys.executable, sys.orig_argv)
    from .mpi_run import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
