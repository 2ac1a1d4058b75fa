"""`Figure`: a chart with its title and alt text, and the colours that all charts share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt

# Blue below the fair share, grey at it, orange above: over 3:1 on white and on near-black, and
# the same as in the run player.
IDLE, FAIR, TWICE, CROWDED = "#1F7DC3", "#868E99", "#B27655", "#DE6210"
BUSY = alt.Scale(domain=[0, 1, 2, 4], range=[IDLE, FAIR, TWICE, CROWDED], clamp=True)
CHOSEN, OTHER = "#12906C", FAIR
INK = {"light": "#0E1621", "dark": "#E6EBF2"}  # the theme's text colours
PAPER_INK = INK["light"]  # exported pictures are on white


Rows = list[dict[str, Any]]
Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.VConcatChart


@dataclass(frozen=True)
class Figure:
    """A chart, what it is called, and what it shows in words for those who do not see it.

    Attributes
    ----------
    chart
        Refers to its data by name, so that a page can send new data to a chart that is drawn.
    data
        Plain rows by that name.
    """

    title: str
    chart: Chart
    alt: str
    data: dict[str, Rows]

    def spec(self) -> dict[str, Any]:
        """Return the chart with its data as a Vega-Lite specification."""
        # Altair checked each part as it was made; checking every row of data again is slow.
        spec = self.chart.to_dict(validate=False)
        spec.pop("config", None)  # sizes of the default theme, which would fix the width
        return {**spec, "datasets": self.data}

    def image(self, kind: str, width: int = 720) -> bytes:
        """Return the figure as 'png' or 'svg' on white, with its title; needs no browser."""
        import vl_convert

        spec = self._on_white(width)
        if kind == "png":
            return bytes(vl_convert.vegalite_to_png(spec, scale=2))
        return str(vl_convert.vegalite_to_svg(spec)).encode()

    def page(self, width: int = 720) -> bytes:
        """Return the figure as an HTML page that brings its scripts along."""
        import vl_convert

        spec = {**self._on_white(width), "description": self.alt}
        return str(vl_convert.vegalite_to_html(spec, bundle=True)).encode()

    def _on_white(self, width: int) -> dict[str, Any]:
        title = {"text": self.title, "anchor": "start", "offset": 12}
        size = {} if isinstance(self.chart, alt.VConcatChart) else {"width": width}
        return {**self.spec(), **size, "title": title, "background": "white", "padding": 16}


def draw(name: str) -> alt.Chart:
    """Begin a chart of the data of that name."""
    return alt.Chart(alt.NamedData(name))


def percent_axis() -> alt.Axis:
    """Return an axis in whole percent with few ticks."""
    return alt.Axis(format="%", tickCount=4, title=None)
