"""Compute saved against dense layers: counted by formula, and measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..cost import FeedForward
from ..dense import DenseFFN
from ..layer import MoELayer
from ..settings import Settings, option
from ..speed.timing import blocks_in_turn
from ..speed.turns import TURNS, Turn, queue_words

MOE, TOTAL, ACTIVE = "MoE", "Dense, equal total", "Dense, equal active"
BATCHES = (1, 4, 16, 64, 256, 1024)
RUNS = 5  # times that each layer is timed, in turn
MAX_MEASURED_WEIGHTS = 13_000_000  # keeps a visitor's measurement below a minute


@dataclass(frozen=True)
class SavingsSettings(Settings):
    """Shape of the layer whose cost is compared."""

    d_model: int = option(256, "Width of a token, D.", low=1)
    d_expert: int = option(256, "Width inside an expert, F.", low=1)
    n_experts: int = option(16, "Experts, E.", low=1)
    k: int = option(2, "Experts per token, K.", low=1, high="n_experts")
    n_shared: int = option(0, "Shared experts, of width F.", low=0)
    n_tokens: int = option(1024, "Batch that the counted table is of.", low=1, high=1 << 24)

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
    """Milliseconds of one forward pass on this machine, timed in several runs that take turns.

    Attributes
    ----------
    milliseconds, low, high
        Median, least and most of all runs.
    executed_gflops
        The work that the layer counted.
    speed_up, least, most
        The dense layer's time over the MoE's, below 1 where the MoE is slower: of the medians,
        and the least and the most of single runs.
    runs
        How often it was timed.
    """

    layer: str
    n_tokens: int
    milliseconds: float
    low: float
    high: float
    executed_gflops: float
    speed_up: float
    least: float
    most: float
    runs: int

    @classmethod
    def of(
        cls,
        layer: str,
        n_tokens: int,
        seconds: Sequence[float],
        moe_seconds: Sequence[float],
        executed_gflops: float,
    ) -> MeasuredCost:
        """Make one of a layer's runs and the MoE's, in the order in which they took turns."""
        n = min(len(seconds), len(moe_seconds))
        ratio_R = np.asarray(seconds[:n]) / np.asarray(moe_seconds[:n])
        return cls(
            layer=layer,
            n_tokens=n_tokens,
            milliseconds=1e3 * float(np.median(seconds)),
            low=1e3 * min(seconds),
            high=1e3 * max(seconds),
            executed_gflops=executed_gflops,
            speed_up=float(np.median(seconds) / np.median(moe_seconds)),
            least=float(ratio_R.min()),
            most=float(ratio_R.max()),
            runs=n,
        )

    def pooled(self, other: MeasuredCost) -> MeasuredCost:
        """Return both measurements of the same layer and batch as one, with the spread of both."""
        share = self.runs / (self.runs + other.runs)
        return replace(
            self,
            milliseconds=share * self.milliseconds + (1 - share) * other.milliseconds,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            speed_up=share * self.speed_up + (1 - share) * other.speed_up,
            least=min(self.least, other.least),
            most=max(self.most, other.most),
            runs=self.runs + other.runs,
        )


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


def too_large(settings: SavingsSettings) -> str:
    """Say in words that the layers are too large to be measured; nothing if they are not."""
    weights = settings.shape().total_params
    if weights <= MAX_MEASURED_WEIGHTS:
        return ""
    return (
        f"This layer has {weights / 1e6:,.0f} million weights; here, where others measure too, "
        f"up to {MAX_MEASURED_WEIGHTS / 1e6:,.0f} million can be. Choose fewer or narrower experts."
    )


def measure(
    settings: SavingsSettings,
    batches: tuple[int, ...] = BATCHES,
    runs: int = RUNS,
    on_pause: Callable[[str], object] | None = None,
) -> list[MeasuredCost]:
    """Time forward passes of all three layers at several batch sizes, `runs` times in turn.

    A dense layer counts as the faster of this library's own and plain numpy's matrix products,
    so that the yardstick is not held back. Nothing else that trains or measures runs meanwhile,
    but for short turns between two blocks.

    Parameters
    ----------
    on_pause
        Called before each block with what is being measured, in words, and before that with the
        place in the queue; it may raise to give up.

    Raises
    ------
    ValueError
        If the layers would be too large for a machine that others use too.
    """
    if too_large(settings):
        raise ValueError(
            f"n_experts * d_expert * d_model: got {settings.shape().total_params:,} weights, "
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
    with TURNS.measuring(lambda place: say(queue_words(place))) as turn:
        return [row for n in batches for row in _measure_batch(layer, dense, n, runs, say, turn)]


def _measure_batch(
    layer: MoELayer,
    dense: dict[str, DenseFFN],
    n_tokens: int,
    runs: int,
    say: Callable[[str], object],
    turn: Turn,
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

    def pause() -> None:
        say(words)
        for place in turn.give_way():
            say(f"{words}. {queue_words(place)}" if turn.set_back else words)

    seconds = blocks_in_turn(calls, blocks=runs, block_seconds=0.02, pause=0.02, on_pause=pause)
    return [
        MeasuredCost.of(
            name,
            n_tokens,
            min(seconds[name], seconds.get(name + " (numpy)", seconds[name]), key=np.median),
            seconds[MOE],
            flops[name] / 1e9,
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
