"""The published models that the project knows: `configs.json`, and `models.csv` on each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .from_config import model_from_config
from .model import ModelConfig
from .tables import configs, rows_of

# The table's columns in larger units, which people read more easily.
SCALED = {
    "published_total_b": ("published_total", 1e9),
    "published_active_b": ("published_active", 1e9),
    "training_tokens_t": ("training_tokens", 1e12),
    "gpu_hours_m": ("gpu_hours", 1e6),
    "other_hours_m": ("other_gpu_hours", 1e6),
}


def _from_row(row: Mapping[str, str], config: Mapping[str, Any]) -> ModelConfig:
    """A model of the shape that its configuration has, and what the row says of it."""
    shape = model_from_config(config, row["name"])
    values: dict[str, Any] = {"notes": (*shape.notes, *filter(None, [row["notes"]]))}
    for column, text in row.items():
        if column in SCALED:
            name, unit = SCALED[column]
            values[name] = float(text or 0) * unit
        elif column not in values:
            values[column] = text
    return replace(shape, **values)


_CONFIGS = configs()
MODELS: dict[str, ModelConfig] = {
    row["name"].lower(): _from_row(row, _CONFIGS[row["name"]]) for row in rows_of("models")
}
