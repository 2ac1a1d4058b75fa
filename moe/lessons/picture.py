"""A figure of a lesson: drawn from a record, with a caption whose numbers come from it too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..pictures.figure import Figure

WIDTH = 640  # pixels; no wider than a page's column


@dataclass(frozen=True)
class Picture:
    """What a lesson's module draws.

    Attributes
    ----------
    figure
        The chart, with its data and what it shows in words.
    numbers
        What the caption in the lesson names in braces.
    """

    figure: Figure
    numbers: Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """A picture with its caption filled in; a notebook shows it as it is.

    Attributes
    ----------
    figure
        See `Picture`.
    caption
        The text of the lesson's fence, with the numbers in it.
    """

    figure: Figure
    caption: str

    def svg(self) -> str:
        """Return the drawing as SVG on white."""
        return self.figure.image("svg", WIDTH).decode()

    def __str__(self) -> str:
        return f"{self.figure.title}. {self.figure.alt} {self.caption}"

    __repr__ = __str__

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """What notebooks show: the drawing, or its words where nothing can be drawn."""
        return {"image/svg+xml": self.svg(), "text/plain": str(self)}
