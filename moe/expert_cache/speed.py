"""Tokens a second of a model whose experts do not all fit: what is read, and over which way."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..cost import Gpu, ModelConfig, decode, weight_bytes
from ..cost.links import Link
from ..cost.memory import WEIGHT_BYTES
from ..cost.params import expert_params
from ..errors import check_choice, check_float, check_int
from ..numbers import gigabytes, plural
from ..traces import Trace

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

    def room_words(self, slots: int, config: ModelConfig, gpu: Gpu) -> str:
        """Whether what stays in fast memory fits there, which the tokens a second suppose."""
        stays, room = gigabytes(self.memory_bytes / 1e9), gigabytes(gpu.memory_bytes / 1e9)
        fits = "fits" if self.fits else "does not fit"
        return (
            f"With {plural(slots, 'slot')} a layer, {stays} of weights of {config.name} stay in "
            f"fast memory, which {fits} in the {room} of {gpu.name}."
        )

    def as_json(self) -> dict[str, float | bool]:
        """Everything as numbers."""
        return asdict(self)


def expert_bytes(config: ModelConfig, precision: str) -> float:
    """Bytes of one routed expert."""
    check_choice("precision", precision, WEIGHT_BYTES)
    return expert_params(config) * WEIGHT_BYTES[precision]


def cache_speed(
    reads: float,
    waits: float,
    slots: int,
    config: ModelConfig,
    gpu: Gpu,
    link: Link,
    precision: str = "4-bit",
    context: int = 4096,
) -> CacheSpeed:
    """Bound the tokens a second of a cache, under `ASSUMPTIONS`.

    A token takes max(what it reads in fast memory, what is read ahead) + what it waits for.

    Parameters
    ----------
    reads, waits
        Experts that a token reads and waits for in a layer, on average over the layers; what it
        waits for is read.
    slots
        Experts that each layer keeps.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    check_float("reads", reads, 0.0)
    check_float("waits", waits, 0.0, reads)
    missing = config.experts - check_int("slots", slots, 1, config.experts)
    stays = weight_bytes(config, precision)
    stays -= missing * config.moe_layers * expert_bytes(config, precision)
    inside = 1 / decode(config, gpu, context=context, precision=precision).tokens_per_s
    expert_s = config.moe_layers * expert_bytes(config, precision) / link.bytes_per_s
    waiting, ahead = waits * expert_s, (reads - waits) * expert_s
    return CacheSpeed(
        tokens_per_s=1 / (max(inside, ahead) + waiting),
        all_fit_tokens_per_s=1 / inside,
        memory_bytes=stays,
        fits=stays <= gpu.memory_bytes,
    )


def check_model(config: ModelConfig, trace: Trace) -> None:
    """Raise ValueError unless a model has the experts, choices and layers of a trace."""
    check_int(
        "experts of the model", config.experts, trace.n_experts, trace.n_experts,
        "as many as in the trace",
    )  # fmt: skip
    check_int(
        "choices of a token in the model", config.top_k, trace.k, trace.k, "as many as in the trace"
    )
    check_int(
        "layers with experts in the model", config.moe_layers, trace.n_layers,
        why="as many as the trace has, or more",
    )  # fmt: skip
