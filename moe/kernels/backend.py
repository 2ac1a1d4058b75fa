"""The switch between numba kernels and numpy oracles, and how kernels share the cores.

Recipe for threads, safe under any number of Python threads (Streamlit sessions): kernels are
serial numba functions that release the GIL; the calling thread and a few pool threads run the
*same* kernel, each taking work items off one atomic counter. numba's own threading layers are
not used: `workqueue` aborts the process when two threads enter it at once. Each output element
is written by exactly one item and every sum runs in an order that the data alone decide, so
results have the same bits for any number of threads.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import check_choice, check_int

BACKENDS = ("numba", "numpy")
MIN_PARALLEL_WORK = 200_000  # multiply-adds below which waking a second thread costs more

_override: ContextVar[str | None] = ContextVar("moe_backend", default=None)
_threads_override: ContextVar[int | None] = ContextVar("moe_threads", default=None)
_lock = threading.Lock()


def _numba_or_none() -> Any:
    if os.environ.get("MOE_BACKEND", "numba") == "numpy":
        return None
    try:
        import numba
    except ImportError:
        return None
    return numba


numba = _numba_or_none()
KERNELS: list[Any] = []  # every compiled function, so that `warm` can say what it compiles


def backend_name() -> str:
    """Name of the implementation in use: 'numba' or 'numpy' (environment `MOE_BACKEND`)."""
    chosen = _override.get() or check_choice(
        "MOE_BACKEND", os.environ.get("MOE_BACKEND", "numba"), BACKENDS
    )
    return chosen if numba is not None else "numpy"


@contextlib.contextmanager
def using(name: str | None = None, threads: int | None = None) -> Iterator[None]:
    """Run the body with another backend or number of threads; this thread only."""
    tokens = (
        _override.set(None if name is None else check_choice("backend", name, BACKENDS)),
        _threads_override.set(None if threads is None else check_int("threads", threads, 1, 256)),
    )
    try:
        yield
    finally:
        _override.reset(tokens[0])
        _threads_override.reset(tokens[1])


def _source_stamp() -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of every kernel file."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files)


_stamp = _source_stamp()


def njit(function: Callable[..., Any], reorder: bool = False) -> Callable[..., Any]:
    """Compile with numba: cached on disk, GIL released, IEEE division; as it is without numba.

    `reorder`: sums may be taken lane by lane; the order then depends on the machine's vectors,
    but still on nothing else.
    """
    if numba is None:
        return function
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    if reorder:
        options["fastmath"] = {"reassoc", "contract"}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to write: neither beside the package nor in the user's cache
        compiled = numba.njit(**options)(function)
    else:
        # numba compares only the function's own file; kernels call each other across files.
        compiled._cache._cache_file._source_stamp = _stamp
    KERNELS.append(compiled)
    return compiled


def compiled() -> int:
    """Kernels compiled so far in this process, rather than loaded from the disk cache."""
    return sum(sum(kernel.stats.cache_misses.values()) for kernel in KERNELS)


def all_cached() -> bool:
    """Say whether the disk cache has an entry for every kernel."""
    return all(
        any(Path(kernel.stats.cache_path).glob(f"*.{kernel.py_func.__qualname__}-*.nbi"))
        for kernel in KERNELS
    )


def num_threads() -> int:
    """Threads a kernel may use: `MOE_NUM_THREADS`, else the cores this process is allowed."""
    override = _threads_override.get()
    if override is not None:
        return override
    asked = os.environ.get("MOE_NUM_THREADS")
    if asked is not None:
        if not asked.isdigit():
            raise ValueError(f"MOE_NUM_THREADS: got {asked!r}, allowed is a whole number in 1..256")
        return check_int("MOE_NUM_THREADS", int(asked), 1, 256)
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cores, _cgroup_cores()))


def _cgroup_cores() -> int:
    """Whole cores that a container's quota allows (cgroup v2), or a large number without one."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return 10**6 if quota == "max" else -(-int(quota) // int(period))
    except (OSError, ValueError):
        return 10**6


if numba is not None:
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    @intrinsic
    def take_item(typingctx: Any, queue: Any) -> Any:
        """Atomically return queue[0] and add one: the next work item, each handed out once."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array_type = signature.args[0]
            array = context.make_array(array_type)(context, builder, args[0])
            zero = context.get_constant(types.intp, 0)
            pointer = cgutils.get_item_pointer(context, builder, array_type, array, [zero])
            one = context.get_constant(types.int64, 1)
            return builder.atomic_rmw("add", pointer, one, "monotonic")

        return types.int64(queue), codegen

else:

    def take_item(queue: np.ndarray) -> int:  # the kernels' source stays readable without numba
        """Return queue[0] and add one."""
        queue[0] += 1
        return int(queue[0]) - 1


class _Pool:
    """One shared pool for the whole process, grown on demand; workers never wait on it."""

    def __init__(self) -> None:
        self.size = 0
        self.executor: ThreadPoolExecutor | None = None

    def workers(self, n: int) -> ThreadPoolExecutor:
        with _lock:
            if self.executor is None or n > self.size:
                self.size = n
                self.executor = ThreadPoolExecutor(n, thread_name_prefix="moe")
            return self.executor


_pool = _Pool()
if hasattr(os, "register_at_fork"):  # a forked child has the object but not its threads
    os.register_at_fork(after_in_child=lambda: _pool.__init__())  # type: ignore[misc]


def run_items(kernel: Callable[..., Any], n_items: int, work: float, *args: Any) -> None:
    """Run `kernel(queue, n_items, *args)` on as many threads as the work deserves.

    Parameters
    ----------
    kernel
        A compiled function that takes items off the queue until none is left.
    n_items
        Number of independent work items.
    work
        Multiply-adds in all; little work stays on the calling thread.
    """
    queue = np.zeros(1, np.int64)
    helpers = 0 if work < MIN_PARALLEL_WORK else min(num_threads(), n_items) - 1
    if helpers <= 0:
        kernel(queue, n_items, *args)
        return
    pool = _pool.workers(num_threads() - 1)
    futures = [pool.submit(kernel, queue, n_items, *args) for _ in range(helpers)]
    kernel(queue, n_items, *args)
    for future in futures:
        # A busy pool may not have started it yet; by now there is nothing left to do.
        if not future.cancel():
            future.result()


def choose(oracle: Callable[..., Any], fast: Callable[..., Any]) -> Callable[..., Any]:
    """Make the public function of an operation: `fast` under numba, else its numpy `oracle`."""

    def operation(*args: Any, **kwargs: Any) -> Any:
        return (fast if backend_name() == "numba" else oracle)(*args, **kwargs)

    operation.__doc__ = oracle.__doc__
    operation.__name__ = fast.__name__.removesuffix("_fast")
    return operation
