"""Computed figures beside published ones: `published.csv` has the values, their sources, limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .decode import ExchangeBound
from .model import ModelConfig
from .models import MODELS
from .serving import ServingDay
from .tables import rows_of
from .training import Range, TrainingCost

TOTAL_LIMIT, ACTIVE_LIMIT = 0.01, 0.03
V3_HOURS = (2664e3, 119e3, 5e3)  # pre-training, longer contexts, post-training
V3_TOKENS_PER_DAY, V3_GPUS = 272.80e9, 2048
READ_PER_NODE, WRITTEN_PER_NODE = 73.7e3, 14.8e3  # tokens a second, serving overview


@dataclass(frozen=True)
class Check:
    """One computed figure beside the published one.

    Attributes
    ----------
    what, unit
        In words, and its unit.
    computed
        Middle of the range, where the computation gives one.
    low, high
        Ends of that range; equal to `computed` otherwise.
    published
        As printed by the source.
    tolerance
        Allowed relative difference; None where the range has to hold the published value.
    verdict
        'agrees', 'differs', 'listed' (differs, and `note` says why), or 'unverified' (the
        published value was not read anywhere, so that nothing follows).
    source, check, note
        Of the published value; how it was read; what else to know.
    """

    what: str
    unit: str
    computed: float
    low: float
    high: float
    published: float
    tolerance: float | None
    verdict: str
    source: str
    check: str
    note: str

    @property
    def difference(self) -> float:
        """Computed over published, less one."""
        return self.computed / self.published - 1

    @property
    def comparison(self) -> str:
        """The difference in per cent, or whether a range holds the published value."""
        if self.tolerance is not None:
            return f"{self.difference:+.2%}"
        return "within" if self.low <= self.published <= self.high else "outside"


def _hours_from_6nd(name: str) -> Range:
    return TrainingCost(name, gpu="h100", formula="6ND").result().gpu_hours


def _hours_from_rate() -> float:
    return MODELS["deepseek-v3"].training_tokens / V3_TOKENS_PER_DAY * 24 * V3_GPUS


def _nodes() -> float:
    day, seconds = ServingDay(), 24 * 3600
    reading = day.input_tokens / seconds / READ_PER_NODE
    return reading + day.output_tokens / seconds / WRITTEN_PER_NODE


def _mfu(causal: bool) -> float:
    return TrainingCost("deepseek-v3", causal=causal).mfu_of_hours(_hours_from_rate())


def _gflop(name: str) -> float:
    return MODELS[name].flops_per_token(4096, causal=True, training=True) / 1e9


FIGURES: Mapping[str, Callable[[], float | Range]] = {
    "v3_dollars": lambda: 2.0 * sum(V3_HOURS),
    "v3_gflop": lambda: _gflop("deepseek-v3"),
    "v2_gflop": lambda: _gflop("deepseek-v2"),
    "qwen_gflop": lambda: _gflop("qwen2.5-72b"),
    "llama_gflop": lambda: _gflop("llama-3.1-405b"),
    "v3_mfu_causal": lambda: _mfu(True),
    "v3_mfu_full": lambda: _mfu(False),
    "v3_hours": lambda: TrainingCost("deepseek-v3").gpu_hours(0.3894),
    "v3_hours_from_rate": _hours_from_rate,
    "v3_mtp": lambda: MODELS["deepseek-v3"].mtp_params,
    "v3_kv": lambda: MODELS["deepseek-v3"].kv_bytes_per_token(),
    "qwen_kv": lambda: MODELS["qwen2.5-72b"].kv_bytes_per_token(),
    "llama_kv": lambda: MODELS["llama-3.1-405b"].kv_bytes_per_token(),
    "decode_bound": lambda: ExchangeBound(50.0).seconds_per_token,
    "decode_bound_nvlink": lambda: ExchangeBound(900.0).seconds_per_token,
    "serving_cost": lambda: ServingDay().cost,
    "serving_income": lambda: ServingDay().income,
    "serving_margin": lambda: ServingDay().profit_over_cost,
    "serving_nodes": _nodes,
    "llama_8b_hours": lambda: _hours_from_6nd("llama-3.1-8b"),
    "llama_70b_hours": lambda: _hours_from_6nd("llama-3.1-70b"),
    "llama_405b_hours": lambda: _hours_from_6nd("llama-3.1-405b"),
    "r1_dollars": lambda: 2.0 * 147e3,
    "v2_hours_per_t": lambda: 1 - 172.8 / 300.6,
}


def _verdict(within: bool, check: str, listed: bool) -> str:
    if check == "unverified":
        return "unverified"
    return "agrees" if within else "listed" if listed else "differs"


def check_numbers() -> list[Check]:
    """Every figure of `published.csv` beside its formula."""
    return [_check(row) for row in rows_of("published")]


def _check(row: Mapping[str, str]) -> Check:
    value, published = FIGURES[row["key"]](), float(row["value"])
    span = value if isinstance(value, Range) else Range.exact(float(value))
    tolerance = None if row["tolerance"] == "range" else float(row["tolerance"])
    if tolerance is None:
        within = span.holds(published)
    else:
        within = abs(span.mid / published - 1) <= tolerance + 1e-12
    return Check(
        what=row["what"],
        unit=row["unit"],
        computed=span.mid,
        low=span.low,
        high=span.high,
        published=published,
        tolerance=tolerance,
        verdict=_verdict(within, row["check"], row["note"].startswith("differs")),
        source=row["source"],
        check=row["check"],
        note=row["note"],
    )


def check_models() -> list[Check]:
    """Total and active parameters of every model of `MODELS` beside the published ones."""
    return [
        check
        for model in MODELS.values()
        for check in (
            _of_model(model, "total", model.total_params, model.published_total, TOTAL_LIMIT),
            _of_model(model, "active", model.active_params, model.published_active, ACTIVE_LIMIT),
        )
    ]


def _of_model(
    model: ModelConfig, part: str, computed: int, published: float, limit: float
) -> Check:
    within = abs(computed / published - 1) <= limit
    listed = part in model.exception.partition(":")[0]
    convention = f"convention: {model.active_convention}, {model.convention_basis}"
    return Check(
        what=f"{model.name}: {part} parameters",
        unit="parameters",
        computed=computed,
        low=computed,
        high=computed,
        published=published,
        tolerance=limit,
        verdict=_verdict(within, model.published_check, listed),
        source=model.published_source,
        check=model.published_check,
        note=model.exception.partition(": ")[2]
        if listed
        else convention
        if part == "active"
        else "",
    )
