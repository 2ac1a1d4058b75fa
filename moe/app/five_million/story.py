"""From GPU-hours to money: the $5.6M of DeepSeek-V3, its assumptions, and what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from ...cost import GPUS, LEFT_OUT, MODELS, Range, TrainingCost, find_gpu
from ...cost.checks import V3_GPUS, V3_HOURS
from ...cost.training import DEFAULT_MFU, DEFAULT_POWER_SHARE, DEFAULT_PRICE, DEFAULT_PUE
from ...numbers import count, dollars

V3 = "deepseek-v3"
MFU_PERCENT, PRICES = (5.0, 70.0), (0.5, 10.0)  # ends of the sliders
MFU_STEP, PRICE_STEP = 1.0, 0.25
CONTEXTS = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
OWN_SIZE = "A model of my own, by its size"
MARKS = {"second-hand": "†", "unverified": "‡"}  # of figures that were not read at their source
PARTS = (
    "Pre-training: reading {tokens} pieces of words",
    "Learning to read longer texts",
    "Post-training: learning to answer",
)
MODEL_CHOICES = {model.name: key for key, model in MODELS.items() if model.training_tokens}
GPU_CHOICES = {gpu.name: key for key, gpu in GPUS.items() if gpu.nvlink_gb_s}


def from_to(span: Range, write: Any = dollars) -> str:
    """'$3.8M to $17M', or one value if both ends are written alike."""
    low, high = write(span.low), write(span.high)
    return low if low == high else f"{low} to {high}"


# The published figure --------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A part of the published training: GPU-hours, and dollars at the published rent."""

    name: str
    gpu_hours: float
    dollars: float

    def sum_words(self) -> str:
        """'$5.328M = 2,664,000 hours × $2'."""
        rent = dollars(self.dollars / self.gpu_hours, 3)
        return f"{dollars(self.dollars, 4)} = {self.gpu_hours:,.0f} hours × {rent}"


def published_parts() -> list[Part]:
    """The three parts of DeepSeek-V3's published cost."""
    price, tokens = DEFAULT_PRICE.mid, count(MODELS[V3].training_tokens, 3)
    return [
        Part(name.format(tokens=tokens), hours, hours * price)
        for name, hours in zip(PARTS, V3_HOURS, strict=True)
    ]


def published_dollars() -> float:
    """DeepSeek-V3's published cost."""
    return sum(part.dollars for part in published_parts())


def lead() -> str:
    """What was said, in one sentence."""
    return (
        f"In December 2024 DeepSeek wrote that training its model V3 cost "
        f"**{dollars(published_dollars(), 4)}**."
    )


def paid_words() -> str:
    """What the published figure pays for."""
    hours = sum(part.gpu_hours for part in published_parts())
    first = published_parts()[0]
    return (
        f"That is {count(hours, 4)} hours of work of one computer chip, shared out over "
        f"{V3_GPUS:,} chips, times a rent of {dollars(DEFAULT_PRICE.mid, 1)} an hour. Nearly all "
        f"of it ({first.dollars / published_dollars():.0%}) is one long run over the text. It is "
        "the price of the last run, not of making the model."
    )


def learnt_words() -> str:
    """What stays in mind, which does not tell what others estimate."""
    return (
        f"The {dollars(published_dollars())} are the rent of one training run, not the price of "
        "making the model."
    )


@dataclass(frozen=True)
class Beside:
    """A cost beside the published figure, in dollars where anybody has given one."""

    what: str
    dollars: Range | None
    about: str
    source: str
    check: str

    def amount(self) -> str:
        """The dollars in words, with a mark where the figure was not read at its source."""
        if self.dollars is None:
            return "no figure"
        return from_to(self.dollars) + MARKS.get(self.check, "")


def beside() -> list[Beside]:
    """The published figure, then what it leaves out, each with its source."""
    run = published_dollars()
    first = Beside(
        "The published figure: the final run", Range.exact(run),
        "GPU-hours times rent.", "V3 report (arXiv 2412.19437) Table 1", "verified",
    )  # fmt: skip
    return [first] + [
        Beside(item.what, item.dollars(run), item.about, item.source, item.check)
        for item in LEFT_OUT
    ]


def beside_rows() -> list[dict[str, str]]:
    """The same costs as rows of a table."""
    return [
        {"Cost": b.what, "Dollars": b.amount(), "What is known": b.about, "Source": b.source}
        for b in beside()
    ]


def left_out_words() -> str:
    """What the figure leaves out, in two sentences."""
    by_key = {item.key: item.dollars(published_dollars()) for item in LEFT_OUT}
    trials, servers = by_key["trials"], by_key["servers"]
    assert trials and servers
    return (
        f"The report itself says that trial runs and research are not in it. Outsiders guess "
        f"{from_to(trials)} for those; one firm estimates {dollars(servers.mid)} for buying all of "
        "the company's servers, which also do other work, and that is disputed. Nobody has "
        "published what people and data cost."
    )


