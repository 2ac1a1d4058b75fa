"""Cost of models and trainings as records for the command line, the pages and the docs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..checkpoints.local_cache import cached_folder
from ..numbers import short
from ..traffic import EVEN, find_traffic
from . import (
    CONVENTIONS,
    GPUS,
    MODELS,
    Check,
    Gpu,
    ModelConfig,
    Range,
    TrainingCost,
    check_models,
    check_numbers,
    decode,
    flops_per_token,
    model_from_config,
    weight_bytes,
)
from .decode import experts_touched
from .hardware import FIGURES
from .links import LINKS
from .memory import WEIGHT_BYTES


def find_model(text: str) -> ModelConfig:
    """Return a published model by name, or read the config.json that a text leads to.

    It may be the file, the folder that holds it, or a model's name in the local cache.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if text.lower() in MODELS:
        return MODELS[text.lower()]
    if Path(text).is_dir():
        return model_from_config(text)
    if folder := cached_folder(text):
        return model_from_config(folder, text)
    if text.endswith(".json") or os.sep in text:
        return model_from_config(text)
    raise ValueError(
        f"model: got {text!r}, allowed is a config.json, its folder, a model's name in the local "
        f"cache or one of {', '.join(sorted(MODELS))}"
    )


def parse_range(name: str, text: str) -> Range:
    """Read '0.39' as one value and '0.25:0.35:0.43' as low, middle, high.

    Raises
    ------
    ValueError
        If it is neither.
    """
    try:
        values = [float(part) for part in text.split(":")]
    except ValueError:
        values = []
    try:
        return Range(*(3 * values if len(values) == 1 else values))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: got {text!r}, allowed is VALUE or LOW:MIDDLE:HIGH, numbers >= 0 of which "
            "none is below the one before"
        ) from error


def model_rows() -> list[dict[str, Any]]:
    """Return one record per published model: parameters, cache of keys and values, sources."""
    return [model_row(model) for model in MODELS.values()]


def model_row(model: ModelConfig) -> dict[str, Any]:
    """Return the parameters of one model in the three conventions, beside the published ones."""
    return {
        "name": model.name.lower(),
        "title": model.name,
        "total_params": model.total_params,
        "published_total": model.published_total or None,
        "active_params": model.active_params,
        "published_active": model.published_active or None,
        "published_convention": model.active_convention,
        "convention_basis": model.convention_basis,
        **_active(model),
        "mtp_params": model.mtp_params,
        "layers": model.layers,
        "experts": model.experts,
        "top_k": model.top_k,
        "shared_experts": model.shared_experts,
        "attention": model.attention,
        "kv_bytes_per_token": model.kv_bytes_per_token(),
        "training_tokens": model.training_tokens or None,
        "gpu_hours": model.gpu_hours or None,
        "pretraining_hours": model.pretraining_hours or None,
        "gpu": model.gpu or None,
        "source": model.source,
        "published_source": model.published_source,
        "published_check": model.published_check,
        "exception": model.exception,
        "notes": list(model.notes),
    }


def _active(model: ModelConfig) -> dict[str, int]:
    """Active parameters in every convention."""
    return {f"active_{name}": model.active(name) for name in CONVENTIONS}


def hardware_rows() -> list[dict[str, Any]]:
    """Return one record per machine or link: its figures, each with source and how it was read."""
    machines = [
        {
            "key": gpu.key,
            "name": gpu.name,
            "kind": gpu.kind,
            **{figure: getattr(gpu, figure) or None for figure in FIGURES},
            "link_gb_s": None,
            "sources": dict(gpu.sources),
            "checks": dict(gpu.checks),
        }
        for gpu in GPUS.values()
    ]
    links = [
        {
            "key": link.key,
            "name": link.name,
            "kind": "link",
            **dict.fromkeys(FIGURES),
            "link_gb_s": link.gb_s,
            "sources": {"link_gb_s": link.source},
            "checks": {"link_gb_s": link.check},
        }
        for link in LINKS.values()
    ]
    return machines + links


def check_rows() -> list[Check]:
    """Return every computed figure beside the published one: single figures, then all models."""
    return check_numbers() + check_models()


