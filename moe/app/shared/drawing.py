"""What Altair need not do while a visitor waits: check every part, and search all its classes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from altair.utils import schemapi
from altair.vegalite import schema


def draw_quickly() -> None:
    """Let Altair draw without checks, and keep what it would work out anew for each short name.

    Tests check every part of every chart. For each "field:Q" Altair makes a table of all its
    classes, which takes 3 ms; a chart has a dozen of them.
    """
    schemapi.disable_debug_mode()
    _keep_classes()


@cache
def _keep_classes() -> None:
    usual: Any = getattr(schemapi, "_FromDict", None)
    if usual is not None:  # else it is another Altair, which draws as it does
        schemapi._FromDict = _kept(usual)  # type: ignore[misc]


def _kept(usual: Any) -> Any:
    """Return Altair's way from plain values to its classes, with one table for all charts."""
    classes = usual(schema.core.VegaLiteSchema._default_wrapper_classes()).class_dict

    class Kept(usual):  # type: ignore[misc]
        def __init__(self, wrapper_classes: Iterable[type[Any]], /) -> None:
            self.class_dict = classes

    return Kept
