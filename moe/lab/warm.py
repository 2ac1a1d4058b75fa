"""Compile or load every kernel ahead, and say what is being done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .. import kernels
from ..layer import MoELayer
from ..training import Trainer, TrainSettings


@dataclass(frozen=True)
class WarmStep:
    """One part made ready: its name, seconds, and kernels compiled (0: all came from the cache)."""

    part: str
    seconds: float
    compiled: int


def first_run() -> bool:
    """Say whether kernels still have to be compiled on this machine."""
    kernels.load_all()
    return kernels.backend_name() == "numba" and not kernels.all_cached()


def warm() -> Iterator[WarmStep]:
    """Run every kernel once on small data, part by part; after that nothing compiles.

    About a third of a second when the kernels are cached on disk, ten seconds the first time.
    """
    rng = np.random.default_rng(0)
    x_ND = rng.standard_normal((4, 8))

    def layer(router: str, dtype: str, **options: object) -> Callable[[], None]:
        def run() -> None:
            made = MoELayer.init(8, 4, 8, router=router, dtype=dtype, **options)  # type: ignore[arg-type]
            y_ND, ctx = made.forward(x_ND.astype(dtype))
            made.backward(y_ND, ctx)

        return run

    def training() -> None:
        for _ in Trainer(TrainSettings(steps=1, batch=8, d_model=8, d_expert=4)).run():
            pass

    parts: dict[str, Callable[[], None]] = {
        "MoE layer, float32": layer("topk", "float32", n_shared=1),
        "DeepSeek-V3 gate": layer("deepseek_v3", "float32"),
        "training step": training,
    }
    for name, run in parts.items():
        before, start = kernels.compiled(), time.perf_counter()
        run()
        yield WarmStep(name, time.perf_counter() - start, kernels.compiled() - before)
