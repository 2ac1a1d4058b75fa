"""Minutes of concurrent use: many Python threads, random shapes, no bit changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import moe
from moe import kernels


def one_call(seed: int, n_threads: int) -> list[bytes]:
    """Forward and backward of a layer whose shape, router and input follow from the seed."""
    rng = np.random.default_rng(seed)
    name = str(rng.choice(list(moe.ROUTERS)))
    d_model, d_expert, n_experts = (int(n) for n in rng.integers([1, 1, 4], [160, 160, 65]))
    layer = moe.MoELayer.init(
        d_model, d_expert, n_experts, router=name, k=int(rng.integers(1, 5)), seed=seed,
        n_shared=int(rng.integers(0, 2)), activation=str(rng.choice(["swiglu", "gelu", "relu"])),
    )  # fmt: skip
    n_tokens = int(rng.integers(0, 12 if seed % 4 == 0 else 900))  # few take kernels of their own
    x_ND = rng.standard_normal((n_tokens, d_model)).astype(np.float32)
    with kernels.using(threads=n_threads):
        y_ND, ctx = layer.forward(x_ND, rng=np.random.default_rng(seed))
        dx_ND, grads = layer.backward(y_ND, ctx)
    return [array.tobytes() for array in (y_ND, dx_ND, *grads.values())]


@pytest.mark.soak
def test_eight_threads_by_200_calls_equal_serial_bit_for_bit() -> None:
    serial = [one_call(seed, 1) for seed in range(200)]

    def worker(number: int) -> list[int]:
        order = np.random.default_rng(number).permutation(200)  # each meets others of every kind
        return [
            int(seed)
            for i, seed in enumerate(order)
            if one_call(int(seed), 1 + (number + i) % 4) != serial[seed]
        ]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(worker, range(8))) == [[]] * 8


@pytest.mark.soak
def test_trainings_at_once_equal_trainings_alone() -> None:
    def losses(seed: int) -> list[float]:
        balance = ("none", "bias", "aux")[seed % 3]
        settings = moe.TrainSettings(seed=seed, balance=balance, steps=60, batch=512)
        return [record.loss for record in moe.train(settings)]

    alone = [losses(seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(losses, range(6))) == alone