# A training under assumptions ------------------------------------------------------------------


@dataclass(frozen=True)
class Assumed:
    """The controls of the page, in the units that people read.

    Parameters
    ----------
    model
        A name of `MODEL_CHOICES`, or `OWN_SIZE`.
    active_billions
        Active parameters, for `OWN_SIZE` only.
    tokens_trillions
        Training tokens.
    mfu_percent, price, power_percent, pue
        Low and high end; the middle is the usual one if it lies between, else half-way.
    gpu
        A name of `GPU_CHOICES`.
    extra_hours_thousands
        GPU-hours beside pre-training.
    """

    model: str = MODELS[V3].name
    active_billions: float = 37.0
    tokens_trillions: float = 14.8
    mfu_percent: tuple[float, float] = (100 * DEFAULT_MFU.low, 100 * DEFAULT_MFU.high)
    price: tuple[float, float] = (DEFAULT_PRICE.low, DEFAULT_PRICE.high)
    gpu: str = GPUS["h800-sxm"].name
    precision: str = "bf16"
    context: int = 4096
    causal: bool = True
    formula: str = "counted"
    mtp: bool = False
    extra_hours_thousands: float = MODELS[V3].other_gpu_hours / 1e3
    n_gpus: int = V3_GPUS
    power_percent: tuple[float, float] = (
        100 * DEFAULT_POWER_SHARE.low, 100 * DEFAULT_POWER_SHARE.high,
    )  # fmt: skip
    pue: tuple[float, float] = (DEFAULT_PUE.low, DEFAULT_PUE.high)

    def moved(self, mfu: tuple[float, float], price: tuple[float, float]) -> Assumed:
        """Return the same assumptions with the page's two sliders elsewhere."""
        return replace(self, mfu_percent=mfu, price=price)

    def cost(self) -> TrainingCost:
        """Return the same assumptions as `moe.cost` takes them."""
        by_size = self.model == OWN_SIZE
        return TrainingCost(
            model=V3 if by_size else MODEL_CHOICES[self.model],
            active_params=1e9 * self.active_billions if by_size else 0.0,
            tokens=1e12 * self.tokens_trillions,
            gpu=GPU_CHOICES[self.gpu],
            mfu=between(self.mfu_percent, DEFAULT_MFU, 100),
            dollars_per_hour=between(self.price, DEFAULT_PRICE),
            context=self.context,
            causal=self.causal,
            formula=self.formula,
            mtp=self.mtp,
            precision=self.precision,
            extra_hours=1e3 * self.extra_hours_thousands,
            n_gpus=self.n_gpus,
            power_share=between(self.power_percent, DEFAULT_POWER_SHARE, 100),
            pue=between(self.pue, DEFAULT_PUE),
        )


@lru_cache(maxsize=1024)  # a slider that is let go leaves most positions of the others as they were
def rented(assumed: Assumed) -> tuple[TrainingCost, Range]:
    """Return the assumptions as `moe.cost` takes them, and the rent that they give."""
    cost = assumed.cost()
    return cost, cost.dollars


def between(ends: tuple[float, float], usual: Range, unit: float = 1.0) -> Range:
    """Range of two ends; the middle is the usual one if it lies between, else half-way."""
    low, high = ends[0] / unit, ends[1] / unit
    return Range(low, usual.mid if low <= usual.mid <= high else (low + high) / 2, high)


def usual_tokens(model: str) -> float:
    """Published training tokens of a choice, in trillions."""
    return MODELS[MODEL_CHOICES.get(model, V3)].training_tokens / 1e12


def usual_gpu(model: str) -> str:
    """Name of the GPU that a choice was trained on."""
    return find_gpu(MODELS[MODEL_CHOICES.get(model, V3)].gpu or "h800").name


def usual_extra_hours(model: str) -> float:
    """Published GPU-hours beside pre-training, in thousands; 0 where none are published."""
    return 0.0 if model == OWN_SIZE else MODELS[MODEL_CHOICES[model]].other_gpu_hours / 1e3


def figures(cost: TrainingCost) -> list[tuple[str, str, str]]:
    """Name, middle and range of each result."""
    result = cost.result()
    shown = [
        ("Hours of one chip", result.gpu_hours, count),
        ("Rent", result.dollars, dollars),
        ("Electricity, MWh", result.energy_mwh, count),
    ]
    if result.days:
        shown.append((f"Days on {cost.n_gpus:,} chips", result.days, count))
    return [(name, write(span.mid), from_to(span, write)) for name, span, write in shown]


