"""A small language model around the layer: it reads bytes, and trains in minutes on two cores.

Its public names, each loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoint import load_model as load_model
    from .checkpoint import save_model as save_model
    from .config import LMConfig as LMConfig
    from .model import LanguageModel as LanguageModel
    from .sampling import sample as sample

_HOME = {
    "LMConfig": "config",
    "LanguageModel": "model",
    "load_model": "checkpoint",
    "sample": "sampling",
    "save_model": "checkpoint",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
