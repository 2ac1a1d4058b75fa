"""Writing text one token at a time: bytes read, and bounds on tokens per second."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import check_float, check_int
from ..settings import Settings, option
from ..traffic import ExpertTraffic
from .feed_forward import expected_experts
from .hardware import Gpu
from .memory import WEIGHT_BYTES, kv_cache_bytes, state_bytes, weight_bytes
from .model import ModelConfig
from .params import expert_params
from .shape import MOST

ARITHMETIC = {"bf16": "bf16", "fp8": "fp8", "4-bit": "bf16"}  # 4-bit weights are widened first


def experts_touched(config: ModelConfig, batch: int, traffic: ExpertTraffic | None = None) -> float:
    """Experts of one layer whose weights a batch reads, expected.

    Parameters
    ----------
    traffic
        How popular experts are; by default all alike. For a model of other sizes than were
        measured it is the law fitted to them.
    """
    if not config.moe_layers:
        return 0.0
    if traffic is not None:
        return traffic.scaled(config.experts, config.top_k).experts_read(batch)
    return expected_experts(config.experts, config.top_k, batch)


def weight_bytes_read(
    config: ModelConfig,
    batch: int = 1,
    precision: str = "bf16",
    traffic: ExpertTraffic | None = None,
) -> float:
    """Bytes of weights that one step reads for a batch of sequences.

    Everything outside the routed experts is read once a step, the input table by one row a
    sequence; of the experts, those that the batch touches; see `experts_touched`.
    """
    check_int("batch", batch, 1, MOST)
    always = config.active("head_only") - config.params.active_experts
    touched = experts_touched(config, batch, traffic)
    experts = config.moe_layers * touched * expert_params(config)
    rows = batch * config.d_model
    return (always + experts + rows) * WEIGHT_BYTES[precision]


def decode_flops(config: ModelConfig, context: int) -> float:
    """Operations of one new token after `context` others.

    Latent attention works on its short vectors here (its up-projections are absorbed into the
    queries): more operations per token than its training form, far fewer bytes.
    """
    check_int("context", context, 1, MOST)
    matrices = 2.0 * config.active("head_only")
    return matrices + 2.0 * config.seen_width(absorbed=True) * context


@dataclass(frozen=True)
class Decoding:
    """What one machine, or several alike, can do at most with a model.

    Attributes
    ----------
    fits
        Whether weights and cache fit in memory.
    needed_bytes, memory_bytes
        Needed and there.
    bytes_per_step, bytes_per_token
        Read by one step of the whole batch, and per token of it.
    experts_touched
        Per layer, expected.
    by_bandwidth, by_compute
        Upper bounds in tokens per second over the batch: memory read at full bandwidth, and
        arithmetic at its peak. Links between GPUs are taken as free.
    """

    fits: bool
    needed_bytes: float
    memory_bytes: float
    bytes_per_step: float
    bytes_per_token: float
    experts_touched: float
    by_bandwidth: float
    by_compute: float

    @property
    def tokens_per_s(self) -> float:
        """The lower of the two bounds."""
        return min(self.by_bandwidth, self.by_compute)

    @property
    def limit(self) -> str:
        """'bandwidth' or 'compute'."""
        return "bandwidth" if self.by_bandwidth <= self.by_compute else "compute"


@dataclass(frozen=True)
class Demand:
    """What decoding asks of a machine, whichever it is; `on` says what one makes of it.

    Attributes
    ----------
    batch, precision
        Sequences at once, and what the weights are kept in.
    needed_bytes
        Weights and cache.
    bytes_per_step, flops_per_token
        Read by one step of the whole batch; operations of one token.
    experts_touched
        Per layer, expected.
    """

    batch: int
    precision: str
    needed_bytes: float
    bytes_per_step: float
    flops_per_token: float
    experts_touched: float

    def on(self, gpu: Gpu, n_gpus: int = 1, usable: float = 0.9) -> Decoding:
        """Bounds on a machine, or on several; see `decode`."""
        check_int("n_gpus", n_gpus, 1, MOST)
        check_float("usable", usable, 0.0, 1.0, open_low=True)
        memory = n_gpus * gpu.memory_bytes
        peak = n_gpus * gpu.peak_flops(ARITHMETIC[self.precision])
        return Decoding(
            fits=self.needed_bytes <= usable * memory,
            needed_bytes=self.needed_bytes,
            memory_bytes=memory,
            bytes_per_step=self.bytes_per_step,
            bytes_per_token=self.bytes_per_step / self.batch,
            experts_touched=self.experts_touched,
            by_bandwidth=self.batch * n_gpus * gpu.memory_bytes_per_s / self.bytes_per_step,
            by_compute=peak / self.flops_per_token,
        )


def demand(
    config: ModelConfig,
    *,
    batch: int = 1,
    context: int = 4096,
    precision: str = "4-bit",
    kv_bytes_per_value: float = 2.0,
    traffic: ExpertTraffic | None = None,
) -> Demand:
    """What decoding `batch` sequences that are `context` tokens long asks for; see `decode`.

    It takes longer than what follows from it for a machine, of which a page asks for many.
    """
    check_int("batch", batch, 1, MOST)
    check_int("context", context, 1, MOST)
    cache = kv_cache_bytes(config, context, batch, kv_bytes_per_value)
    needed = weight_bytes(config, precision) + cache
    # A cache that layers share is stored once and read by each of them.
    readers = config.attention_layers / config.cache_layers if config.cache_layers else 1.0
    states = state_bytes(config, batch)  # which a step reads and writes anew
    weights = weight_bytes_read(config, batch, precision, traffic)
    return Demand(
        batch=batch,
        precision=precision,
        needed_bytes=needed,
        bytes_per_step=weights + (cache - states) * readers + 2 * states,
        flops_per_token=decode_flops(config, context),
        experts_touched=experts_touched(config, batch, traffic),
    )


def decode(
    config: ModelConfig,
    gpu: Gpu,
    *,
    batch: int = 1,
    context: int = 4096,
    precision: str = "4-bit",
    n_gpus: int = 1,
    kv_bytes_per_value: float = 2.0,
    usable: float = 0.9,
    traffic: ExpertTraffic | None = None,
) -> Decoding:
    """Bounds of decoding `batch` sequences that are `context` tokens long.

    Parameters
    ----------
    precision
        Of the weights: 'bf16', 'fp8' or '4-bit'.
    n_gpus
        GPUs that share weights and cache evenly.
    usable
        Share of the memory that weights and cache may fill.
    traffic
        How popular experts are; by default all alike.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    asked = demand(
        config,
        batch=batch,
        context=context,
        precision=precision,
        kv_bytes_per_value=kv_bytes_per_value,
        traffic=traffic,
    )
    return asked.on(gpu, n_gpus, usable)


