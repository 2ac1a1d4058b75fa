"""What it costs to move experts to a new placement, and from how many tokens on that pays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..cost import MODELS, find_gpu
from ..cost.memory import WEIGHT_BYTES
from ..cost.params import expert_params
from ..errors import check_int
from ..settings import Settings, option
from ..traces import LOCAL_BYTES, Trace, load_trace
from .eplb import gpu_loads, max_over_mean, rebalance_experts
from .least_loaded import LeastLoaded, spill
from .placed_for import PlacedFor, TaskLoads
from .timing import NORMAL
from .topology import Cluster

ASSUMPTIONS = (
    "One node. A layer takes as long as its fullest GPU: twice the weights of an expert, in "
    "operations, for each assignment, at 40 % of the peak. Moved weights cross NVLink at the "
    "calibrated share of its rate while nothing else happens; a layer waits for the GPU that sends "
    "or gets most. All layers have the loads that were recorded."
)
NEVER, REFLEX = "never", "least loaded"


@dataclass(frozen=True)
class Moving(Settings):
    """GPUs of one node, and the experts that they hold; `ASSUMPTIONS` says how times follow."""

    model: str = option("deepseek-v2-lite", "Whose experts: see moe models.", among=MODELS)
    gpu: str = "h800"
    gpus: int = option(8, "GPUs of the node.", low=1, high=4096)
    replicas: int = option(72, "Copies of experts in all.", low=1)
    precision: str = option("bf16", "Of the weights that move.", among=WEIGHT_BYTES)
    utilisation: float = option(0.4, "Share of the peak.", low=0, high=1, open_low=True)

    @property
    def expert_seconds(self) -> float:
        """Seconds in which one GPU gets one expert."""
        cluster = Cluster(1, self.gpus, find_gpu(self.gpu).nvlink_gb_s)
        size = expert_params(MODELS[self.model]) * WEIGHT_BYTES[self.precision]
        return size / (1e9 * cluster.nvlink_gb_s * NORMAL.nvlink_share)

    @property
    def row_seconds(self) -> float:
        """Seconds in which one GPU computes one assignment."""
        peak = find_gpu(self.gpu).peak_flops("bf16")
        return 2.0 * expert_params(MODELS[self.model]) / (peak * self.utilisation)


def exchanged(
    before_LR: np.ndarray, after_LR: np.ndarray, gpus: int
) -> tuple[np.ndarray, np.ndarray]:
    """Experts that each GPU sends and gets for a new placement, (L, G) each.

    A GPU that already holds an expert fetches no copy of it; the two may differ in their slots.
    An expert comes from that of its GPUs which has least to send so far, and those that fewest
    GPUs hold come first.

    Raises
    ------
    ValueError
        If the GPUs do not divide a placement's slots.
    """
    for placed_LR in (before_LR, after_LR):
        if placed_LR.shape[1] % gpus:
            raise ValueError(
                f"gpus: got {gpus}, allowed is a divisor of the {placed_LR.shape[1]} slots"
            )
    sent_LG, got_LG = np.zeros((2, len(before_LR), gpus), np.int64)
    for layer, (before_R, after_R) in enumerate(zip(before_LR, after_LR, strict=True)):
        held_G = [set(part.tolist()) for part in np.split(before_R, gpus)]
        lacks_G = [
            sorted(set(part.tolist()) - held)
            for part, held in zip(np.split(after_R, gpus), held_G, strict=True)
        ]
        homes: dict[int, list[int]] = {}
        for gpu, held in enumerate(held_G):
            for expert in held:
                homes.setdefault(expert, []).append(gpu)
        wanted = [expert for lacks in lacks_G for expert in lacks]
        sent_G = [0] * gpus
        for expert in sorted(wanted, key=lambda expert: len(homes[expert])):
            sent_G[min(homes[expert], key=sent_G.__getitem__)] += 1
        sent_LG[layer], got_LG[layer] = sent_G, [len(lacks) for lacks in lacks_G]
    return sent_LG, got_LG


@dataclass(frozen=True)
class Moves:
    """What it takes to get from one placement to another: experts in all, and seconds."""

    experts: int
    seconds: float

    @classmethod
    def between(cls, before_LR: np.ndarray, after_LR: np.ndarray, settings: Moving) -> Moves:
        """A layer waits for the GPU that sends or gets most; one layer moves after the other."""
        sent_LG, got_LG = exchanged(before_LR, after_LR, settings.gpus)
        most_L = np.maximum(sent_LG, got_LG).max(axis=1)
        return cls(int(got_LG.sum()), float(most_L.sum()) * settings.expert_seconds)


@dataclass(frozen=True)
class BreakEven:
    """A placement made for other work, and the one made for this.

    Attributes
    ----------
    stale, fresh
        Largest GPU load over the mean, mean over layers, of both.
    moved
        Experts fetched by all GPUs in all layers.
    moving_seconds
        Time until all layers have theirs.
    tokens
        From so many tokens of this work on, moving has paid; infinite if it never does.
    """

    stale: float
    fresh: float
    moved: int
    moving_seconds: float
    tokens: float

    @property
    def tokens_or_none(self) -> float | None:
        """`tokens`, or None if moving never pays."""
        return self.tokens if math.isfinite(self.tokens) else None


def break_even(
    load_LE: np.ndarray, stale_LR: np.ndarray, fresh_LR: np.ndarray, k: int, settings: Moving
) -> BreakEven:
    """From how many tokens on it pays to move experts from one placement to another.

    Parameters
    ----------
    load_LE
        Loads of the work to come, in any unit.
    stale_LR, fresh_LR
        Both placements.
    k
        Experts of a token.
    """
    gpus = settings.gpus
    stale_L, fresh_L = (
        max_over_mean(gpu_loads(load_LE, one_LR, gpus)) for one_LR in (stale_LR, fresh_LR)
    )
    moves = Moves.between(stale_LR, fresh_LR, settings)
    saved = float((stale_L - fresh_L).sum() * k / gpus * settings.row_seconds)
    return BreakEven(
        stale=float(stale_L.mean()),
        fresh=float(fresh_L.mean()),
        moved=moves.experts,
        moving_seconds=moves.seconds,
        tokens=moves.seconds / saved if saved > 0 else (math.inf if moves.experts else 0.0),
    )


def break_evens(matrix: PlacedFor, carried: TaskLoads, settings: Moving) -> list[list[BreakEven]]:
    """`break_even` of every placement of a matrix on each load: experts placed for it, or not.

    Raises
    ------
    ValueError
        If the model has other experts.
    """
    model, experts = MODELS[settings.model], int(carried.load_TLE.shape[2])
    check_int("experts of the model", model.experts, experts, experts, "as many as in the loads")
    fresh = [
        rebalance_experts(load_LE, settings.replicas, 1, 1, settings.gpus)[0]
        for load_LE in carried.load_TLE
    ]
    return [
        [
            break_even(load_LE, stale_LR, fresh_LR, model.top_k, settings)
            for load_LE, fresh_LR in zip(carried.load_TLE, fresh, strict=True)
        ]
        for stale_LR in matrix.phy2log_PLR
    ]


@dataclass(frozen=True)
class Stream:
    """How one way to place experts did over a stream of batches.

    Attributes
    ----------
    way
        'never', 'every n' batches, or 'least loaded', batch by batch.
    uneven
        Largest GPU load over the mean, mean over batches and layers.
    moved
        Experts that were sent, in all.
    computing_s, moving_s
        Seconds of both; batches wait for the moving.
    """

    way: str
    uneven: float
    moved: int
    computing_s: float
    moving_s: float

    @property
    def total_s(self) -> float:
        """Seconds of all batches."""
        return self.computing_s + self.moving_s

    def as_row(self) -> dict[str, Any]:
        """Figures as plain numbers."""
        return {
            "rebalanced": self.way, "max_over_mean": self.uneven, "experts_moved": self.moved,
            "computing_s": self.computing_s, "moving_s": self.moving_s, "total_s": self.total_s,
        }  # fmt: skip


def batch_loads(trace: Trace, size: int) -> np.ndarray:
    """Assignments of each expert in each batch of that many tokens and layer, (B, L, E).

    Tokens that fill no whole batch are left out.

    Raises
    ------
    ValueError
        If there is no whole batch.
    """
    check_int("batch", size, 1, trace.n_tokens, f"the trace has {trace.n_tokens} tokens")
    n_batches, n_experts = trace.n_tokens // size, trace.n_experts
    load_LBE = np.empty((trace.n_layers, n_batches, n_experts))
    first_B1 = np.arange(n_batches)[:, None] * n_experts
    for layer, expert_NK in enumerate(trace.expert_LNK[:, : n_batches * size]):
        expert_BA = expert_NK.reshape(n_batches, -1).astype(np.int64)
        at_A = (expert_BA + first_B1)[expert_BA >= 0]
        load_LBE[layer] = np.bincount(at_A, minlength=n_batches * n_experts).reshape(
            n_batches, n_experts
        )
    return load_LBE.swapaxes(0, 1)


def streams(
    load_BLE: np.ndarray,
    start_LR: np.ndarray,
    every: tuple[int, ...],
    settings: Moving,
    reflex: LeastLoaded | None = None,
) -> Iterator[Stream]:
    """Run a stream of batches: never rebalanced, every n batches, and least loaded in each.

    Parameters
    ----------
    load_BLE
        Assignments of each expert in each batch and layer.
    start_LR
        Placement before the first batch.
    every
        Intervals n: before batches n, 2n, ... experts are placed for the n batches before.
    reflex
        Settings of the least-loaded way, whose experts begin each batch in plain order; it is
        left out where the GPUs do not divide the experts.
    """
    for n in every:
        check_int("every", n, 1)
    yield _planned(load_BLE, start_LR, 0, settings)
    for n in every:
        yield _planned(load_BLE, start_LR, n, settings)
    if load_BLE.shape[2] % settings.gpus == 0:
        yield _spilled(load_BLE, settings, reflex)


def _planned(load_BLE: np.ndarray, at_LR: np.ndarray, every: int, settings: Moving) -> Stream:
    gpus, moved, moving, busiest, uneven = settings.gpus, 0, 0.0, 0.0, []
    for b, load_LE in enumerate(load_BLE):
        if every and b and b % every == 0:
            past_LE = load_BLE[b - every : b].sum(axis=0)
            new_LR = rebalance_experts(past_LE, settings.replicas, 1, 1, gpus)[0]
            moves = Moves.between(at_LR, new_LR, settings)
            moved, moving, at_LR = moved + moves.experts, moving + moves.seconds, new_LR
        load_LG = gpu_loads(load_LE, at_LR, gpus)
        busiest += float(load_LG.max(axis=1).sum())
        uneven.append(max_over_mean(load_LG).mean())
    way = f"every {every}" if every else NEVER
    return Stream(way, float(np.mean(uneven)), moved, busiest * settings.row_seconds, moving)


def _spilled(load_BLE: np.ndarray, settings: Moving, reflex: LeastLoaded | None) -> Stream:
    moved, most, busiest, uneven = 0, 0, 0, []
    for load_E in load_BLE.reshape(-1, load_BLE.shape[2]):
        one = spill(load_E, settings.gpus, reflex)
        moved += len(one.moved)
        most += one.most_moved(settings.gpus)
        busiest += int(one.load_G.max())
        uneven.append(float(max_over_mean(one.load_G[None])[0]))
    moving = most * settings.expert_seconds
    return Stream(REFLEX, float(np.mean(uneven)), moved, busiest * settings.row_seconds, moving)


def trace_streams(
    paths: Sequence[Path],
    start_LR: np.ndarray,
    every: tuple[int, ...],
    size: int,
    settings: Moving,
) -> list[Stream]:
    """`streams` of the tokens of traces, one file after another, in batches of `size`.

    Raises
    ------
    ValueError
        If a file is no trace, or has no whole batch.
    """
    loads = [batch_loads(load_trace(path, LOCAL_BYTES), size) for path in paths]
    return list(streams(np.concatenate(loads), start_LR, every, settings))
