"""`python -m benchmarks.lm_kernels`: kernels of the language model beside PyTorch's.

Each pair starts from the same numbers and had to give the same ones before it is timed, in
alternating blocks, with as many threads on either side.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from rich.console import Console
from rich.table import Table

from moe import kernels
from moe.optim import AdamW
from moe.speed.timing import time_in_turn

from .peer import OURS, TOLERANCE

PYTORCH = "PyTorch"
ATTENTION = ((16, 32, 8, 16), (32, 64, 4, 16), (16, 128, 4, 32))  # B, T, H, C
NUMBERS = 9_000_000  # of the model that AdamW updates: 9 arrays of a million
CLASSES = ((512, 128, 65), (4096, 64, 256), (4096, 128, 256))  # N, D, V
NORMS = ((512, 128), (4096, 128))  # N, D
MATRICES = ((64, 64, 64), (32, 128, 256))  # K, R, S
# In a short block the system may still keep the threads of either side on one core.
BLOCKS, SECONDS, PAUSE = 5, 0.4, 0.3


@dataclass(frozen=True)
class Pair:
    """The same work, done by either side; `check` compares what both return."""

    name: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    check: Callable[[Any, Any], bool]


def near(mine: np.ndarray, other: Any) -> bool:
    """Whether two results are equal up to rounding."""
    theirs = other.detach().numpy()
    scale = np.abs(theirs).max()
    return bool(np.abs(mine.reshape(theirs.shape) - theirs).max() <= TOLERANCE * scale)


def all_near(mine: Any, other: Any) -> bool:
    """`near` for every result."""
    return all(near(a, b) for a, b in zip(mine, other, strict=True))


def attention(shape: tuple[int, int, int, int]) -> Pair:
    """From the fused product to the heads' results, and back to its gradient."""
    b, t, h, c = shape
    qkv_NX, dout_NX = normal(b * t, 3 * h * c), normal(b * t, h * c)
    position_N, none = np.arange(b * t) % t, np.empty((t, 0), np.float32)
    split = ((h, h, c, c), None, None, 0.0, position_N, none, none, False)

    def ours() -> list[np.ndarray]:
        *heads, kept = kernels.split_heads(qkv_NX, *split)
        made = kernels.attention(*heads, b, c**-0.5)
        grads = kernels.attention_backward(dout_NX.reshape(-1, h, c), *heads, *made, b, c**-0.5)
        return [made[0], kernels.split_heads_backward(*grads, kept)[0]]

    qkv = torch.from_numpy(qkv_NX.copy()).requires_grad_()
    dout = torch.from_numpy(dout_NX)

    def theirs() -> list[Any]:
        qkv.grad = None
        q, k, v = qkv.view(b, t, 3, h, c).permute(2, 0, 3, 1, 4)
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out = out.transpose(1, 2).reshape(b * t, h * c)
        out.backward(dout)
        return [out, qkv.grad]

    return Pair(f"attention, B T H C = {' '.join(map(str, shape))}", ours, theirs, all_near)


