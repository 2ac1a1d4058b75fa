"""Cases of expert placement, made from seeds: ties, zeros, fractions, one hot expert."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "parity" / "eplb"
# experts, replicas, groups, nodes, GPUs
SIZES = (
    (12, 16, 4, 2, 8),
    (8, 8, 4, 4, 4),
    (64, 72, 8, 4, 8),
    (64, 96, 16, 2, 16),
    (60, 64, 5, 2, 16),
    (256, 288, 8, 4, 32),
    (256, 288, 8, 18, 144),
    (256, 320, 8, 8, 64),
    (256, 256, 256, 16, 128),
    (20, 40, 1, 1, 4),
    (40, 44, 4, 2, 4),
)
KINDS = ("counts", "small", "zeros", "equal", "fractions", "tenths", "hot", "large")


def loads(kind: str, n_layers: int, n_experts: int, rng: np.random.Generator) -> np.ndarray:
    """Loads (L, E) of one kind."""
    shape = (n_layers, n_experts)
    if kind == "small":
        return rng.integers(0, 4, shape)
    if kind == "zeros":
        return rng.integers(0, 50, shape) * (rng.random(shape) < 0.3)
    if kind == "equal":
        return np.full(shape, 7)
    if kind == "fractions":
        return rng.random(shape).astype(np.float32)
    if kind == "tenths":
        return rng.integers(1, 6, shape) / 10
    if kind == "hot":
        return np.tile(np.where(np.arange(n_experts) == n_experts // 3, 10_000, 1), (n_layers, 1))
    if kind == "large":
        return rng.integers(0, 2**40, shape)
    return rng.integers(0, 200, shape)


def cases(seed: int, n_layers: int = 2) -> Iterator[tuple[str, np.ndarray, tuple[int, ...]]]:
    """Name, loads and (replicas, groups, nodes, GPUs) of every size with every kind."""
    rng = np.random.default_rng(seed)
    for i, (experts, *sizes) in enumerate(SIZES):
        for kind in KINDS:
            yield f"{i}-{kind}-{seed}", loads(kind, n_layers, experts, rng), tuple(sizes)


def reference() -> dict[str, object]:
    """The published program, DeepSeek's eplb.py (MIT, see LICENSE beside it); needs torch."""
    names: dict[str, object] = {}
    exec(compile((FOLDER / "eplb.py.txt").read_text("utf-8"), "eplb.py", "exec"), names)
    return names


def write() -> None:
    """Write what the published program answers: python tests/cluster/eplb_cases.py."""
    import torch

    place, arrays = reference()["rebalance_experts"], {}
    for name, weight, sizes in cases(seed=0):
        phy2log, log2phy, logcnt = place(torch.from_numpy(weight), *sizes)  # type: ignore[operator]
        arrays[f"{name}.phy2log"] = phy2log.numpy().astype(np.int16)
        arrays[f"{name}.log2phy"] = log2phy.numpy().astype(np.int16)
        arrays[f"{name}.logcnt"] = logcnt.numpy().astype(np.int16)
        arrays[f"{name}.weight"] = weight
    np.savez_compressed(FOLDER / "golden.npz", **arrays)


if __name__ == "__main__":
    write()
