"""Whether layers give the same bits when many threads call them at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from moe.speed.machine import Case

Bits = list[bytes]


def differences(n_threads: int, n_calls: int, seed: int = 0) -> int:
    """Calls, forward and backward, whose bits differ from the serial ones.

    Each of the threads makes all calls, at random shapes, in an order of its own.
    """
    rng = np.random.default_rng(seed)
    cases = [_random_case(rng) for _ in range(n_calls)]
    serial = [_bits(case) for case in cases]
    orders = [rng.permutation(n_calls) for _ in range(n_threads)]

    def differing(order: np.ndarray) -> int:
        return sum(_bits(cases[i]) != serial[i] for i in order)

    with ThreadPoolExecutor(n_threads) as pool:
        return sum(pool.map(differing, orders))


def _random_case(rng: np.random.Generator) -> Case:
    n_experts = int(rng.integers(2, 17))
    shape = (
        int(rng.integers(1, 400)), int(rng.integers(4, 97)), int(rng.integers(4, 97)),
        n_experts, int(rng.integers(1, min(n_experts, 4) + 1)),
    )  # fmt: skip
    return Case.make(shape, int(rng.integers(1 << 30)))


def _bits(case: Case) -> Bits:
    y_ND, dx_ND, grads = case.both()
    return [array.tobytes() for array in (y_ND, dx_ND, *grads.values())]
