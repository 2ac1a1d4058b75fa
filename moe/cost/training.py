"""What a training costs: operations to GPU-hours, money and energy, as ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isclose

from ..errors import check_choice, check_float
from ..settings import Settings, option
from .flops import flops_per_token
from .hardware import PRECISIONS, Gpu, find_gpu
from .model import ModelConfig
from .models import MODELS
from .shape import MOST

LARGEST = 1e30  # of a number that is multiplied with others
FORMULAS = ("counted", "6ND")


@dataclass(frozen=True)
class Range:
    """An assumption or a result that is not known to a digit: low, middle, high."""

    low: float
    mid: float
    high: float

    def __post_init__(self) -> None:
        for name in ("low", "mid", "high"):
            check_float(name, getattr(self, name), 0.0)
        if not self.low <= self.mid <= self.high:
            raise ValueError(
                f"range: got {self.low:g}, {self.mid:g}, {self.high:g}, "
                "allowed is low <= mid <= high"
            )

    @classmethod
    def exact(cls, value: float) -> Range:
        """Range of one value."""
        return cls(value, value, value)

    def map(self, rule: Callable[[float], float]) -> Range:
        """Apply a rule that never falls."""
        return Range(rule(self.low), rule(self.mid), rule(self.high))

    def inverse(self, rule: Callable[[float], float]) -> Range:
        """Apply a rule that never rises: the low end gives the high one."""
        return Range(rule(self.high), rule(self.mid), rule(self.low))

    def times(self, other: Range) -> Range:
        """Product, ends with ends."""
        return Range(self.low * other.low, self.mid * other.mid, self.high * other.high)

    def holds(self, value: float) -> bool:
        """Whether the value lies within."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Assumption:
    """One figure that a result rests on: its name, value, unit, and where it comes from."""

    name: str
    value: Range
    unit: str
    source: str


# Low: Llama-3.1-70B's and DeepSeek-V2's hours (25 %). Middle: DeepSeek-V3's, causal. High: the
# best stage of Llama-3.1-405B.
DEFAULT_MFU = Range(0.25, 0.389, 0.43)
DEFAULT_PRICE = Range(1.5, 2.0, 4.0)
DEFAULT_PUE = Range(1.1, 1.2, 1.4)
DEFAULT_POWER_SHARE = Range(0.7, 0.85, 1.0)


