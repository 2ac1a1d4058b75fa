"""What this machine can do: the two roofs of the roofline, and the layer's speed under them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
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
    "decode16": (16, 1024, 2048, 8, 2),
}
SQUARES = (768, 1024, 1536)  # OpenBLAS is at its best around these
READ_BYTES = 192_000_000  # several times what caches hold


@dataclass(frozen=True)
class Machine:
    """Measured limits: float32 matrix products, and reading memory; and the kernels' vectors."""

    cores: int
    flops_per_s: float
    bytes_per_s: float
    vector_bytes: int = field(default_factory=lambda: kernels.VECTOR_BYTES)

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
        Of the best square matrix product in the same blocks of time.
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


@dataclass(frozen=True)
class Case:
    """A layer with the default seed, tokens for it, and a gradient at its result.

    Attributes
    ----------
    flops
        Operations that a forward pass executes.
    weight_bytes
        Weights that it has to read: the gate and the experts that some token chose.
    """

    layer: MoELayer
    x_ND: np.ndarray
    dy_ND: np.ndarray
    flops: int
    weight_bytes: int

    @classmethod
    def make(cls, shape: tuple[int, int, int, int, int], seed: int = 0) -> Case:
        """Make a case of a shape (N, D, F, E, k)."""
        n_tokens, d_model, d_expert, n_experts, k = shape
        layer = MoELayer.init(d_model, d_expert, n_experts, k=k)
        rng = np.random.default_rng(seed)
        x_ND = rng.standard_normal((n_tokens, d_model), np.float32)
        # A token whose choice hangs on rounding is drawn again: all implementations choose alike.
        while (near_N := _nearly_tied(x_ND, layer.params["gate_DE"], k)).any():
            x_ND[near_N] = rng.standard_normal((int(near_N.sum()), d_model), np.float32)
        dy_ND = rng.standard_normal(x_ND.shape, np.float32)
        _, ctx = layer.forward(x_ND)
        touched = int((ctx.routing.load > 0).sum())
        numbers = d_model * n_experts + touched * 3 * d_model * d_expert
        return cls(layer, x_ND, dy_ND, ctx.executed_flops, 4 * numbers)

    def forward(self) -> np.ndarray:
        """Compute y alone."""
        return self.layer(self.x_ND)

    def both(self) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Compute y, the gradient at x and the gradients of all parameters."""
        y_ND, ctx = self.layer.forward(self.x_ND)
        return y_ND, *self.layer.backward(self.dy_ND, ctx)


def _nearly_tied(x_ND: np.ndarray, gate_DE: np.ndarray, k: int) -> np.ndarray:
    """Whether each token's logits k and k + 1 differ by less than implementations may."""
    if k == gate_DE.shape[1]:
        return np.zeros(len(x_ND), bool)
    logits_NE = np.sort(x_ND.astype(np.float64) @ gate_DE, axis=1)
    gap_N: np.ndarray = logits_NE[:, -k] - logits_NE[:, -k - 1]
    return gap_N < 1e-4 * np.abs(logits_NE).max()


def peak_calls() -> dict[str, Callable[[], object]]:
    """Square matrix products, for `time_in_turn`."""
    rng = np.random.default_rng(0)
    squares = {size: rng.standard_normal((size, size), np.float32) for size in SQUARES}
    return {f"sgemm {size}": partial(np.matmul, a, a) for size, a in squares.items()}


def peak(seconds: Mapping[str, float]) -> float:
    """Operations per second of the best of `peak_calls`."""
    return max(2.0 * size**3 / seconds[f"sgemm {size}"] for size in SQUARES)


def read_calls(n_bytes: int = READ_BYTES) -> dict[str, Callable[[], object]]:
    """Ways to read `n_bytes`, for `time_in_turn`."""
    big = np.ones(n_bytes // 4, np.float32)
    return {"read, numpy": big.max, "read, kernel": partial(kernels.read_all, big)}


def reading(seconds: Mapping[str, float], n_bytes: int = READ_BYTES) -> float:
    """Bytes per second of the best of `read_calls`."""
    return n_bytes / min(seconds["read, numpy"], seconds["read, kernel"])


def measure_machine(blocks: int = 3) -> Machine:
    """Measure both roofs; about two seconds."""
    seconds = time_in_turn(peak_calls() | read_calls(), blocks, block_seconds=0.05, pause=0.1)
    return Machine(kernels.num_threads(), peak(seconds), reading(seconds))


def measure_layers(blocks: int = 5) -> Iterator[LayerSpeed]:
    """Time the layer at every shape, and the peak in the same blocks, since machines drift."""
    for name, shape in SHAPES.items():
        case = Case.make(shape)
        calls = {"forward": case.forward, "both": case.both} | peak_calls()
        seconds = time_in_turn(calls, blocks=blocks)
        rate = case.flops / seconds["forward"]
        rate_both = 3 * case.flops / seconds["both"]
        yield LayerSpeed(
            name,
            *shape,
            forward_ms=1e3 * seconds["forward"],
            forward_backward_ms=1e3 * seconds["both"],
            forward_gflops_per_s=rate / 1e9,
            forward_backward_gflops_per_s=rate_both / 1e9,
            share_of_peak=rate / peak(seconds),
            share_of_peak_both=rate_both / peak(seconds),
            gigabytes_per_s=case.weight_bytes / seconds["forward"] / 1e9,
        )


def versions() -> dict[str, str]:
    """Versions that the figures depend on."""
    from importlib.metadata import version

    names = ("numpy", "numba", "scipy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
