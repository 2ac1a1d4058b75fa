"""What a size and a number of experts come to: loss, memory, bytes and speed, beside dense models.

The law gives the loss, `moe.cost` the rest. A model of N parameters per token is shaped as those of
the published runs: experts in every other block, four times as wide as the model, two matrices
each, and a matrix of relative positions in every block; embeddings are in no count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..cost import ModelConfig, find_gpu
from ..cost.decode import decode
from ..cost.memory import weight_bytes
from ..errors import check_float, check_int
from ..numbers import count, digits, gigabytes
from .runs import END, ROUTERS, STEPS, fitted, laws, runs, taken

SMALLEST, LARGEST = 1e6, 1e13  # parameters per token that are looked at
MOST_EXPERTS = 1_000_000
CONTEXT = 1024  # tokens so far, of one sequence
# Blocks of the published runs, by parameters per token: data/curves.csv.gz, num_blocks.
BLOCKS = {16_527_360: 6, 27_279_360: 8, 57_369_600: 10, 132_163_584: 12, 368_123_904: 12,
          1_308_819_456: 24}  # fmt: skip
SQUARES = 13  # matrices of d by d in a block: four of attention, eight of an expert, positions
MIXTURE, SAME_LOSS, SAME_MEMORY, SAME_SPEED = (
    "the mixture", "same loss", "same memory", "same speed",
)  # fmt: skip


def model_of(active: float, experts: int) -> ModelConfig:
    """A model with so many parameters per token and experts in every other block, or dense."""
    sizes, blocks = np.log10([*BLOCKS]), [*BLOCKS.values()]
    slope = (blocks[-1] - blocks[0]) / (sizes[-1] - sizes[0])
    place = float(np.log10(active))
    depth = float(np.interp(place, sizes, blocks))
    depth += slope * (max(place - sizes[-1], 0) + min(place - sizes[0], 0))
    layers = max(2 * round(depth / 2), 2)
    width = max(round(np.sqrt(active / (SQUARES * layers))), 1)
    routed = layers // 2 if experts > 1 else 0
    return ModelConfig(
        name=f"{count(active)} x {experts}",
        model_type="mixtral",
        layers=layers,
        dense_layers=layers - routed,
        d_model=width,
        d_ff_dense=4 * width,
        d_ff_expert=4 * width,
        experts=experts if routed else 0,
        shared_experts=0,
        d_ff_shared=0,
        top_k=int(routed > 0),
        heads=1,
        kv_heads=1,
        head_dim=width,
        vocab=1,
        tied=True,
        attention="mha",
        matrices=2,
        other=layers * width * width,
    )


@dataclass(frozen=True)
class Option:
    """One model of a comparison.

    Attributes
    ----------
    name
        What it is.
    active, experts, total
        Parameters per token, experts of a layer, all parameters.
    loss
        By the law, in nats.
    memory_bytes, bytes_per_token, tokens_per_s
        Weights; what a token reads, with the keys and values of those before it; the most tokens
        a second, all sequences together.
    measured
        Whether it lies among the runs that the law is fitted to: whether these have as many
        experts or more both below and above its size, or at it.
    """

    name: str
    active: float
    experts: int
    total: float
    loss: float
    memory_bytes: float
    bytes_per_token: float
    tokens_per_s: float
    measured: bool


@dataclass(frozen=True)
class Comparison:
    """A mixture and three dense models: of the same loss, the same memory, the same speed.

    Attributes
    ----------
    router, gpu, precision, batch
        What the law, the machine and the weights are.
    options
        The mixture, then the three.
    """

    router: str
    gpu: str
    precision: str
    batch: int
    options: tuple[Option, ...]

    @property
    def times_larger(self) -> float:
        """Parameters per token of the dense model with the same loss, over the mixture's."""
        mixture, same_loss, *_ = self.options
        return same_loss.active / mixture.active

    def rows(self) -> list[dict[str, str]]:
        """The figures as people read them, a row for each quantity."""
        quantities: dict[str, Callable[[Option], str]] = {
            "parameters per token": lambda one: count(one.active),
            "experts": lambda one: f"{one.experts:,}",
            "parameters in all": lambda one: count(one.total),
            "loss": lambda one: f"{one.loss:.3f}" + ("" if one.measured else " ?"),
            "weights": lambda one: gigabytes(one.memory_bytes / 1e9),
            "read for a token": lambda one: gigabytes(one.bytes_per_token / 1e9),
            "tokens a second": lambda one: count(one.tokens_per_s),
        }
        return [
            {"": quantity} | {one.name: words(one) for one in self.options}
            for quantity, words in quantities.items()
        ]

    def words(self) -> tuple[str, ...]:
        """What it comes to, in sentences."""
        mixture, same_loss, same_memory, same_speed = self.options
        said = [
            f"{mixture.experts:,} experts make {count(mixture.active)} parameters per token worth "
            f"{digits(self.times_larger)} times as many in a dense model: loss {mixture.loss:.3f}, "
            f"where a dense model of the same speed has {same_speed.loss:.3f}.",
            f"They need {digits(mixture.memory_bytes / same_loss.memory_bytes)} times the memory "
            f"of the dense model of that loss. A dense model that fills the same memory has loss "
            f"{same_memory.loss:.3f} and is "
            f"{digits(mixture.tokens_per_s / same_memory.tokens_per_s)} times slower.",
        ]
        if not all(option.measured for option in self.options):
            said.append(
                "A loss with a question mark is beyond the runs of the fit: there the formula "
                "guesses."
            )
        return (*said, border_words(self.router))

    def as_json(self) -> dict[str, Any]:
        """All figures and sentences."""
        law = fitted(self.router)
        return asdict(self) | {
            "words": list(self.words()),
            "law": asdict(law),
            "border": law.law.border,
        }


