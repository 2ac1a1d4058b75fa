"""Minutes of concurrent use: many Python threads, random shapes, no bit changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import moe


def one_call(seed: int) -> list[bytes]:
    """Forward and backward of a layer whose shape, router and input follow from the seed."""
    rng = np.random.default_rng(seed)
    name = str(rng.choice(list(moe.ROUTERS)))
    d_model, d_expert, n_experts = (int(n) for n in rng.integers([1, 1, 4], [160, 160, 33]))
    layer = moe.MoELayer.init(
        d_model, d_expert, n_experts, router=name, k=int(rng.integers(1, 5)), seed=seed
    )
    x_ND = rng.standard_normal((int(rng.integers(0, 600)), d_model)).astype(np.float32)
    y_ND, ctx = layer.forward(x_ND, rng=np.random.default_rng(seed))
    dx_ND, grads = layer.backward(y_ND, ctx)
    return [array.tobytes() for array in (y_ND, dx_ND, *grads.values())]


@pytest.mark.soak
def test_eight_threads_by_200_calls_equal_serial_bit_for_bit() -> None:
    serial = [one_call(seed) for seed in range(200)]
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(one_call, seed) for _ in range(8) for seed in range(200)]
        for i, job in enumerate(jobs):
            assert job.result() == serial[i % 200], i % 200
