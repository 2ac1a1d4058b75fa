"""The switch between backends, and threads that share cores without changing a bit."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import moe
from moe import kernels
from moe.kernels import backend, threads


def step(layer: moe.MoELayer, x_ND: np.ndarray) -> list[bytes]:
    y_ND, ctx = layer.forward(x_ND)
    dx_ND, grads = layer.backward(y_ND, ctx)
    return [array.tobytes() for array in (y_ND, dx_ND, *grads.values())]


@pytest.mark.parametrize("router", list(moe.ROUTERS))
def test_same_bits_for_1_2_and_5_threads(router: str, rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(48, 40, 8, router=router, k=3, n_shared=1)
    x_ND = rng.standard_normal((1500, 48)).astype(np.float32)
    results = []
    for n in (1, 2, 5):
        with kernels.using(threads=n):
            results.append(step(layer, x_ND))
    assert results[0] == results[1] == results[2]


def test_many_python_threads_at_once_give_the_serial_bits(rng: np.random.Generator) -> None:
    layers = [moe.MoELayer.init(32, 24, 4 + i, k=2, seed=i) for i in range(4)]
    inputs = [rng.standard_normal((300 + 50 * i, 32)).astype(np.float32) for i in range(4)]
    serial = [step(layer, x) for layer, x in zip(layers, inputs, strict=True)]
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(step, layers[i % 4], inputs[i % 4]) for i in range(64)]
        for i, job in enumerate(jobs):
            assert job.result() == serial[i % 4]


def test_kernels_use_no_blas() -> None:
    """No BLAS threads are limited or changed behind the user's back."""
    code = (
        "import sys, numpy as np, moe\n"
        "layer = moe.MoELayer.init(8, 6, 4)\n"
        "y, ctx = layer.forward(np.ones((3, 8)))\n"
        "layer.backward(y, ctx)\n"
        "print(moe.kernels.backend_name(), 'threadpoolctl' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "numba False"


def test_a_worker_thread_gives_the_main_threads_bits(rng: np.random.Generator) -> None:
    """Long sums are where a threaded product would split differently."""
    a_NM, b_NP = rng.standard_normal((2, 600, 100)).astype(np.float32)
    mine = kernels.matmul_tn(a_NM, b_NP).tobytes()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(kernels.matmul_tn, a_NM, b_NP).result().tobytes() == mine


def test_numpy_backend_runs_without_numba() -> None:
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np, moe\n"
        "layer = moe.MoELayer.init(8, 6, 4, router='deepseek_v3', n_shared=1)\n"
        "y, ctx = layer.forward(np.ones((3, 8)))\n"
        "layer.backward(y, ctx)\n"
        "print(moe.kernels.backend_name(), y.shape)\n"
    )
    for name in ("numpy", "numba"):  # asked for, or fallen back to because numba is missing
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"MOE_BACKEND": name},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == "numpy (3, 8)"


def test_unknown_backend_and_thread_counts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOE_BACKEND", "cuda")
    with pytest.raises(
        ValueError, match=r"MOE_BACKEND: got 'cuda', allowed is one of numba, numpy"
    ):
        kernels.backend_name()
    for bad in ("0", "-1", "many", "1000", "٣"):
        monkeypatch.setenv("MOE_NUM_THREADS", bad)
        with pytest.raises(ValueError, match="MOE_NUM_THREADS"):
            kernels.num_threads()
    monkeypatch.setenv("MOE_NUM_THREADS", "3")
    assert kernels.num_threads() == 3


def test_each_item_is_handed_out_once() -> None:
    queue = np.zeros(1, np.int64)
    taken = [backend_take(queue) for _ in range(5)]
    assert taken == [0, 1, 2, 3, 4]


@backend.njit
def backend_take(queue):
    return threads.take_item(queue)
