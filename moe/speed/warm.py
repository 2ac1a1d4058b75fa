"""Compile or load every kernel ahead, and say what is being done."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import kernels
from ..capacity import Capacity
from ..layer import MoELayer
from ..lm.sampling import sample
from ..lm.settings import LMTrainSettings
from ..lm.training import LMTrainer
from ..optim import Adam
from ..routers import ROUTERS, Router, make_router
from ..training import Trainer, TrainSettings

# Pages come first, so the compiler is nice to them.
COMPILE = """import os
os.nice(10) if hasattr(os, "nice") else None
from moe.speed.warm import warm
for _ in warm(language={language}): pass"""
FIRST_TIME = "15 to 35 seconds"  # measured: a fast and a slow machine, two cores each


@dataclass(frozen=True)
class WarmStep:
    """One part made ready.

    Attributes
    ----------
    part, seconds
        Its name and how long it took.
    compiled
        The kernels that were compiled, each once per set of types; none came from the cache.
    vector_bytes
        The width that they were compiled for.
    """

    part: str
    seconds: float
    compiled: list[str]
    vector_bytes: int

    def describe(self) -> str:
        """One line for people."""
        if not self.compiled:
            return f"{self.part}: ready in {self.seconds:.1f} s"
        counted = Counter(self.compiled)
        names = ", ".join(f"{name} x{n}" if n > 1 else name for name, n in sorted(counted.items()))
        return f"{self.part}: {len(self.compiled)} compiled in {self.seconds:.1f} s: {names}"


def first_run(language: bool = False) -> bool:
    """Say whether `warm` still has something to compile; with `language` for that part alone."""
    runs = [_language_model] if language else list(_parts().values())
    return kernels.must_compile(lambda: [run() for run in runs])


def compile_elsewhere(language: bool = False) -> subprocess.Popen[bytes]:
    """Start another process that does `warm`, since compiling holds the interpreter lock."""
    return subprocess.Popen(
        [sys.executable, "-c", COMPILE.format(language=language)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def unsaved() -> str:
    """What is wrong if kernels were compiled for this process only, else nothing."""
    tried = ", ".join(kernels.unsaved())
    return tried and f"no folder for compiled kernels can be written; tried {tried}"


def warm(float64: bool = False, language: bool = False) -> Iterator[WarmStep]:
    """Run every kernel once on small data, part by part; after that nothing compiles.

    About a third of a second when the kernels are cached on disk; the first time `FIRST_TIME`.
    `float64` adds what layers of that dtype need, about two thirds as long; the app has none.
    `language` adds a step and a sample of the language model, which the app's pages do without
    until a visitor trains one.
    """
    parts = _parts()
    if language:
        parts["language model"] = _language_model
    if float64:
        parts |= {f"{name}, float64": run for name, run in _layers("float64").items()}
    for name, run in parts.items():
        before, start = Counter(kernels.compiled()), time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        new = sorted((Counter(kernels.compiled()) - before).elements())
        yield WarmStep(name, seconds, new, kernels.VECTOR_BYTES)


def _parts() -> dict[str, Callable[[], None]]:
    """What `warm` runs, by name."""

    def reading() -> None:
        kernels.read_all(np.ones(100, np.float32))

    def steering() -> None:
        logits_NE = np.ones((2, 4), np.float32)
        kernels.steer(logits_NE, logits_NE, 1, 0.1, 1)

    def caching() -> None:
        one = np.zeros((1, 1), np.int64)
        kernels.replay_cache(one.astype(np.int16), one, one, 1, 1, False)

    def training() -> None:
        for _ in Trainer(TrainSettings(steps=1, batch=8, d_model=8, d_expert=4)).run():
            pass

    def cluster() -> None:
        noise_NE = np.empty((2, 16), np.float32)
        kernels.Normals(0).fill(noise_NE)
        kernels.topk_within(noise_NE, 1, 2, 1)

    return {
        **_layers("float32"),
        "threads": kernels.prepare,
        "training step": training,
        "memory": reading,
        "steering": steering,
        "cache of experts": caching,
        "cluster": cluster,
    }


def _language_model() -> None:
    """A step of training and a sampled token."""
    settings = LMTrainSettings(
        d_model=16, d_expert=8, n_experts=4, context=8, batch=2, steps=1, balance="none",
        optimizer="muon",
    )  # fmt: skip
    trainer = LMTrainer(settings)
    for _ in trainer.run():
        pass
    for _ in sample(trainer.model, np.ones((1, 2), np.int64), 2, np.random.default_rng(0)):
        pass


def _layers(dtype: str) -> dict[str, Callable[[], None]]:
    """Layers of all kinds, by name."""
    x_ND = np.random.default_rng(0).standard_normal((40, 8)).astype(dtype)

    def layer(router: str | Router, **options: Any) -> Callable[[], None]:
        def run() -> None:
            moe_layer = MoELayer.init(8, 4, 8, router=router, dtype=dtype, **options)
            for n_tokens in (1, len(x_ND)):  # few tokens take kernels of their own
                y_ND, ctx = moe_layer.forward(x_ND[:n_tokens])
                moe_layer.backward(y_ND, ctx)

        return run

    def others() -> None:
        for name in ROUTERS:
            layer(name)()
        layer("topk", capacity=Capacity(1.0, "reroute"))()

    return {
        "MoE layer": layer("topk", n_shared=1),
        "DeepSeek-V3 gate": layer(make_router("deepseek_v3", n_group=2)),
        "balanced assignment": layer("base"),
        "other routers": others,
        "Adam": lambda: Adam().step({"w": np.ones(2, dtype)}, {"w": np.ones(2, dtype)}),
    }