def adamw() -> Pair:
    """One update of nine million numbers."""
    arrays, grads = normal(9, NUMBERS // 9), normal(9, NUMBERS // 9)
    mine = {str(i): array.copy() for i, array in enumerate(arrays)}
    given = {str(i): grad for i, grad in enumerate(grads)}
    optimizer = AdamW(rate=1e-3, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1)
    for name, array in mine.items():  # decay is of matrices
        mine[name], given[name] = array.reshape(1000, -1), given[name].reshape(1000, -1)
    weights = [torch.from_numpy(array.copy()).requires_grad_() for array in mine.values()]
    for weight, grad in zip(weights, given.values(), strict=True):
        weight.grad = torch.from_numpy(grad)
    other = torch.optim.AdamW(
        weights, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True
    )

    def ours() -> list[np.ndarray]:
        optimizer.step(mine, given)
        return list(mine.values())

    def theirs() -> list[Any]:
        other.step()
        return weights

    return Pair(f"AdamW, {NUMBERS / 1e6:.0f} M numbers", ours, theirs, all_near)


def classifier(shape: tuple[int, int, int]) -> Pair:
    """Output product, cross-entropy and all gradients."""
    n, d, v = shape
    x_ND, w_DV = normal(n, d), normal(d, v)
    target_N = np.random.default_rng(1).integers(0, v, n)
    weight_N = np.full(n, 1 / n, np.float32)
    x, w = (torch.from_numpy(a.copy()).requires_grad_() for a in (x_ND, w_DV))
    target = torch.from_numpy(target_N)

    def theirs() -> list[Any]:
        x.grad = w.grad = None
        functional.cross_entropy(x @ w, target).backward()
        return [x.grad, w.grad]

    return Pair(
        f"classifier, N D V = {' '.join(map(str, shape))}",
        lambda: kernels.classify(x_ND, w_DV, target_N, weight_N)[1:], theirs, all_near,
    )  # fmt: skip


def norm(shape: tuple[int, int]) -> Pair:
    """RMS norm and its gradients."""
    x_ND, gain_D, dy_ND = normal(*shape), normal(shape[1]), normal(*shape)
    x, gain = (torch.from_numpy(a.copy()).requires_grad_() for a in (x_ND, gain_D))
    dy = torch.from_numpy(dy_ND)

    def ours() -> list[np.ndarray]:
        y_ND, inverse_N = kernels.rms_norm(x_ND, gain_D, 1e-5)
        return [y_ND, *kernels.rms_norm_backward(dy_ND, x_ND, gain_D, inverse_N)]

    def theirs() -> list[Any]:
        x.grad = gain.grad = None
        y = functional.rms_norm(x, shape[1:], gain, 1e-5)
        y.backward(dy)
        return [y, x.grad, gain.grad]

    return Pair(f"RMS norm, N D = {' '.join(map(str, shape))}", ours, theirs, all_near)


def newton_schulz(shape: tuple[int, int, int]) -> Pair:
    """Five steps of Newton-Schulz for a batch of matrices."""
    g_KRS = normal(*shape)
    g = torch.from_numpy(g_KRS)

    def theirs() -> list[Any]:
        x = g / (g.norm(dim=(1, 2), keepdim=True) + 1e-7)
        for _ in range(5):
            square = x @ x.mT
            x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
        return [x]

    name = f"Newton-Schulz, K R S = {' '.join(map(str, shape))}"
    return Pair(name, lambda: [kernels.orthogonalize(g_KRS, 5)], theirs, all_near)


def normal(*shape: int) -> np.ndarray:
    """Random numbers, the same ones at each call."""
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def pairs() -> Iterator[Pair]:
    """Everything that is compared."""
    yield from map(attention, ATTENTION)
    yield adamw()
    yield from map(classifier, CLASSES)
    yield from map(norm, NORMS)
    yield from map(newton_schulz, MATRICES)


def measure(pair: Pair, threads: int, repeat: int) -> dict[str, list[float]]:
    """Seconds of either side, one figure a repeat."""
    torch.set_num_threads(threads)
    with kernels.using(threads=threads):
        calls = {OURS: pair.ours, PYTORCH: pair.theirs}
        runs = [time_in_turn(calls, BLOCKS, SECONDS, PAUSE) for _ in range(repeat)]
    return {name: [run[name] for run in runs] for name in calls}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m benchmarks.lm_kernels", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="medians of so many runs")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", default="", help="what the names have to contain")
    asked = parser.parse_args()
    table = Table("What", "Threads", f"{OURS}, ms", f"{PYTORCH}, ms", "Times as fast", "Range")
    for pair in pairs():
        if asked.only not in pair.name:
            continue
        if not pair.check(pair.ours(), pair.theirs()):
            raise ValueError(f"{pair.name}: the results differ")
        for threads in asked.threads:
            seconds = measure(pair, threads, asked.repeat)
            ratios = [b / a for a, b in zip(seconds[OURS], seconds[PYTORCH], strict=True)]
            figures = [f"{1e3 * median(times):.2f}" for times in seconds.values()]
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            table.add_row(pair.name, str(threads), *figures, f"{median(ratios):.2f}", spread)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
