"""How kernels share the cores: one pool of threads, and work items off an atomic counter.

Safe under any number of Python threads (Streamlit sessions): kernels are serial numba functions
that release the GIL; the calling thread and the pool's threads run the *same* kernel, each taking
work items off one counter. numba's own threading layers are not used: `workqueue` aborts the
process when two threads enter it at once. Each output element is written by exactly one item and
every sum runs in an order that the data alone decide, so results have the same bits for any
number of threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue
from typing import Any

import numpy as np

from ..errors import check_int
from .backend import njit, numba, threads_override

MIN_PARALLEL_WORK = 200_000  # multiply-adds below which waking a second thread costs more
SPINS = 20_000  # looks at a flag, some 20 microseconds, before a thread goes to sleep


def num_threads() -> int:
    """Threads a kernel may use: `MOE_NUM_THREADS`, else the cores this process is allowed."""
    override = threads_override.get()
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


@cache
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

    @intrinsic
    def peek(typingctx: Any, flag: Any) -> Any:
        """flag[0] as it is in memory now, whoever wrote it."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array_type = signature.args[0]
            array = context.make_array(array_type)(context, builder, args[0])
            zero = context.get_constant(types.intp, 0)
            pointer = cgutils.get_item_pointer(context, builder, array_type, array, [zero])
            return builder.load_atomic(pointer, "acquire", 8)

        return types.int64(flag), codegen

else:

    def peek(flag: np.ndarray) -> int:
        """Return flag[0]."""
        return int(flag[0])

    def take_item(queue: np.ndarray) -> int:  # the kernels' source stays readable without numba
        """Return queue[0] and add one."""
        queue[0] += 1
        return int(queue[0]) - 1


@njit
def _wait(flag, value, spins):
    """Look at flag[0] until it is `value`, or that often; say whether it is."""
    for _ in range(spins):
        if peek(flag) == value:
            return True
    return False


class _Job:
    """One call of `run_items`; whoever is free takes part until its items are gone."""

    def __init__(self, kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.kernel, self.arguments = kernel, arguments
        self.helpers, self.open = 0, True
        self.finished = np.zeros(1, np.int64)
        self.bell = threading.Semaphore(0)
        self.error: BaseException | None = None

    def help(self) -> None:
        """Take part, unless the caller has already seen the last item taken."""
        if not self.open:  # the GIL makes this and the next line one step
            return
        self.helpers += 1
        try:
            self.kernel(*self.arguments)
        except BaseException as error:
            self.error = error
        self.finished[0] += 1
        self.bell.release()

    def finish(self) -> None:
        """Wait for those who took part."""
        self.open = False
        helpers = self.helpers
        if helpers and not _wait(self.finished, helpers, SPINS):
            for _ in range(helpers):
                self.bell.acquire()
        if self.error is not None:
            raise self.error


class _Pool:
    """One pool for the whole process, grown on demand; its threads never wait on each other."""

    def __init__(self) -> None:
        self.size, self.lock = 0, threading.Lock()
        self.jobs: SimpleQueue[_Job] = SimpleQueue()

    def _work(self) -> None:
        while True:
            self.jobs.get().help()

    def submit(self, job: _Job, helpers: int) -> None:
        if self.size < helpers:
            with self.lock:
                while self.size < helpers:
                    name = f"moe-{self.size}"
                    threading.Thread(target=self._work, name=name, daemon=True).start()
                    self.size += 1
        for _ in range(helpers):
            self.jobs.put(job)


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
    job = _Job(kernel, (queue, n_items, *args))
    _pool.submit(job, helpers)
    try:
        kernel(queue, n_items, *args)
    finally:
        job.finish()
