"""One pool under any number of threads: errors, interrupts, forks, the end, and who is allowed."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moe
from moe import kernels
from moe.kernels import cores, threads
from moe.kernels.backend import njit

MUCH = 1e9  # nanoseconds: work that deserves every thread


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@njit
def count(queue, n_items, taken):
    item = threads.take_item(queue)
    while item < n_items:
        taken[item] += 1
        item = threads.take_item(queue)


@njit
def stumble(queue, n_items, bad, taken):
    item = threads.take_item(queue)
    while item < n_items:
        taken[item] += 1
        if item == bad:
            raise IndexError("the bad item")
        item = threads.take_item(queue)


@pytest.mark.parametrize("n_threads", [1, 2, 5, 16])
@pytest.mark.parametrize("n_items", [0, 1, 3, 1000])
def test_each_item_is_taken_once(n_threads: int, n_items: int) -> None:
    taken = np.zeros(n_items, np.int64)
    with kernels.using(threads=n_threads):
        for _ in range(20):
            threads.run_items(count, n_items, MUCH, taken)
    assert (taken == 20).all()


# Errors ----------------------------------------------------------------------------------------


def test_an_error_in_a_kernel_reaches_the_caller_and_the_pool_lives_on() -> None:
    for n_threads in (1, 2, 4):
        with kernels.using(threads=n_threads):
            for bad in range(0, 64, 7):
                with pytest.raises(IndexError, match="the bad item"):
                    threads.run_items(stumble, 64, MUCH, bad, np.zeros(64, np.int64))
            taken = np.zeros(64, np.int64)
            threads.run_items(count, 64, MUCH, taken)
            assert (taken == 1).all()


class Slow:
    """Stands in for a kernel: Python code that helpers and the caller run."""

    def __init__(self, in_helper: Callable[[], None], in_caller: Callable[[], None]) -> None:
        self.home, self.parts = threading.get_ident(), (in_caller, in_helper)

    def __call__(self, queue: np.ndarray, n_items: int, *args: Any) -> None:
        self.parts[threading.get_ident() != self.home]()


def test_an_error_of_one_helper_is_raised_once_all_are_out() -> None:
    inside, lock = [0], threading.Lock()

    def helper() -> None:
        with lock:
            inside[0] += 1
            number = inside[0]
        time.sleep(0.05 * number)
        with lock:
            inside[0] -= 1
        raise KeyError(f"helper {number}")

    def caller() -> None:
        while inside[0] < 3:
            time.sleep(0.001)

    with kernels.using(threads=4), pytest.raises(KeyError, match="helper"):
        threads.run_items(Slow(helper, caller), 10, MUCH)
    assert inside == [0]


def test_an_interrupted_caller_leaves_a_pool_that_works() -> None:
    begun = threading.Event()

    def helper() -> None:
        begun.set()
        time.sleep(0.2)

    def caller() -> None:
        begun.wait(5)
        signal.raise_signal(signal.SIGINT)
        time.sleep(1)

    with kernels.using(threads=2):
        with pytest.raises(KeyboardInterrupt):
            threads.run_items(Slow(helper, caller), 10, MUCH)
        taken = np.zeros(64, np.int64)
        threads.run_items(count, 64, MUCH, taken)
    assert (taken == 1).all()


def test_an_interrupt_while_waiting_for_helpers_comes_through() -> None:
    ended = threading.Event()

    def helper() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        ended.set()

    with kernels.using(threads=2):
        with pytest.raises(KeyboardInterrupt):
            threads.run_items(Slow(helper, lambda: time.sleep(0.1)), 10, MUCH)
            time.sleep(1)
        assert ended.wait(5)
        taken = np.zeros(64, np.int64)
        threads.run_items(count, 64, MUCH, taken)
    assert (taken == 1).all()


# Many at once ----------------------------------------------------------------------------------


def test_one_pool_serves_all_callers() -> None:
    """Callers bring their own thread; helpers are as many as one call may have, and no more."""
    before = threads._pool.size
    allowed = max(before, 2)

    def call(seed: int) -> np.ndarray:
        with kernels.using(threads=3):
            taken = np.zeros(500, np.int64)
            threads.run_items(count, 500, MUCH, taken)
        return taken

    with ThreadPoolExecutor(12) as pool:
        for taken in pool.map(call, range(300)):
            assert (taken == 1).all()
    assert threads._pool.size == allowed
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("moe-")]
    assert len(names) == len(set(names)) == allowed


def test_the_number_of_threads_is_each_callers_own(rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(32, 24, 8)
    x_ND = rng.standard_normal((900, 32)).astype(np.float32)
    truth = layer(x_ND).tobytes()

    def call(n_threads: int) -> tuple[int, int, bytes]:
        with kernels.using(threads=n_threads):
            with kernels.using(threads=1):
                inner = kernels.num_threads()
            return kernels.num_threads(), inner, layer(x_ND).tobytes()

    with ThreadPoolExecutor(6) as pool:
        numbers = [1, 2, 3, 7] * 20
        for number, got in zip(numbers, pool.map(call, numbers), strict=True):
            assert got == (number, 1, truth)


def test_a_thread_of_the_pool_may_call_layers_itself() -> None:
    """Such a call waits for nobody: whoever is free helps, and the caller does the rest."""
    layer = moe.MoELayer.init(32, 24, 8)
    x_ND = np.ones((900, 32), np.float32)
    results = [layer(x_ND).tobytes()]

    def nested() -> None:
        with kernels.using(threads=3):
            results.append(layer(x_ND).tobytes())

    with kernels.using(threads=3):
        for _ in range(10):
            threads.run_items(Slow(nested, nested), 10, MUCH)
    assert len(results) > 10 and len(set(results)) == 1


def test_threads_at_rest_hold_on_to_no_arrays() -> None:
    with kernels.using(threads=3):
        taken = np.zeros(300, np.int64)
        gone = weakref.ref(taken)
        threads.run_items(count, 300, MUCH, taken)
        del taken
    deadline = time.monotonic() + 5
    while gone() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    gc.collect()
    assert gone() is None


# Forks and the end -----------------------------------------------------------------------------

FORK = """
import os, threading
import numpy as np, moe
from moe import kernels
layer, x = moe.MoELayer.init(32, 24, 8), np.ones((900, 32), np.float32)
four = kernels.using(threads=4)
four.__enter__()  # kept: it would end as soon as nobody held it
truth = layer(x).tobytes()
stop = threading.Event()
def busy():
    with kernels.using(threads=4):
        while not stop.is_set():
            assert layer(x).tobytes() == truth
