"""Tokens a second of a model whose experts do not all fit: what is read, and over which way."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..cost import Gpu, ModelConfig, decode, weight_bytes
from ..cost.links import Link
from ..cost.memory import WEIGHT_BYTES
from ..cost.params import expert_params
from ..errors import check_choice, check_int
from .replay import CacheResult

ASSUMPTIONS = (
    "One sequence is written at a time, and each layer keeps as many experts as it has slots.",
    "What is in fast memory is read at its full bandwidth, and experts come at the full speed of "
    "the link.",
    "A token waits for each expert that it misses; what is read ahead takes time only where it "
    "takes longer than the token's own reading.",
    "Layers that were not recorded do as the others on average.",
)


@dataclass(frozen=True)
class CacheSpeed:
    """What a cache makes of a machine, at most.

    Attributes
    ----------
    tokens_per_s
        Tokens a second of one sequence.
    all_fit_tokens_per_s
        The same if all experts were in fast memory.
    memory_bytes
        Bytes of weights in fast memory.
    fits
        Whether these are no more than the machine's memory.
    """

    tokens_per_s: float
    all_fit_tokens_per_s: float
    memory_bytes: float
    fits: bool

    def as_json(self) -> dict[str, float | bool]:
        """Everything as numbers."""
        return asdict(self)


def expert_bytes(config: ModelConfig, precision: str) -> float:
    """Bytes of one routed expert."""
    check_choice("precision", precision, WEIGHT_BYTES)
    return expert_params(config) * WEIGHT_BYTES[precision]


def cache_speed(
    result: CacheResult,
    config: ModelConfig,
    gpu: Gpu,
    link: Link,
    precision: str = "4-bit",
    context: int = 4096,
) -> CacheSpeed:
    """Bound the tokens a second of a cache, under `ASSUMPTIONS`.

    A token takes max(what it reads in fast memory, what is read ahead) + what it waits for.

    Raises
    ------
    ValueError
        If the model has other experts than the trace, or an argument is out of range.
    """
    check_model(config, result.n_experts)
    missing = config.experts - result.slots
    stays = weight_bytes(config, precision)
    stays -= missing * config.moe_layers * expert_bytes(config, precision)
    inside = 1 / decode(config, gpu, context=context, precision=precision).tokens_per_s
    layers = config.moe_layers / len(result.layers)
    expert_s = layers * expert_bytes(config, precision) / link.bytes_per_s
    waiting = result.waits_per_token * expert_s
    ahead = result.reads_per_token * expert_s - waiting
    return CacheSpeed(
        tokens_per_s=1 / (max(inside, ahead) + waiting),
        all_fit_tokens_per_s=1 / inside,
        memory_bytes=stays,
        fits=stays <= gpu.memory_bytes,
    )


def check_model(config: ModelConfig, n_experts: int) -> None:
    """Raise ValueError unless a model has as many experts as a trace."""
    check_int(
        "experts of the model", config.experts, n_experts, n_experts, "as many as in the trace"
    )
