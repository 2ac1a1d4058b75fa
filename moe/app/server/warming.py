"""A cold start: the pages are up at once on numpy's oracles while kernels compile behind them.

Compiling holds the interpreter lock, so another process does it and fills the cache on the disk.
This one then loads what is there, which takes a third of a second, and changes over: whatever
begins after that runs on kernels, and whatever began before ends on the oracles.
"""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module

from ... import kernels
from ..shared.first_model import ready_model
from ..shared.kept import KEPT
from ..shared.run_slots import TooLongError, run_slot

# If the server is stopped while another process compiles, that one may go on to its end: what it
# leaves is ready for the next start.
HEAD_START = 4.0  # seconds: the first visitor's browser needs the processor, too


@dataclass
class Readiness:
    """What the server has ready.

    Attributes
    ----------
    kernels
        Whether kernels do the work; False while oracles stand in for them.
    first_page
        Whether the first page's model is trained.
    seconds
        How long the kernels took, or None so far.
    """

    kernels: bool = True
    first_page: bool = False
    seconds: float | None = None


READY = Readiness()


def begin(say: Callable[[str], object]) -> threading.Thread:
    """Make the first page ready in a thread, and the kernels if they have to be compiled.

    Parameters
    ----------
    say
        Gets what the operator should know, in a sentence.
    """
    from ...speed.warm import FIRST_TIME, first_run

    READY.kernels = not first_run()
    threads = 1
    if not READY.kernels:
        kernels.stand_in(True)
        threads = _numpy_threads(1)
        say(
            f"First run here: the kernels are being compiled, once; it takes {FIRST_TIME}. "
            "Meanwhile the pages compute with plain numpy."
        )
    work = threading.Thread(target=_make_ready, args=(threads, say), daemon=True)
    work.start()
    return work


def _make_ready(threads: int, say: Callable[[str], object]) -> None:
    from ...speed.warm import compile_elsewhere, unsaved, warm
    from ..frame import load_pages
    from ..start import chart  # noqa: F401
    from ..start.opening import opening

    start = time.monotonic()
    ready_model()
    READY.first_page = True
    gc.collect()
    gc.freeze()  # what is loaded by now stays: later collections need not look at it
    if READY.kernels:
        opening()
        load_pages()
        _train_first_runs()
        return
    time.sleep(max(start + HEAD_START - time.monotonic(), 0))
    load_pages()
    with suppress(OSError):  # then this process compiles, below
        compile_elsewhere().wait()
    with kernels.using("numba"):
        for _ in warm():  # loads what the other process left, and compiles what it could not
            pass
        ready_model()
    kernels.stand_in(False)
    KEPT.clear()  # results of the oracles differ from those of the kernels by rounding
    opening()
    _numpy_threads(threads)
    READY.seconds = time.monotonic() - start
    READY.kernels = True
    say(f"The kernels are ready after {READY.seconds:.0f} s; the pages use them from now on.")
    if unsaved():
        say(f"The next start has to compile again: {unsaved()}.")
    _train_first_runs()


def _train_first_runs() -> None:
    """Train what the page Balance shows first, in the queue of all trainings, and keep it."""
    from ..balance.story import first_runs

    for settings in first_runs():
        slot = run_slot(settings)
        with suppress(TooLongError):  # then who asks for it is told so
            for _ in slot.progress():  # who comes meanwhile waits for the same run, and sees it
                pass
            KEPT.keep(slot.run_key)


def _numpy_threads(n: int) -> int:
    """Set the number of threads of numpy's matrix products, and return what it was.

    Does nothing if numpy has another BLAS than usual.

    They wait for each other in a loop; beside the compiler and other visitors a step of training
    took twenty times as long with two as with one.
    """
    with suppress(OSError, AttributeError, ImportError):
        blas = ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)
        before = int(blas.scipy_openblas_get_num_threads64_())
        blas.scipy_openblas_set_num_threads64_(n)
        return before
    return n
