"""Compute saved against dense layers: counted by formula, and measured on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from ..cost import FeedForward
from ..dense import DenseFFN
from ..errors import check_int
from ..layer import MoELayer
from .machine import Machine
from .timing import time_in_turn
from .turns import TURNS

MOE, TOTAL, ACTIVE = "MoE", "Dense, equal total", "Dense, equal active"
BATCHES = (1, 4, 16, 64, 256, 1024)
MAX_MEASURED_WEIGHTS = 13_000_000  # keeps a visitor's measurement below half a minute


@dataclass(frozen=True)
class SavingsSettings:
    """Shape of the layer whose cost is compared.

    Parameters
    ----------
    d_model, d_expert, n_experts, k, n_shared
        D, F, E, K and shared experts of width F.
    n_tokens
        Batch for which the counted table holds.
    """

    d_model: int = 256
    d_expert: int = 256
    n_experts: int = 16
    k: int = 2
    n_shared: int = 0
    n_tokens: int = 1024

    def __post_init__(self) -> None:
        check_int("n_tokens", self.n_tokens, 1, 1 << 24)
        self.shape()

    def shape(self) -> FeedForward:
        """Return the MoE layer's shape."""
        return FeedForward(self.d_model, self.d_expert, self.n_experts, self.k, self.n_shared)

    def layers(self) -> dict[str, FeedForward]:
        """Return the MoE layer and its two dense yardsticks."""
        shape = self.shape()
        return {MOE: shape, TOTAL: shape.dense("total"), ACTIVE: shape.dense("active")}


@dataclass(frozen=True)
class CountedCost:
    """One layer's counted cost at a batch size.

    Attributes
    ----------
    params, active_params
        Weights stored, and used by one token.
    flops_per_token
        Forward operations.
    weight_bytes
        Bytes of float32 weights that the batch reads.
    flops_saved, bytes_saved
        Share that the MoE layer saves against this one; negative if it costs more.
    """

    layer: str
    params: int
    active_params: int
    flops_per_token: int
    weight_bytes: float
    flops_saved: float
    bytes_saved: float


@dataclass(frozen=True)
class MeasuredCost:
    """Milliseconds of one forward pass on this machine.

    `executed_gflops` is the work that the layer counted; `speed_up` the dense layer's time over
    the MoE's, below 1 where the MoE is slower.
    """

    layer: str
    n_tokens: int
    milliseconds: float
    executed_gflops: float
    speed_up: float


@dataclass(frozen=True)
class Verdict:
    """What the measurement says, in words, with the batch sizes behind them (None: never)."""

    faster_than_total_from: int | None
    faster_than_active_from: int | None
    all_read_batch: int
    break_even_batch: int
    text: str

    def total_words(self) -> str:
        """From which batch on it beat the dense layer of equal total."""
        return _batch_words(self.faster_than_total_from)

    def active_words(self) -> str:
        """From which batch on it beat the dense layer of equal active."""
        return _batch_words(self.faster_than_active_from)


def _batch_words(n_tokens: int | None) -> str:
    return "no batch tried" if n_tokens is None else f"{n_tokens:,} tokens"


def count(settings: SavingsSettings) -> list[CountedCost]:
    """Counted cost of the MoE layer and both dense yardsticks."""
    layers = settings.layers()
    moe = layers[MOE]
    moe_bytes = moe.weight_bytes(settings.n_tokens)
    return [
        CountedCost(
            layer=name,
            params=shape.total_params,
            active_params=shape.active_params,
            flops_per_token=shape.flops_per_token,
            weight_bytes=shape.weight_bytes(settings.n_tokens),
            flops_saved=1 - moe.flops_per_token / shape.flops_per_token,
            bytes_saved=1 - moe_bytes / shape.weight_bytes(settings.n_tokens),
        )
        for name, shape in layers.items()
    ]


def bytes_by_batch(settings: SavingsSettings, up_to: int = 4096) -> list[dict[str, object]]:
    """Weight bytes per batch size 1, 2, 4, ... for each layer, as plain rows."""
    sizes = [1 << i for i in range(up_to.bit_length())]
    return [
        {"layer": name, "n_tokens": n, "megabytes": shape.weight_bytes(n) / 1e6}
        for name, shape in settings.layers().items()
        for n in sizes
    ]


def count_words(settings: SavingsSettings) -> str:
    """What the counted costs say, in a sentence or two."""
    moe, total, _ = count(settings)
    fewer = total.weight_bytes / moe.weight_bytes
    reads = "as many weights" if fewer < 1.05 else f"{fewer:.1f} times fewer weights"
    tokens = "1 token" if settings.n_tokens == 1 else f"{settings.n_tokens:,} tokens"
    shared = f" and {settings.n_shared} shared" if settings.n_shared else ""
    return (
        f"Every token passes {settings.k} of {settings.n_experts} experts{shared}: "
        f"{total.flops_per_token / moe.flops_per_token:.1f} times fewer operations than in a dense "
        f"layer of equal size. A batch of {tokens} reads {reads} from memory."
    )