others = [threading.Thread(target=busy) for _ in range(3)]
[t.start() for t in others]
codes = []
for _ in range(12):
    child = os.fork()
    if child == 0:
        try:
            right = all(layer(x).tobytes() == truth for _ in range(5))
            right &= any(t.name.startswith("moe-") for t in threading.enumerate())
        except BaseException:
            right = False
        os._exit(0 if right else 1)
    codes.append(os.waitpid(child, 0)[1])
stop.set()
[t.join() for t in others]
assert layer(x).tobytes() == truth
print(codes)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_fork_in_the_middle_of_use_computes_on() -> None:
    done = run_python(FORK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([0] * 12)


END = """
import threading
import numpy as np, moe
from moe import kernels
layer, x = moe.MoELayer.init(64, 48, 8), np.ones((2000, 64), np.float32)
def busy():
    with kernels.using(threads=4):
        while True:
            layer(x)
for _ in range(BUSY):
    threading.Thread(target=busy, daemon=True).start()
with kernels.using(threads=4):
    for _ in range(3):
        layer(x)
print("done")
"""


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.soak)])
@pytest.mark.parametrize("busy", [0, 2])
def test_the_interpreter_ends_while_threads_wait_or_work(busy: int, times: int) -> None:
    for _ in range(times):
        done = run_python(END.replace("BUSY", str(busy)))
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


# Who is allowed what ---------------------------------------------------------------------------


def quota(root: Path, own: str = "", **files: str) -> int:
    """Cores that a made-up system allows; in a name `__` stands for / and `cpu_` for cpu."""
    if own:
        (root / "proc" / "self").mkdir(parents=True, exist_ok=True)
        (root / "proc" / "self" / "cgroup").write_text(own)
    for name, text in files.items():
        path = root / "sys" / "fs" / "cgroup" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(path.name.replace("cpu_", "cpu.")).write_text(text)
    return cores.quota_cores(root)


NONE = cores.WITHOUT_LIMIT
V1 = "7:memory:/\n3:cpu,cpuacct:/docker/abc\n1:cpuset:/\n0::/\n"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("", {}, NONE),
        ("", {"cpu_max": "200000 100000\n"}, 2),  # no /proc: the top counts
        ("0::/\n", {"cpu_max": "max 100000\n"}, NONE),
        ("0::/\n", {"cpu_max": "150000 100000\n"}, 2),  # one and a half: two take turns
        ("0::/\n", {"cpu_max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu_max": "nonsense\n"}, NONE),
        ("0::/\n", {"cpu_max": "100000 0\n"}, NONE),
        ("0::/a/b\n", {"a__b__cpu_max": "max 100000", "a__cpu_max": "300000 100000"}, 3),
        ("0::/a/b\n", {"a__b__cpu_max": "100000 100000", "a__cpu_max": "300000 100000"}, 1),
        ("0::/not/seen/inside\n", {"cpu_max": "400000 100000"}, 4),
        (V1, {"cpu__cpu_cfs_quota_us": "-1\n", "cpu__cpu_cfs_period_us": "100000\n"}, NONE),
        (V1, {"cpu__cpu_cfs_quota_us": "250000\n", "cpu__cpu_cfs_period_us": "100000\n"}, 3),
        (
            V1,
            {
                "cpu__docker__abc__cpu_cfs_quota_us": "50000",
                "cpu__docker__abc__cpu_cfs_period_us": "50000",
                "cpu__cpu_cfs_quota_us": "-1",
                "cpu__cpu_cfs_period_us": "100000",
            },
            1,
        ),
        ("5:cpuset:/x\n", {"cpu__cpu_cfs_quota_us": "100000"}, NONE),
    ],
)
def test_quotas_of_control_groups(
    tmp_path: Path, own: str, files: dict[str, str], expected: int
) -> None:
    assert quota(tmp_path, own, **files) == expected


def test_cores_are_the_least_of_affinity_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOE_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    for limit, expected in ((NONE, 8), (3, 3), (100, 8)):
        monkeypatch.setattr(cores, "_own_quota", lambda limit=limit: limit)
        assert kernels.num_threads() == expected
    monkeypatch.setenv("MOE_NUM_THREADS", "5")
    assert kernels.num_threads() == 5
