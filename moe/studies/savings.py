"""Compute saved against dense layers: counted by formula, and measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..cost import FeedForward
from ..dense import DenseFFN
from ..errors import check_int
from ..layer import MoELayer
from ..numbers import plural
from ..speed.machine import Machine
from ..speed.timing import blocks_in_turn
from ..speed.turns import TURNS

MOE, TOTAL, ACTIVE = "MoE", "Dense, equal total", "Dense, equal active"
BATCHES = (1, 4, 16, 64, 256, 1024)
RUNS = 5  # times that each layer is timed, in turn
MAX_MEASURED_WEIGHTS = 13_000_000  # keeps a visitor's measurement below a minute


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
        )


@dataclass(frozen=True)
class Verdict:
    """What the measurement says, in words, with the batch sizes behind them (None: never).

    A layer counts as faster at a batch size if it was so in every run.
    """

    faster_than_total_from: int | None
    faster_than_active_from: int | None
    all_read_batch: int
    break_even_batch: int
    text: str

    def figures(self) -> list[tuple[str, str, str]]:
        """Label, value and explanation of the batch sizes."""
        return [
            (
                "Beats equal total from",
                _batch_words(self.faster_than_total_from),
                "From here on the MoE was faster than the dense layer of equal total size, in "
                "every run.",
            ),
            (
                "Beats equal active from",
                _batch_words(self.faster_than_active_from),
                "From here on the MoE was faster than the dense layer of equal active size, in "
                "every run.",
            ),
            (
                "Experts read from",
                f"{self.all_read_batch:,} tokens",
                "A batch of so many tokens reads nine in ten experts, if choices are even.",
            ),
            (
                "Break-even from",
                f"{self.break_even_batch:,} tokens",
                "From here on arithmetic takes longer than reading the weights, by what this "
                "computer can do.",
            ),
        ]


def _batch_words(n_tokens: int | None) -> str:
    return "no size tried" if n_tokens is None else f"{n_tokens:,} tokens"


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
    tokens = plural(settings.n_tokens, "token")
    shared = f" and {settings.n_shared} shared" if settings.n_shared else ""
    return (
        f"Every token passes {settings.k} of {settings.n_experts} experts{shared}: "
        f"{total.flops_per_token / moe.flops_per_token:.1f} times fewer operations than in a dense "
        f"layer of equal size. A batch of {tokens} reads {reads} from memory."
    )


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
    with TURNS.measuring(lambda: say("waiting until nothing else runs here")):
        return [row for n in batches for row in _measure_batch(layer, dense, n, runs, say)]


def _measure_batch(
    layer: MoELayer,
    dense: dict[str, DenseFFN],
    n_tokens: int,
    runs: int,
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
    seconds = blocks_in_turn(
        calls, blocks=runs, block_seconds=0.02, pause=0.02, on_pause=lambda: say(words)
    )
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


def verdict(settings: SavingsSettings, measured: list[MeasuredCost], machine: Machine) -> Verdict:
    """Say at which batch sizes the MoE was faster or slower, and at which its runs disagree."""
    rows = {name: [row for row in measured if row.layer == name] for name in (TOTAL, ACTIVE)}
    shape = settings.shape()
    fewer = shape.dense("total").flops_per_token / shape.flops_per_token
    end = rows[TOTAL][-1]
    rest = (
        ""
        if end.most >= fewer
        else " Choosing experts, gathering their rows and smaller matrix products took the rest."
    )
    text = (
        f"{_against(rows[TOTAL], 'equal total size')} By its operations it would be {fewer:.1f} "
        f"times as fast.{rest} {_against(rows[ACTIVE], 'equal active size')}"
    )
    if rows[ACTIVE][-1].most < 1:
        text += (
            " Against that one it does the same arithmetic and, on top, chooses, sorts, gathers "
            "and reads more weights."
        )
    return Verdict(
        faster_than_total_from=_first_faster(rows[TOTAL]),
        faster_than_active_from=_first_faster(rows[ACTIVE]),
        all_read_batch=shape.all_read_batch(),
        break_even_batch=shape.break_even_batch(machine.flops_per_s, machine.bytes_per_s),
        text=text,
    )


def _first_faster(rows: list[MeasuredCost]) -> int | None:
    """Least batch size from which on the MoE was faster in every run."""
    slower = [row.n_tokens for row in rows if row.least <= 1]
    later = [row.n_tokens for row in rows if row.n_tokens > max(slower, default=0)]
    return min(later, default=None)


def _against(rows: list[MeasuredCost], of: str) -> str:
    """How the MoE did against one dense layer: at the largest batch, and at every size."""
    end = rows[-1]
    spans = {
        "faster": [row.n_tokens for row in rows if row.least > 1],
        "slower": [row.n_tokens for row in rows if row.most < 1],
    }
    apart = [row.n_tokens for row in rows if row.least <= 1 <= row.most]
    parts = [f"{word} at {_sizes(sizes)}" for word, sizes in spans.items() if sizes]
    if apart:
        parts.append(f"the runs disagree at {_sizes(apart)}")
    times = (
        f"{_span(end.least, end.most)} times as fast"
        if end.most >= 1
        else f"{_span(1 / end.most, 1 / end.least)} times slower"
    )
    return (
        f"MoE against the dense layer of {of}: {'; '.join(parts)}. With {end.n_tokens:,} tokens it "
        f"was {times}."
    )


def _span(low: float, high: float) -> str:
    """Least and most of the runs, once if they look the same."""
    first, last = f"{low:.1f}", f"{high:.1f}"
    return first if first == last else f"{first} to {last}"


def _sizes(sizes: list[int]) -> str:
    """Batch sizes in words."""
    *first, last = (f"{n:,}" for n in sizes)
    unit = "token" if sizes == [1] else "tokens"
    return f"{', '.join(first)} and {last} {unit}" if first else f"{last} {unit}"
