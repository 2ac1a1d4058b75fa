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
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from ..errors import check_int
from .backend import njit, threads_override
from .cores import allowed_cores
from .costs import MIN_PARALLEL_NS
from .environment import numba

# Looks at a flag before a thread gives up: waking a sleeping core takes longer than a small layer.
START, BURST = 60_000, 4_000_000  # some 15 microseconds and 1 millisecond


def num_threads() -> int:
    """Threads a kernel may use: `MOE_NUM_THREADS`, else the cores this process is allowed."""
    override = threads_override.get()
    if override is not None:
        return override
    asked = os.environ.get("MOE_NUM_THREADS")
    if asked is not None:
        if not (asked.isascii() and asked.isdigit()):
            raise ValueError(f"MOE_NUM_THREADS: got {asked!r}, allowed is a whole number in 1..256")
        return check_int("MOE_NUM_THREADS", int(asked), 1, 256)
    return allowed_cores()


if numba is not None:
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    @intrinsic
    def add_to(typingctx: Any, flag: Any, number: Any) -> Any:
        """Atomically add to flag[0] and return what it was."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array_type = signature.args[0]
            array = context.make_array(array_type)(context, builder, args[0])
            zero = context.get_constant(types.intp, 0)
            pointer = cgutils.get_item_pointer(context, builder, array_type, array, [zero])
            return builder.atomic_rmw("add", pointer, args[1], "acq_rel")

        return types.int64(flag, types.int64), codegen

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

    def add_to(flag: np.ndarray, number: int) -> int:
        """Add to flag[0] and return what it was."""
        flag[0] += number
        return int(flag[0]) - number


@njit
def take_item(queue):
    """The next work item, each handed out once."""
    return add_to(queue, 1)


@njit
def _wait(flag, value, spins):
    """Look at flag[0] until it is at least `value`, or that often; say whether it is."""
    for _ in range(spins):
        if peek(flag) >= value:
            return True
    return False


@njit
def _ring(submitted, waiting, queue):
    """Announce a job; if a thread stands by, leave it the interpreter until it has begun."""
    add_to(submitted, 1)
    if peek(waiting) > 0:
        _wait(queue, 1, START)


@njit
def _stand_by(submitted, seen, waiting, left):
    """Say that the last job is left behind, and watch out for the next one for a while."""
    add_to(left, 1)
    add_to(waiting, 1)
    found = _wait(submitted, seen + 1, BURST)
    add_to(waiting, -1)
    return found


class _Job:
    """One call of `run_items`; whoever is free takes part until its items are gone."""

    def __init__(self, kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.kernel, self.arguments = kernel, arguments
        self.helpers, self.open = 0, True
        self.left = np.zeros(1, np.int64)
        self.done: SimpleQueue[BaseException | None] = SimpleQueue()

    def help(self) -> bool:
        """Take part, unless the caller has already seen the last item taken."""
        if not self.open:  # the GIL makes this and the next line one step
            return False
        self.helpers += 1
        error = None
        try:
            self.kernel(*self.arguments)
        except BaseException as raised:
            error = raised
        self.done.put(error)
        return True

    def finish(self) -> None:
        """Wait for those who took part."""
        self.open = False
        helpers = self.helpers
        if helpers:
            # Helpers need the interpreter to get out; who spins here leaves it to them.
            _wait(self.left, helpers, BURST)
            errors = [self.done.get() for _ in range(helpers)]
            for error in errors:
                if error is not None:
                    raise error


class _Pool:
    """One pool for the whole process, grown on demand; its threads never wait on each other."""

    def __init__(self) -> None:
        self.size, self.lock = 0, threading.Lock()
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.submitted, self.waiting = np.zeros(1, np.int64), np.zeros(1, np.int64)

    def _work(self) -> None:
        nobody = np.zeros(1, np.int64)
        left = nobody
        while True:
            seen = int(self.submitted[0])
            try:
                job = self.jobs.get_nowait()
            except Empty:
                found = _stand_by(self.submitted, seen, self.waiting, left)
                left = nobody
                if found:
                    continue
                job = self.jobs.get()
            left[0] += 1
            left = job.left if job.help() else nobody
            del job  # while this thread waits, it holds on to nobody's arrays

    def submit(self, job: _Job, helpers: int) -> None:
        """Offer a job to that many threads."""
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
    """Compile or load what the threads themselves run; a call of theirs would do it too late."""
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
    """Run `kernel(queue, n_items, *args)` on as many threads as the work deserves.

    Parameters
    ----------
    kernel
        A compiled function that takes items off the queue until none is left.
    n_items
        Number of independent work items.
    work_ns
        About how long one core takes; little work stays on the calling thread.
    threads
        What `num_threads` said, if the caller has asked already.
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