@dataclass(frozen=True)
class ExchangeBound(Settings):
    """Least time of a token if every layer's exchange of tokens is all that takes time.

    Parameters
    ----------
    tokens, copies, width, layers
        Tokens a GPU decodes at once, destinations of each (routed and shared experts), its
        values, and layers.
    dispatch_bytes, combine_bytes
        Bytes per value on the way there (FP8: 1) and back (BF16: 2).
    gb_s
        Bandwidth, 10^9 bytes a second. Two micro-batches alternate, so a layer takes twice.
    """

    gb_s: float = option(50.0, low=0, open_low=True)
    tokens: int = option(32, low=1)
    copies: int = option(9, low=1)
    width: int = option(7000, low=1)
    layers: int = option(61, low=1)
    dispatch_bytes: float = option(1.0, low=0, open_low=True)
    combine_bytes: float = option(2.0, low=0, open_low=True)

    @property
    def exchange_seconds(self) -> float:
        """Both directions of one exchange."""
        size = (self.dispatch_bytes + self.combine_bytes) * self.tokens * self.copies * self.width
        return size / (1e9 * self.gb_s)

    @property
    def seconds_per_token(self) -> float:
        """All layers, both micro-batches."""
        return 2 * self.layers * self.exchange_seconds

    @property
    def tokens_per_s(self) -> float:
        """Tokens a second of one sequence."""
        return 1 / self.seconds_per_token
