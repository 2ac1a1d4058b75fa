"""A trace of unequal documents and unequal numbers of experts, and what its rows hold."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np

from moe.traces import Trace, make_trace


def ragged(n_layers: int = 4, n: int = 300, n_experts: int = 8, most: int = 3) -> Trace:
    """Tokens of one to three experts, some of none, in three kinds of text of unequal length."""
    rng = np.random.default_rng(12)
    lean_LE = rng.standard_normal((n_layers, 1, n_experts))
    ids_N, domain_N = (
        rng.integers(0, 14, n),
        np.repeat([0, 1, 2], [n // 2, n // 3, n - n // 2 - n // 3]),
    )
    logits = rng.standard_normal((n_layers, n, n_experts)) + lean_LE
    logits[:, np.arange(n), ids_N % n_experts] += 1.5
    logits[:, :, n_experts - 1] -= 99  # without work
    experts = np.argsort(-logits, axis=2)[:, :, :most]
    listed = np.arange(most) < rng.integers(0, most + 1, (n_layers, n, 1))
    return make_trace(
        np.where(listed, experts, -1), np.where(listed, 0.25, 0.0), n_experts, ids_N, model="r",
        layers=[2 * i + 3 for i in range(n_layers)], tokens=[f"t{i}'" for i in ids_N],
        sequence_N=np.arange(n) // 37, domain_N=domain_N, domains=["a", "b", "c"],
    )  # fmt: skip


def chosen(trace: Trace, at: int) -> list[list[int]]:
    return [[e for e in row if e >= 0] for row in trace.expert_LNK[at].tolist()]


def loads(trace: Trace, at: int) -> list[int]:
    count = Counter(itertools.chain(*chosen(trace, at)))
    return [count[e] for e in range(trace.n_experts)]