def training_row(cost: TrainingCost) -> dict[str, Any]:
    """Return the cost of a training as one flat record, with low and high beside the middle."""
    result = cost.result()
    model = cost.config
    row: dict[str, Any] = {
        "model": model.name.lower(),
        "total_params": model.total_params,
        **_active(model),
        "mtp_params": model.mtp_params,
        "gpu": cost.hardware.key,
        "tokens": cost.n_tokens,
        "flops_per_token": result.flops_per_token,
        "train_flops": result.train_flops,
    }
    ranges = {
        "gpu_hours": result.gpu_hours,
        "dollars": result.dollars,
        "energy_mwh": result.energy_mwh,
        "mfu": cost.mfu,
    }
    if result.days is not None:
        ranges["days"] = result.days
    for name, span in ranges.items():
        row |= {name: span.mid, f"{name}_low": span.low, f"{name}_high": span.high}
    published = cost.published_hours
    return row | {
        "published_gpu_hours": model.gpu_hours if published else None,
        "published_pretraining_hours": published or None,
        "published_hours_dollars": (
            model.gpu_hours * cost.dollars_per_hour.mid if published else None
        ),
        "mfu_of_published_hours": cost.mfu_of_hours(published) if published else None,
        "flops_by_part": asdict(flops_per_token(model, cost.context, cost.causal, True, cost.mtp)),
        "weight_bytes": {name: weight_bytes(model, name) for name in WEIGHT_BYTES},
        "kv_bytes_per_token": model.kv_bytes_per_token(),
        "assumptions": [asdict(assumption) for assumption in result.assumptions],
        "notes": cost_notes(cost),
    }


def cost_notes(cost: TrainingCost) -> list[str]:
    """Return what the figures do not count though the model has it or the caller asked for it."""
    counted = cost.config.mtp_layers and cost.formula == "counted"
    if counted or not cost.mtp:
        return list(cost.config.notes)
    return [*cost.config.notes, f"{cost.mtp_words}: asking for it changes no figure."]


def published_words(row: dict[str, Any]) -> str:
    """Write the published hours of a `training_row`, and the utilisation that follows from them."""
    before, all_hours = row["published_pretraining_hours"], row["published_gpu_hours"]
    rent = f"${short(row['published_hours_dollars'])} at the middle rent"
    of_these = (
        f"{before:,.0f} of them of pre-training, which mean"
        if before < all_hours
        else "not told apart by stage; if all are of pre-training they mean"
    )
    return (
        f"published: {all_hours:,.0f} GPU-hours, {rent}; {of_these} a utilisation of "
        f"{row['mfu_of_published_hours']:.1%}"
    )


def parameter_words(row: dict[str, Any]) -> str:
    """Write total and active parameters of a record, the latter in every convention."""
    total, both, head, neither = (
        short(row[key])
        for key in ("total_params", "active_with_input", "active_head_only", "active_neither")
    )
    module = (
        f"; multi-token prediction {short(row['mtp_params'])} more" if row["mtp_params"] else ""
    )
    return (
        f"parameters: {total} in all{module}; a token uses {head} with the output matrix, {both} "
        f"with the input table too, {neither} with neither"
    )


def decoding_rows(
    gpu: Gpu,
    models: Iterable[ModelConfig] | None = None,
    *,
    batch: int = 1,
    context: int = 4096,
    precision: str = "4-bit",
    n_gpus: int = 1,
    traffic: str = EVEN,
) -> list[dict[str, Any]]:
    """Return one record per model: whether it fits, and how fast it can write.

    Models are the published ones by default. Fields are those of `Decoding`, with name, title,
    notes, tokens_per_s and limit; with other than even traffic also what the even formula says,
    experts_even, and in words whose popularity was taken.
    """
    found = find_traffic(traffic)
    rows = []
    for model in MODELS.values() if models is None else models:
        bounds = decode(
            model, gpu, batch=batch, context=context, precision=precision, n_gpus=n_gpus,
            traffic=found,
        )  # fmt: skip
        speed = {"tokens_per_s": bounds.tokens_per_s, "limit": bounds.limit}
        named = {"name": model.name.lower(), "title": model.name, "notes": list(model.notes)}
        beside: dict[str, Any] = {}
        if found is not None:
            beside["experts_even"] = experts_touched(model, batch)
            if model.moe_layers:
                beside["traffic"] = found.scaled(model.experts, model.top_k).describe()
        rows.append(named | asdict(bounds) | speed | beside)
    return rows
