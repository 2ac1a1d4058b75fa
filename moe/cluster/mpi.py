"""The layer over real processes: mpiexec -n 4 python -m moe.cluster.mpi --json.

Needs the extra `mpi` (pip install 'moescope[mpi]'), which brings mpi4py, MPICH and its mpiexec.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MOE_NUM_THREADS")
LIFELINE = "MOE_MPI_LIFELINE"  # a pipe whose other end only the parent holds


def main() -> None:
    """Run one rank: a parent that stands by, and the process that computes.

    The parent says which rank was killed: a process that gets SIGKILL cannot, and the launcher
    kills the other ranks at once.
    """
    if LIFELINE in os.environ:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        from .mpi_run import run

        sys.exit(run(sys.argv[1:]))
    sys.exit(_stand_by())


def _stand_by() -> int:
    defaults = dict.fromkeys(THREADS, "1")  # ranks share the cores; BLAS reads it when it is loaded
    defaults["MOE_BACKEND"] = "numpy"  # else every rank would compile kernels, all at once
    hold, _ours = os.pipe()
    os.set_inheritable(hold, True)
    environment = defaults | os.environ | {LIFELINE: str(hold)}
    # The launcher's descriptors must reach the child too.
    arguments = [sys.executable, *sys.orig_argv[1:]]
    with subprocess.Popen(arguments, env=environment, close_fds=False) as child:
        os.close(hold)
        code = child.wait()
    if code >= 0:
        return code
    rank, name = os.environ.get("PMI_RANK", "?"), signal.Signals(-code).name
    sys.stderr.write(f"moe: rank {rank} (process {child.pid}) was ended by {name}; all ranks end\n")
    return 128 - code


def _end_with_parent() -> None:
    os.read(int(os.environ[LIFELINE]), 1)  # returns when the parent is gone
    os._exit(1)


if __name__ == "__main__":
    main()
