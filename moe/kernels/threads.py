"""How kernels share the cores: a pool of threads that take work items off an atomic counter.

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
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from ..errors import check_int
from .backend import njit, threads_override
from .cores import allowed_cores
from .costs import MIN_PARALLEL_NS
from .environment import numba

# How often a thread reads a flag in a loop before it gives up. Threads spin for a while instead of
# sleeping at once, because waking a sleeping core takes longer than computing a small layer.
START, BURST = 60_000, 4_000_000  # about 15 microseconds and 1 millisecond


def num_threads() -> int:
    """Number of threads a kernel may use: `MOE_NUM_THREADS`, else this process's allowed cores."""
    override = threads_override.get()
    if override is not None:
        return override
    words = os.environ.get("MOE_NUM_THREADS")
    if words is not None:
        if not (words.isascii() and words.isdigit()):
            raise ValueError(f"MOE_NUM_THREADS: got {words!r}, allowed is a whole number in 1..256")
        return check_int("MOE_NUM_THREADS", int(words), 1, 256)
    return allowed_cores()


if numba is not None:
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    # On the CPU numba has no atomic operations of its own, so these two emit LLVM's. The orderings
    # "acq_rel" and "acquire" matter: a thread that reads a new count must also see the results that
    # another thread wrote before it counted.

    @intrinsic
    def add_to(typingctx: Any, flag: Any, number: Any) -> Any:
        """Atomically add to flag[0] and return its value before."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array_type = signature.args[0]
            array = context.make_array(array_type)(context, builder, args[0])
            zero = context.get_constant(types.intp, 0)
            pointer = cgutils.get_item_pointer(context, builder, array_type, array, [zero])
            return builder.atomic_rmw("add", pointer, args[1], "acq_rel")

        return types.int64(flag, types.int64), codegen

    @intrinsic
    def peek(typingctx: Any, flag: Any) -> Any:
        """Return flag[0] from memory; the compiler may not keep an older value in a register."""

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

    def add_to(flag: np.ndarray, number: int) -> int:
        """Add to flag[0] and return its value before."""
        flag[0] += number
        return int(flag[0]) - number


@njit
def take_item(queue):
    """Return the number of the next work item; no other thread gets the same one."""
    return add_to(queue, 1)


@njit
def _wait(flag, value, spins):
    """Read flag[0] at most `spins` times, until it is at least `value`; return whether it is."""
    for _ in range(spins):
        if peek(flag) >= value:
            return True
    return False


@njit
def _ring(submitted, waiting, queue):
    """Announce a job; if a thread is spinning, wait until it has begun.

    That thread needs the GIL to call the kernel, and this compiled function waits without it.
    """
    add_to(submitted, 1)
    if peek(waiting) > 0:
        _wait(queue, 1, START)


@njit
def _stand_by(submitted, seen, waiting, left):
    """Report that the last job is left, spin until the next one, and return whether it came."""
    add_to(left, 1)
    add_to(waiting, 1)
    found = _wait(submitted, seen + 1, BURST)
    add_to(waiting, -1)
    return found


class _Job:
    """One call of `run_items`; every free thread takes part until no item is left."""

    def __init__(self, kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.kernel, self.arguments = kernel, arguments
        self.helpers, self.open = 0, True
        self.left = np.zeros(1, np.int64)
        self.done: SimpleQueue[BaseException | None] = SimpleQueue()

    def help(self) -> bool:
        """Run the kernel too, unless the caller has seen the last item taken; return whether."""
        # No lock is needed: CPython changes threads only at calls and at the end of loops, so that
        # `finish` cannot close the job between this test and the count.
        if not self.open:
            return False
        self.helpers += 1
        error = None
        try:
            self.kernel(*self.arguments)
        except BaseException as raised:  # whatever it is, the caller waits for an entry in `done`
            error = raised
        self.done.put(error)
        return True

    def finish(self) -> None:
        """Wait for the threads that took part, and raise the first of their errors."""
        self.open = False
        helpers = self.helpers
        if helpers:
            # Helpers need the GIL to return from the kernel: spin without it before blocking.
            _wait(self.left, helpers, BURST)
            errors = [self.done.get() for _ in range(helpers)]
            for error in errors:
                if error is not None:
                    raise error


class _Pool:
    """One pool for the whole process, grown on demand; its threads never wait on each other."""

    def __init__(self) -> None:
        # The lock guards only the growth of the pool: a SimpleQueue needs none, and the two
        # counters are changed by atomic additions.
        self.size, self.lock = 0, threading.Lock()
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.submitted, self.waiting = np.zeros(1, np.int64), np.zeros(1, np.int64)

    def _work(self) -> None:
        no_job = np.zeros(1, np.int64)  # counts for no caller: this thread has left no job yet
        left = no_job
        while True:
            # Read before the queue: a job that is submitted after a look at the empty queue then
            # has a higher number, and ends the spinning at once.
            seen = int(self.submitted[0])
            try:
                job = self.jobs.get_nowait()
            except Empty:
                announced = _stand_by(self.submitted, seen, self.waiting, left)
                left = no_job
                if announced:
                    continue
                job = self.jobs.get()
            left[0] += 1
            left = job.left if job.help() else no_job
            del job  # a waiting thread must not keep the arrays of a past job alive

    def submit(self, job: _Job, helpers: int) -> None:
        """Offer a job to `helpers` threads, and start those that do not exist yet."""
        if self.size < helpers:
            with self.lock:
                while self.size < helpers:
                    name = f"moe-{self.size}"
                    threading.Thread(target=self._work, name=name, daemon=True).start()
                    self.size += 1
        for _ in range(helpers):
            self.jobs.put(job)
        _ring(self.submitted, self.waiting, job.arguments[0])


def prepare() -> None:
    """Compile or load the functions of the pool's threads, which would otherwise do it in a job."""
    flag = np.ones(1, np.int64)
    _ring(flag, np.zeros(1, np.int64), flag)
    _stand_by(flag, 0, flag, flag)
    _wait(flag, 0, 1)


_pool = _Pool()
if hasattr(os, "register_at_fork"):  # a forked child has the object but not its threads
    os.register_at_fork(after_in_child=lambda: _pool.__init__())  # type: ignore[misc]


def run_items(
    kernel: Callable[..., Any], n_items: int, work_ns: float, *args: Any, threads: int | None = None
) -> None:
    """Run `kernel(queue, n_items, *args)` on as many threads as the amount of work warrants.

    Parameters
    ----------
    kernel
        A compiled function that takes items off the queue until none is left.
    n_items
        Number of independent work items.
    work_ns
        Estimated time on one core, in nanoseconds; little work stays on the calling thread, since
        handing it over would take longer.
    threads
        The result of `num_threads`, if the caller has it already.
    """
    queue = np.zeros(1, np.int64)
    helpers = 0 if work_ns < MIN_PARALLEL_NS else min(threads or num_threads(), n_items) - 1
    if helpers <= 0:
        kernel(queue, n_items, *args)
        return
    job = _Job(kernel, (queue, n_items, *args))
    _pool.submit(job, helpers)
    try:
        kernel(queue, n_items, *args)
    finally:
        job.finish()
