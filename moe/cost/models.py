"""The published models that the project knows, from `models.csv`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from .model import ModelConfig

# The table's columns in larger units, which people read more easily.
SCALED = {
    "published_total_b": ("published_total", 1e9),
    "published_active_b": ("published_active", 1e9),
    "training_tokens_t": ("training_tokens", 1e12),
    "gpu_hours_m": ("gpu_hours", 1e6),
    "other_hours_m": ("other_gpu_hours", 1e6),
}
WORDS = (
    "name", "model_type", "scoring", "attention", "active_convention", "stated_convention",
    "gpu", "source", "published_source", "published_check", "exception",
)  # fmt: skip


def _from_row(row: Mapping[str, str]) -> ModelConfig:
    values: dict[str, Any] = {}
    for column, text in row.items():
        if column in SCALED:
            name, unit = SCALED[column]
            values[name] = float(text or 0) * unit
        elif column in WORDS:
            values[column] = text
        elif column == "tied":
            values[column] = text == "1"
        elif column == "notes":
            values[column] = (text,) if text else ()
        else:
            values[column] = int(text or 0)
    values["attention"] = values["attention"] or "gqa"
    return ModelConfig(**values)


def _read_models() -> dict[str, ModelConfig]:
    text = files(__package__).joinpath("models.csv").read_text("utf-8")
    models = [_from_row(row) for row in csv.DictReader(text.splitlines())]
    return {model.name.lower(): model for model in models}


MODELS: dict[str, ModelConfig] = _read_models()
