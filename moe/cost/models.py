"""The published models that the project knows, from `models.csv`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .model import ModelConfig
from .tables import rows_of

# The table's columns in larger units, which people read more easily.
SCALED = {
    "published_total_b": ("published_total", 1e9),
    "published_active_b": ("published_active", 1e9),
    "training_tokens_t": ("training_tokens", 1e12),
    "gpu_hours_m": ("gpu_hours", 1e6),
    "other_hours_m": ("other_gpu_hours", 1e6),
}
READ: Mapping[str, Callable[[str], Any]] = {  # by the type of the field
    "int": lambda text: int(text or 0),
    "str": str,
    "bool": lambda text: text == "1",
    "tuple[str, ...]": lambda text: (text,) if text else (),
}


def _from_row(row: Mapping[str, str]) -> ModelConfig:
    values: dict[str, Any] = {}
    for column, text in row.items():
        if column in SCALED:
            name, unit = SCALED[column]
            values[name] = float(text or 0) * unit
        else:
            kind = str(ModelConfig.__dataclass_fields__[column].type)
            values[column] = READ[kind](text)
    values["attention"] = values["attention"] or "gqa"
    return ModelConfig(**values)


MODELS: dict[str, ModelConfig] = {
    model.name.lower(): model for model in map(_from_row, rows_of("models"))
}