def compare(
    active: float,
    experts: int,
    router: str = ROUTERS[0],
    gpu: str = "m3-ultra",
    precision: str = "4-bit",
    batch: int = 1,
) -> Comparison:
    """A mixture beside the dense models of its loss, its memory and its speed.

    Parameters
    ----------
    active, experts
        Parameters per token, 10^6 to 10^12, and experts of a layer, of which a token uses one.
    router
        Whose law: 'S-Base', 'RL-R' or 'Hash'.
    gpu, precision, batch
        Machine, type of the weights, and sequences that are written at once.

    Raises
    ------
    ValueError
        If an argument is not allowed; the message names it.
    """
    active = check_float("active", active, SMALLEST, LARGEST / 10)
    experts = check_int("experts", experts, 2, MOST_EXPERTS)
    law, machine = fitted(router).law, find_gpu(gpu)
    trained = [(run.active, run.experts) for run in taken(runs(), router)]

    def option(name: str, size: float, number: int) -> Option:
        model = model_of(size, number)
        speed = decode(model, machine, batch=batch, context=CONTEXT, precision=precision)
        return Option(
            name=name,
            active=size,
            experts=number,
            total=float(model.total_params),
            loss=law.loss(size, number),
            memory_bytes=weight_bytes(model, precision),
            bytes_per_token=speed.bytes_per_token,
            tokens_per_s=speed.tokens_per_s,
            measured=_among(trained, size, number),
        )

    mixture = option(MIXTURE, active, experts)

    def as_fast(size: float) -> bool:
        return option("", size, 1).tokens_per_s >= mixture.tokens_per_s

    return Comparison(
        router,
        machine.name,
        precision,
        batch,
        (
            mixture,
            option(SAME_LOSS, law.worth(active, experts), 1),
            option(SAME_MEMORY, mixture.total, 1),
            option(SAME_SPEED, _largest(as_fast), 1),
        ),
    )


def _among(trained: list[tuple[int, int]], size: float, experts: int) -> bool:
    """Whether runs of as many experts or more are both below and above a size, or at it."""
    sizes = [active for active, most in trained if most >= experts]
    return bool(sizes) and 0.99 * min(sizes) <= size <= 1.01 * max(sizes)


def _largest(allowed: Callable[[float], bool]) -> float:
    """The largest size that is allowed, if all below it are, to a hundredth of a percent."""
    low, high = np.log(SMALLEST / 10), np.log(LARGEST)
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if allowed(float(np.exp(middle))) else (low, middle)
    return float(np.exp(low))


def border_words(router: str) -> str:
    """Where the formula says that experts stop to help, and why it is no law of nature."""
    end, first = fitted(router).law.border, fitted(router, str(STEPS[0])).law.border
    found = [one.law.border for one in laws() if one.router == router]
    always = "more at each later moment" if found == sorted(found) else "other numbers later"
    return (
        f"By this formula experts stop helping at {count(end)} parameters per token. Do not "
        "believe it: all runs were trained for equally many steps. The same formula, fitted to "
        f"the same runs after {STEPS[0]:,} of their steps, says {count(first)}, and {always}: "
        f"{end / first:.2g} times as many at the {END}. With more tokens for larger models the "
        "gap grows instead (arXiv 2402.07871)."
    )