def measure(
    settings: SavingsSettings,
    batches: tuple[int, ...] = BATCHES,
    blocks: int = 3,
    on_pause: Callable[[str], object] | None = None,
) -> list[MeasuredCost]:
    """Time forward passes of all three layers at several batch sizes.

    A dense layer counts as the faster of this library's own and plain numpy's matrix products,
    so that the yardstick is not held back. Nothing else that trains or measures runs meanwhile.

    Parameters
    ----------
    on_pause
        Called before each block with what is being measured, in words; it may raise to give up.

    Raises
    ------
    ValueError
        If the layers would be too large for a machine that others use too.
    """
    weights = settings.shape().total_params
    if weights > MAX_MEASURED_WEIGHTS:
        raise ValueError(
            f"n_experts * d_expert * d_model: got {weights:,} weights, "
            f"allowed for measuring are {MAX_MEASURED_WEIGHTS:,}"
        )
    shapes = settings.layers()
    layer = MoELayer.init(
        settings.d_model, settings.d_expert, settings.n_experts, k=settings.k,
        n_shared=settings.n_shared,
    )  # fmt: skip
    layer.check_finite = False
    dense = {
        name: DenseFFN.init(settings.d_model, shapes[name].d_expert) for name in (TOTAL, ACTIVE)
    }
    say = on_pause or (lambda words: None)
    with TURNS.measuring(lambda: say("waiting until nothing else runs here")):
        return [row for n in batches for row in _measure_batch(layer, dense, n, blocks, say)]


def _measure_batch(
    layer: MoELayer,
    dense: dict[str, DenseFFN],
    n_tokens: int,
    blocks: int,
    say: Callable[[str], object],
) -> list[MeasuredCost]:
    x_ND = np.random.default_rng(n_tokens).standard_normal((n_tokens, layer.d_model))
    x_ND = x_ND.astype(np.float32)
    calls: dict[str, Callable[[], object]] = {MOE: _caller(layer, x_ND)}
    flops = {MOE: layer.forward(x_ND)[1].executed_flops}
    for name, network in dense.items():
        network.check_finite = False
        calls[name] = _caller(network, x_ND)
        calls[name + " (numpy)"] = _numpy_caller(network, x_ND)
        flops[name] = network.forward(x_ND)[1].executed_flops
    words = f"timing batches of {n_tokens:,} tokens"
    seconds = time_in_turn(
        calls, blocks=blocks, block_seconds=0.02, pause=0.02, on_pause=lambda: say(words)
    )
    best = {name: min(seconds[name], seconds.get(name + " (numpy)", np.inf)) for name in flops}
    return [
        MeasuredCost(
            layer=name,
            n_tokens=n_tokens,
            milliseconds=1e3 * best[name],
            executed_gflops=flops[name] / 1e9,
            speed_up=best[name] / best[MOE],
        )
        for name in flops
    ]


def _caller(layer: MoELayer | DenseFFN, x_ND: np.ndarray) -> Callable[[], object]:
    return lambda: layer(x_ND)


def _numpy_caller(layer: DenseFFN, x_ND: np.ndarray) -> Callable[[], object]:
    up_DH, down_FD = layer.params.values()

    def call() -> np.ndarray:
        gate_NF, up_NF = np.split(x_ND @ up_DH, 2, axis=1)
        return np.asarray((gate_NF / (1 + np.exp(-gate_NF)) * up_NF) @ down_FD)

    return call


def verdict(settings: SavingsSettings, measured: list[MeasuredCost], machine: Machine) -> Verdict:
    """Say from which batch size on the MoE was faster, and why not before."""

    def first_faster(name: str) -> int | None:
        rows = [row for row in measured if row.layer == name]
        faster = [row.n_tokens for row in rows if row.speed_up > 1]
        slower = [row.n_tokens for row in rows if row.speed_up <= 1]
        later = [n for n in faster if n > max(slower, default=0)]
        return min(later, default=None)

    total, active = first_faster(TOTAL), first_faster(ACTIVE)
    shape = settings.shape()
    largest = max(measured, key=lambda row: row.n_tokens).n_tokens
    at_end = {row.layer: row for row in measured if row.n_tokens == largest}
    fewer = shape.dense("total").flops_per_token / shape.flops_per_token
    text = (
        f"At {largest:,} tokens the MoE was {at_end[TOTAL].speed_up:.1f} times as fast as the "
        f"dense layer of equal total size, with {fewer:.1f} times fewer operations."
    )
    if at_end[TOTAL].speed_up < fewer:
        text += (
            " The rest of the saving went into routing, gathering rows and smaller matrix products."
        )
    if at_end[ACTIVE].speed_up < 1:
        text += (
            f" Against the dense layer of equal active size it was "
            f"{1 / at_end[ACTIVE].speed_up:.1f} times slower: it does the same arithmetic and, on "
            "top, chooses, sorts, gathers and reads more weights."
        )
    if total is None or total > measured[0].n_tokens:
        text += " In small batches it was slower even than the large dense layer."
    return Verdict(
        faster_than_total_from=total,
        faster_than_active_from=active,
        all_read_batch=shape.all_read_batch(),
        break_even_batch=shape.break_even_batch(machine.flops_per_s, machine.bytes_per_s),
        text=text,
    )


def as_rows(records: list[CountedCost] | list[MeasuredCost]) -> list[dict[str, object]]:
    """Plain dictionaries, for tables and JSON."""
    return [asdict(record) for record in records]
