"""What this machine can do: the two roofs of the roofline, and the layer's speed under them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from .. import kernels
from ..layer import MoELayer
from .timing import time_in_turn

SHAPES = {
    "tiny": (256, 64, 128, 8, 2),
    "small": (2048, 256, 512, 8, 2),
    "mid": (2048, 512, 1024, 16, 2),
    "fine": (2048, 512, 256, 64, 8),
    "decode": (1, 1024, 2048, 8, 2),
}


@dataclass(frozen=True)
class Machine:
    """Measured limits: float32 matrix products, and reading memory."""

    cores: int
    flops_per_s: float
    bytes_per_s: float

    def describe(self) -> str:
        """One line for people."""
        return (
            f"{self.cores} cores, {self.flops_per_s / 1e9:.0f} GFLOP/s in float32 matrix products, "
            f"{self.bytes_per_s / 1e9:.1f} GB/s reading memory"
        )


@dataclass(frozen=True)
class LayerSpeed:
    """Speed of the MoE layer at one shape.

    Attributes
    ----------
    n_tokens, d_model, d_expert, n_experts, k
        The shape.
    forward_ms, forward_backward_ms
        Median milliseconds.
    forward_gflops_per_s, forward_backward_gflops_per_s
        Executed operations over time.
    share_of_peak, share_of_peak_both
        Of the same run's best square matrix product.
    gigabytes_per_s
        Weights of the touched experts over forward time: what limits small batches.
    """

    shape: str
    n_tokens: int
    d_model: int
    d_expert: int
    n_experts: int
    k: int
    forward_ms: float
    forward_backward_ms: float
    forward_gflops_per_s: float
    forward_backward_gflops_per_s: float
    share_of_peak: float
    share_of_peak_both: float
    gigabytes_per_s: float


def measure_machine(blocks: int = 3) -> Machine:
    """Measure both roofs; about a second."""
    rng = np.random.default_rng(0)
    squares = {n: rng.standard_normal((n, n)).astype(np.float32) for n in (512, 1024)}
    big = np.ones(16_000_000, np.float32)  # 64 MB: larger than a core's share of the caches
    calls: dict[str, Callable[[], object]] = {
        f"sgemm {n}": partial(np.matmul, a, a) for n, a in squares.items()
    }
    calls["read"] = lambda: big.sum()
    calls["read kernel"] = lambda: kernels.read_all(big)
    seconds = time_in_turn(calls, blocks=blocks, block_seconds=0.05, pause=0.1)
    peak = max(2.0 * n**3 / seconds[f"sgemm {n}"] for n in squares)
    read = big.nbytes / min(seconds["read"], seconds["read kernel"])
    return Machine(kernels.num_threads(), peak, read)


def measure_layers(machine: Machine, blocks: int = 5) -> Iterator[LayerSpeed]:
    """Time the layer forward, and forward and backward, at five shapes."""
    for name, (n_tokens, d_model, d_expert, n_experts, k) in SHAPES.items():
        layer = MoELayer.init(d_model, d_expert, n_experts, k=k)
        x_ND = np.random.default_rng(1).standard_normal((n_tokens, d_model)).astype(np.float32)

        def forward(layer: MoELayer = layer, x_ND: np.ndarray = x_ND) -> object:
            return layer.forward(x_ND)

        def both(layer: MoELayer = layer, x_ND: np.ndarray = x_ND) -> object:
            y_ND, ctx = layer.forward(x_ND)
            return layer.backward(y_ND, ctx)

        seconds = time_in_turn({"forward": forward, "both": both}, blocks=blocks)
        _, ctx = layer.forward(x_ND)
        touched = int((ctx.routing.load > 0).sum())
        weight_bytes = 4.0 * (
            touched * (layer.n_params - d_model * n_experts) / n_experts + d_model * n_experts
        )
        rate = ctx.executed_flops / seconds["forward"]
        rate_both = 3 * ctx.executed_flops / seconds["both"]
        yield LayerSpeed(
            shape=name,
            n_tokens=n_tokens,
            d_model=d_model,
            d_expert=d_expert,
            n_experts=n_experts,
            k=k,
            forward_ms=1e3 * seconds["forward"],
            forward_backward_ms=1e3 * seconds["both"],
            forward_gflops_per_s=rate / 1e9,
            forward_backward_gflops_per_s=rate_both / 1e9,
            share_of_peak=rate / machine.flops_per_s,
            share_of_peak_both=rate_both / machine.flops_per_s,
            gigabytes_per_s=weight_bytes / seconds["forward"] / 1e9,
        )


def versions() -> dict[str, str]:
    """Versions that the figures depend on."""
    from importlib.metadata import version

    names = ("numpy", "numba", "scipy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
