"""One run: every implementation and both roofs in alternating blocks, as a flat dict of figures.

Names of figures: `<shape>/<pass>/ms/<implementation>`, `.../share/<implementation>` (of the roof
that limits the shape), `.../times/<peer>` (how many times as fast as the peer the layer is).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moe import DenseFFN, kernels
from moe.experts import expert_flops
from moe.speed.machine import SHAPES, Case, measure_machine, peak, peak_calls, read_calls, reading
from moe.speed.timing import time_in_turn

from .concurrency import differences
from .invariance import invariance_figures
from .memory import memory_figures
from .peer import LIBRARY_PREFIX, NUMPY, OURS, Peer
from .peers import checked

Figures = dict[str, float]
Shape = tuple[int, int, int, int, int]

FORWARD, BOTH = "forward", "forward + backward"
PASSES = (FORWARD, BOTH)
BEST, BEST_TORCH, BEST_LIBRARY = "best peer", "best in PyTorch", "best of transformers"
FEW_TOKENS = 16  # up to here reading the weights is the limit, not computing
ONE_THREAD, DENSE, DENSE_NUMPY = f"{OURS}, 1 thread", "dense", "dense, plain numpy"
COMPARED_WITH_DENSE = ("small", "mid", "fine")
SWEEP_BASE: Shape = (1024, 256, 512, 16, 2)
SWEEP_VALUES = {
    "N": (0, (1, 4, 16, 64, 256, 1024, 4096)),
    "F": (2, (64, 128, 256, 512, 2048)),
    "E": (3, (4, 16, 64, 128)),
    "k": (4, (1, 2, 4, 8)),
}


def sweep_shapes() -> dict[str, Shape]:
    """Shapes around `SWEEP_BASE`, one number changed at a time."""
    made: dict[str, Shape] = {}
    for name, (index, values) in SWEEP_VALUES.items():
        for value in values:
            n_tokens, d_model, d_expert, n_experts, k = (
                value if i == index else number for i, number in enumerate(SWEEP_BASE)
            )
            made[f"{name} = {value}"] = (n_tokens, d_model, d_expert, n_experts, k)
    return made


@dataclass(frozen=True)
class Plan:
    """What a run times, and for how long."""

    shapes: Mapping[str, Shape] = field(default_factory=lambda: SHAPES)
    sweep: Mapping[str, Shape] = field(default_factory=dict)
    blocks: int = 5
    block_seconds: float = 0.1
    pause: float = 0.15
    threads: int = 8  # of the check of concurrent calls
    calls: int = 200

    def time(self, calls: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
        """Median seconds of each call."""
        gc.collect()
        return time_in_turn(calls, self.blocks, self.block_seconds, self.pause)


QUICK = Plan(blocks=1, block_seconds=0.01)


def run(plan: Plan, left_out: list[str]) -> Iterator[tuple[str, Figures]]:
    """Yield what was measured last, and its figures; `left_out` gets a sentence a missing peer."""
    machine = measure_machine()
    yield (
        "machine",
        {"machine/GFLOP/s": machine.flops_per_s / 1e9, "machine/GB/s": machine.bytes_per_s / 1e9},
    )
    for name, shape in plan.shapes.items():
        case = Case.make(shape)
        peers, missing = checked(case)
        left_out += [sentence for sentence in missing if sentence not in left_out]
        yield f"{name}, {FORWARD}", forward_figures(plan, name, case, peers)
        yield f"{name}, {BOTH}", both_figures(plan, name, case, peers)
    for name, shape in plan.sweep.items():
        yield f"sweep, {name}", sweep_figures(plan, name, Case.make(shape))
    if "mid" in plan.shapes:
        yield "memory", memory_figures(plan.shapes["mid"])
    yield "same bits in any batch", invariance_figures()
    yield "concurrent calls", {"concurrent/differences": differences(plan.threads, plan.calls)}


def forward_figures(plan: Plan, name: str, case: Case, peers: Mapping[str, Peer]) -> Figures:
    """Time the forward pass, with one thread and against dense layers too."""
    calls = {key: peer.forward for key, peer in peers.items()}
    few = len(case.x_ND) <= FEW_TOKENS

    def one_thread() -> np.ndarray:
        with kernels.using(threads=1):
            return case.forward()

    extra: dict[str, Callable[[], Any]] = {} if few else {ONE_THREAD: one_thread}
    layer = case.layer
    if name in COMPARED_WITH_DENSE:
        dense = DenseFFN.init(layer.d_model, layer.n_experts * layer.d_expert)
        extra[DENSE] = lambda: dense(case.x_ND)
        extra[DENSE_NUMPY] = lambda: numpy_dense(case.x_ND, *dense.params.values())
    n_bytes = case.weight_bytes
    seconds = plan.time(calls | extra | (read_calls(n_bytes) if few else peak_calls()))
    figures = compare(f"{name}/{FORWARD}", {key: seconds[key] for key in calls})
    work, roof = (n_bytes, reading(seconds, n_bytes)) if few else (case.flops, peak(seconds))
    figures |= shares(f"{name}/{FORWARD}", {key: seconds[key] for key in calls}, work, roof)
    if not few:
        figures[f"{name}/{FORWARD}/threads"] = seconds[ONE_THREAD] / seconds[OURS]
    if DENSE in seconds:
        least = min(seconds[DENSE], seconds[DENSE_NUMPY])
        theory = layer.n_experts / layer.router.options()["k"]
        figures[f"{name}/{FORWARD}/speed-up over dense"] = least / seconds[OURS]
        figures[f"{name}/{FORWARD}/speed-up over theory"] = least / seconds[OURS] / theory
        flops = len(case.x_ND) * expert_flops(layer.d_model, dense.d_hidden, dense.activation)
        figures[f"{name}/{FORWARD}/dense share"] = flops / least / roof
    return figures


def both_figures(plan: Plan, name: str, case: Case, peers: Mapping[str, Peer]) -> Figures:
    """Time forward and backward together."""
    calls = {key: peer.both for key, peer in peers.items()}
    seconds = plan.time(calls | peak_calls())
    timed = {key: seconds[key] for key in calls}
    figures = compare(f"{name}/{BOTH}", timed)
    if len(case.x_ND) > FEW_TOKENS:
        figures |= shares(f"{name}/{BOTH}", timed, 3 * case.flops, peak(seconds))
    return figures


def sweep_figures(plan: Plan, name: str, case: Case) -> Figures:
    """Time the forward pass of the layer and of the peer that a first look finds fastest."""
    calls = {key: peer.forward for key, peer in checked(case)[0].items()}
    best = min(calls.keys() - {OURS}, key=lambda key: _second_call(calls[key]))
    return compare(f"sweep/{name}", plan.time({key: calls[key] for key in (OURS, best)}))


def _second_call(call: Callable[[], Any]) -> float:
    call()
    time.sleep(0.1)
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(prefix: str, seconds: Mapping[str, float]) -> Figures:
    """Milliseconds of each, how many times as fast as each peer we are, and as the best.

    The best may be plain numpy; the best of those in PyTorch, and of the library transformers'
    own, are given beside it.
    """
    figures = {f"{prefix}/ms/{name}": 1e3 * value for name, value in seconds.items()}
    times = {name: value / seconds[OURS] for name, value in seconds.items() if name != OURS}
    figures |= {f"{prefix}/times/{name}": value for name, value in times.items()}
    figures[f"{prefix}/times/{BEST}"] = min(times.values())
    if in_torch := [value for name, value in times.items() if name != NUMPY]:
        figures[f"{prefix}/times/{BEST_TORCH}"] = min(in_torch)
    if library := [value for name, value in times.items() if name.startswith(LIBRARY_PREFIX)]:
        figures[f"{prefix}/times/{BEST_LIBRARY}"] = min(library)
    return figures


def shares(prefix: str, seconds: Mapping[str, float], work: float, roof: float) -> Figures:
    """Share of the roof that each reaches, and the roof in billions a second."""
    figures = {f"{prefix}/share/{name}": work / value / roof for name, value in seconds.items()}
    return figures | {f"{prefix}/roof": roof / 1e9}


def numpy_dense(x_ND: np.ndarray, up_D2F: np.ndarray, down_FD: np.ndarray) -> np.ndarray:
    """Compute a dense SwiGLU layer in plain numpy."""
    gate_NF, up_NF = np.split(x_ND @ up_D2F, 2, axis=1)
    return (gate_NF / (1 + np.exp(-gate_NF)) * up_NF) @ down_FD


def names_in(figures: Mapping[str, Any], prefix: str) -> list[str]:
    """Last parts of the figures' names below a prefix, in order."""
    return [name.removeprefix(f"{prefix}/") for name in figures if name.startswith(f"{prefix}/")]