def result_words(rent: Range) -> str:
    """The rent, and how far it reaches."""
    return f"Rent: about {dollars(rent.mid)}, somewhere from {from_to(rent)}."


def reach(cost: TrainingCost) -> Range:
    """The least and the most that the page's sliders allow, which bounds its picture."""
    busy = Range(MFU_PERCENT[0] / 100, DEFAULT_MFU.mid, MFU_PERCENT[1] / 100)
    rents = Range(PRICES[0], DEFAULT_PRICE.mid, PRICES[1])
    return replace(cost, mfu=busy, dollars_per_hour=rents).dollars


def published_words(cost: TrainingCost) -> str:
    """How the result compares with published hours, if these exist for the same GPU."""
    model, result = cost.config, cost.result()
    if not cost.published_hours:
        return "No hours are published for this model on this chip with this much text."
    mfu = cost.mfu_of_hours(cost.published_hours)
    where = "inside" if result.gpu_hours.holds(model.gpu_hours) else "outside"
    whose = "DeepSeek says" if model.name.startswith("DeepSeek") else f"{model.name}'s makers say"
    return (
        f"{whose} {count(model.gpu_hours, 4)} hours; that is {where} our range, and means its "
        f"chips worked at {mfu:.0%} of their top speed."
    )


def positions(assumed: Assumed) -> dict[str, list[tuple[float, float]]]:
    """Where the ends of each slider of the page can go while the other end rests."""
    sliders = {
        "mfu": (assumed.mfu_percent, MFU_PERCENT, MFU_STEP),
        "price": (assumed.price, PRICES, PRICE_STEP),
    }
    return {key: _pairs(*slider) for key, slider in sliders.items()}


def _pairs(
    ends: tuple[float, float], bounds: tuple[float, float], step: float
) -> list[tuple[float, float]]:
    n = round((bounds[1] - bounds[0]) / step) + 1
    places = [bounds[0] + at * step for at in range(n)]
    first = [(place, ends[1]) for place in places if place <= ends[1]]
    return first + [(ends[0], place) for place in places if place >= ends[0]]


@dataclass(frozen=True)
class Swing:
    """Dollars if one assumption goes from its low end to its high end, the rest in the middle."""

    name: str
    setting: str
    low: float
    high: float


def swings(cost: TrainingCost) -> list[Swing]:
    """What changing each assumption by itself does to the cost, the strongest first."""

    def price(**changed: Any) -> float:
        return replace(cost, **changed).dollars.mid

    exact, hours, mfu = Range.exact, cost.dollars_per_hour, cost.mfu
    tokens = cost.n_tokens
    assumptions: list[tuple[str, str, list[dict[str, Any]]]] = [
        ("How busy the chips are", f"{mfu.low:.0%} to {mfu.high:.0%} of their peak",
         [{"mfu": exact(mfu.low)}, {"mfu": exact(mfu.high)}]),
        ("Rent of a chip", f"${hours.low:.2f} to ${hours.high:.2f} an hour",
         [{"dollars_per_hour": exact(hours.low)}, {"dollars_per_hour": exact(hours.high)}]),
        ("Amount of text", f"{count(tokens / 2)} to {count(tokens * 2)} tokens: half, double",
         [{"tokens": tokens / 2}, {"tokens": tokens * 2}]),
        ("Whose peak the share is of", "16-bit or 8-bit numbers",
         [{"precision": "bf16"}, {"precision": "fp8"}]),
    ]  # fmt: skip
    if not cost.active_params:
        assumptions += [
            ("How work is counted", "part by part, or 6 times parameters",
             [{"formula": "counted"}, {"formula": "6ND"}]),
            ("Attention", "to earlier tokens only, or to all",
             [{"causal": True}, {"causal": False}]),
            ("Length of a text", "4,096 or 32,768 tokens", [{"context": 4096}, {"context": 32768}]),
        ]  # fmt: skip
    costs = [(name, setting, [price(**end) for end in ends]) for name, setting, ends in assumptions]
    swings = [Swing(name, setting, min(both), max(both)) for name, setting, both in costs]
    return sorted(swings, key=lambda swing: swing.low - swing.high)


def swing_words(swings: list[Swing]) -> str:
    """Which assumption matters most and which least."""
    first, last = swings[0], swings[-1]
    return (
        f"“{first.name}” moves the result most ({dollars(first.low)} to {dollars(first.high)}), "
        f"“{last.name}” least ({dollars(last.low)} to {dollars(last.high)})."
    )


def assumption_list(cost: TrainingCost) -> str:
    """Every assumption behind the result as a list in Markdown."""
    four = partial(count, n=4)
    return "\n".join(
        f"- **{a.name.replace('_', ' ')}**: {from_to(a.value, four)} {a.unit}; {a.source}"
        for a in cost.result().assumptions
    )