@dataclass(frozen=True)
class TrainingCost(Settings):
    """Every assumption of a training's cost; `result` computes from them alone.

    `model` may be a shape. `mfu` is the model FLOP utilisation, of the peak at `precision`; print
    has BF16 there even for FP8 trainings. '6ND' is six times active parameters (with the input
    table, as the rule of thumb has it) times tokens.
    """

    model: str | ModelConfig = option("deepseek-v3", "A name from `moe models`.")
    tokens: float = option(0.0, "Training tokens; 0: the published number.", low=0, high=LARGEST)
    gpu: str = option("h800", "A key from `moe hardware`.")
    mfu: Range = option(DEFAULT_MFU, "Share of the peak that useful operations reach.")
    dollars_per_hour: Range = option(DEFAULT_PRICE, "Rent of one GPU for an hour.")
    context: int = option(4096, "Tokens of a sequence.", low=1, high=MOST)
    causal: bool = option(True, "Attention counts only the tokens before, or all.")
    formula: str = option("counted", "'counted', or '6ND' for the rule of thumb.", among=FORMULAS)
    mtp: bool = option(False, "Count multi-token prediction.")
    precision: str = option(
        "bf16", "Whose peak the utilisation is of: bf16, fp8 or fp4.", among=PRECISIONS
    )
    extra_hours: float = option(
        0.0, "GPU-hours beside pre-training, such as post-training.", low=0, high=LARGEST
    )
    power_share: Range = option(
        DEFAULT_POWER_SHARE, "Share of the board power that a busy GPU draws on average."
    )
    pue: Range = option(DEFAULT_PUE, "Power of the building over that of its machines.")
    n_gpus: int = option(0, "GPUs of the cluster, to get days.", low=0, high=MOST)
    active_params: float = option(
        0.0,
        "Operations are 6 x these, without attention; 0: those of the shape.",
        low=0,
        high=LARGEST,
    )

    def __post_init__(self) -> None:
        if isinstance(self.model, str):
            check_choice("model", self.model.lower(), MODELS)
        find_gpu(self.gpu)
        super().__post_init__()
        check_float("mfu", self.mfu.low, 1 / LARGEST, 1.0)
        check_float("mfu", self.mfu.high, 0.0, 1.0)
        check_float("dollars_per_hour", self.dollars_per_hour.high, 0.0, LARGEST)
        check_float("power_share", self.power_share.high, 0.0, 1.0)
        check_float("pue", self.pue.low, 1.0)
        check_float("pue", self.pue.high, 1.0, LARGEST)
        if not self.n_tokens:
            raise ValueError(
                f"tokens: got 0, and {self.config.name} has no published number; "
                "allowed is a number > 0"
            )

    @property
    def config(self) -> ModelConfig:
        """The model's shape."""
        return MODELS[self.model.lower()] if isinstance(self.model, str) else self.model

    @property
    def hardware(self) -> Gpu:
        """The GPU."""
        return find_gpu(self.gpu)

    @property
    def n_tokens(self) -> float:
        """Training tokens, the published number if none is given."""
        return self.tokens or self.config.training_tokens

    @property
    def flops_per_token(self) -> float:
        """Operations of one token, forward and backward."""
        if self.active_params:
            return 6.0 * self.active_params
        if self.formula == "6ND":
            return 6.0 * self.config.active("with_input")
        return _counted(self.config, self.context, self.causal, self.mtp)

    @property
    def train_flops(self) -> float:
        """Operations of the whole training."""
        return self.flops_per_token * self.n_tokens

    def gpu_hours(self, mfu: float) -> float:
        """GPU-hours at one utilisation, the extra ones included."""
        peak = self.hardware.peak_flops(self.precision)
        return self.train_flops / (mfu * peak * 3600) + self.extra_hours

    def mfu_of_hours(self, gpu_hours: float) -> float:
        """Utilisation that the given pre-training hours mean."""
        check_float("gpu_hours", gpu_hours, 0.0, open_low=True)
        return self.train_flops / (gpu_hours * 3600 * self.hardware.peak_flops(self.precision))

    @property
    def hours(self) -> Range:
        """GPU-hours over the range of utilisations, the extra ones included."""
        return self.mfu.inverse(self.gpu_hours)

    @property
    def dollars(self) -> Range:
        """Rent of these hours."""
        return self.hours.times(self.dollars_per_hour)

    def result(self) -> TrainingResult:
        """Compute hours, money and energy."""
        hours = self.hours
        watts = self.power_share.times(self.pue).map(lambda share: share * self.hardware.power_w)
        return TrainingResult(
            flops_per_token=self.flops_per_token,
            train_flops=self.train_flops,
            gpu_hours=hours,
            dollars=self.dollars,
            energy_mwh=hours.times(watts).map(lambda watt_hours: watt_hours / 1e6),
            days=hours.map(lambda h: h / 24 / self.n_gpus) if self.n_gpus else None,
            assumptions=self.assumptions(),
        )

    def assumptions(self) -> tuple[Assumption, ...]:
        """Every figure that the result rests on, with its unit and its source."""
        gpu, exact = self.hardware, Range.exact
        published = "published" if not self.tokens else "given"
        peak = f"{self.precision}_tflops"
        return (
            Assumption("tokens", exact(self.n_tokens), "tokens", published),
            Assumption(
                "flops_per_token",
                exact(self.flops_per_token),
                "operations",
                self._how_counted(),
            ),
            Assumption(
                "peak",
                exact(gpu.peak_flops(self.precision)),
                "operations/s",
                f"{gpu.name}, {self.precision} dense: {gpu.sources.get(peak, 'see bf16')}",
            ),
            Assumption("mfu", self.mfu, "share of peak", _source(self.mfu, DEFAULT_MFU)),
            Assumption(
                "dollars_per_hour",
                self.dollars_per_hour,
                "$ per GPU and hour",
                _source(self.dollars_per_hour, DEFAULT_PRICE),
            ),
            Assumption("extra_hours", exact(self.extra_hours), "GPU-hours", "given"),
            Assumption("power", exact(gpu.power_w), "W per GPU", gpu.sources.get("power_w", "")),
            Assumption(
                "power_share",
                self.power_share,
                "share of board power",
                _source(self.power_share, DEFAULT_POWER_SHARE),
            ),
            Assumption("pue", self.pue, "building / GPUs", _source(self.pue, DEFAULT_PUE)),
        )

    def _how_counted(self) -> str:
        if self.active_params:
            return f"6 x {self.active_params:.4g} active parameters"
        if self.formula == "6ND":
            return "6 x active parameters with the input table; no attention, no context"
        seen = "causal" if self.causal else "all tokens seen"
        counted = f"formula {self.formula}, context {self.context}, {seen}"
        return f"{counted}; {self.mtp_words}" if self.mtp else counted

    @property
    def mtp_words(self) -> str:
        """What becomes of multi-token prediction if it is asked for, and why."""
        modules = self.config.mtp_layers
        if self.active_params or self.formula == "6ND":
            return "multi-token prediction is not counted by 6 x parameters"
        if not modules:
            return "this model has no multi-token prediction"
        plural = "s" if modules > 1 else ""
        return f"{modules} module{plural} of multi-token prediction counted"

    @property
    def published_hours(self) -> float:
        """Published GPU-hours of pre-training, 0 if none are for these tokens and this GPU."""
        model = self.config
        same = bool(model.gpu_hours) and find_gpu(model.gpu) is self.hardware
        of_these = not self.active_params and isclose(self.n_tokens, model.training_tokens)
        return model.pretraining_hours if same and of_these else 0.0

    def with_model(self, model: str | ModelConfig) -> TrainingCost:
        """Return the same assumptions for another model and its published number of tokens."""
        return replace(self, model=model, tokens=0.0, active_params=0.0)


@lru_cache(maxsize=256)
def _counted(config: ModelConfig, context: int, causal: bool, mtp: bool) -> float:
    """Operations of one token, counted once for all rents and utilisations."""
    return flops_per_token(config, context, causal, True, mtp).total


@dataclass(frozen=True)
class TrainingResult:
    """Cost of a training; ranges run from the cheapest assumptions to the dearest.

    Attributes
    ----------
    flops_per_token, train_flops
        Operations, forward and backward.
    gpu_hours, dollars, energy_mwh, days
        `days` is None unless the number of GPUs is known.
    assumptions
        What they rest on.
    """

    flops_per_token: float
    train_flops: float
    gpu_hours: Range
    dollars: Range
    energy_mwh: Range
    days: Range | None
    assumptions: tuple[Assumption, ...]


_DEFAULT_SOURCES = {
    DEFAULT_MFU: "default: Llama-3.1-70B and DeepSeek-V2 low, DeepSeek-V3 middle, "
    "the best stage of Llama-3.1-405B high",
    DEFAULT_PRICE: "default: $2 is DeepSeek's own assumption; cloud prices vary around it",
    DEFAULT_PUE: "default: large data centres, unverified",
    DEFAULT_POWER_SHARE: "default: busy GPUs, unverified",
}


def _source(value: Range, default: Range) -> str:
    return _DEFAULT_SOURCES[default] if value == default else "given"
