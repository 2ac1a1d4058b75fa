"""`Figure`: a chart with its title, its data and what it shows in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ParamSpec, cast

import altair as alt

from .palette import MUTED, PAPER_INK

Rows = list[dict[str, Any]]
Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.VConcatChart
P = ParamSpec("P")
# Pixels between the names of a key: the reader's letters may be wider than those it was drawn with.
KEY_GAP = 26
CAPTION_LETTERS = 110  # of a line below a title, at its size and the usual width


@dataclass(frozen=True, eq=False)
class Drawing:
    """A chart that refers to its data by name, so that a page can send it new data."""

    chart: Chart

    @cached_property
    def text(self) -> str:
        """The Vega-Lite specification, without data, as JSON."""
        # Altair checked each part as it was made; checking all of them again is slow.
        spec = self.chart.to_dict(validate=False)
        spec.pop("config", None)  # sizes of the default theme, which would fix the width
        return json.dumps(spec)


def drawn_once(make: Callable[P, Chart]) -> Callable[P, Drawing]:
    """Keep what a function drew for its arguments: Altair takes longer than all the numbers.

    A browser also keeps a chart that stays the same, and only moves its marks to new data.
    """

    @lru_cache(maxsize=32)
    def kept(*args: P.args, **kwargs: P.kwargs) -> Drawing:
        return Drawing(make(*args, **kwargs))

    return cast(Callable[P, Drawing], kept)


@dataclass(frozen=True)
class Figure:
    """A chart, what it is called, and what it shows in words for those who do not see it.

    Attributes
    ----------
    data
        Plain rows by the names that the drawing uses.
    name
        A title that stays when the data change, if the title does not.
    """

    title: str
    drawing: Drawing
    alt: str
    data: dict[str, Rows]
    name: str = ""

    @property
    def chart(self) -> Chart:
        """The chart without its data."""
        return self.drawing.chart

    def spec(self) -> dict[str, Any]:
        """Return the chart with its data as a Vega-Lite specification."""
        return {**json.loads(self.drawing.text), "datasets": self.data}

    def themed(self, ink: str) -> dict[str, Any]:
        """Return the specification without data for a page, in colours that suit its ink.

        Where each row has its height, that of the chart is worked out here: Vega would warn that
        it can fit the width only.
        """
        spec: dict[str, Any] = json.loads(self.drawing.text)
        muted = {"labelColor": MUTED[ink], "titleColor": MUTED[ink]}
        spec["config"] = {"axis": muted, "legend": muted}
        if isinstance(spec.get("height"), dict):
            spec["height"] = spec["height"]["step"] * self._n_rows(spec)
            spec["autosize"] = {"type": "fit-x", "contains": "padding"}
        return spec

    def _n_rows(self, spec: dict[str, Any]) -> int:
        """Rows of a chart that has one for each category."""
        data, y = next(
            (one.get("data") or spec["data"], one["encoding"]["y"])
            for one in spec["layer"]
            if one["encoding"].get("y", {}).get("type") in ("nominal", "ordinal")
        )
        return len({row[y["field"]] for row in self.data[data["name"]]})

    def image(self, kind: str, width: int = 720, caption: Sequence[str] = ()) -> bytes:
        """Return the figure as 'png' or 'svg' on white, with its title; needs no browser.

        Parameters
        ----------
        caption
            Lines below the title, which are wrapped where they are too long.
        """
        import vl_convert

        spec = self._on_white(width)
        spec["title"] |= {
            "subtitle": [part for line in caption for part in _wrapped(line)],
            "subtitleColor": MUTED[PAPER_INK],
        }
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
        spec = {**self.spec(), **size, "title": title, "background": "white", "padding": 16}
        return spec | {"config": {"legend": {"columnPadding": KEY_GAP}}}


def _wrapped(line: str) -> list[str]:
    """Cut a line of a caption, such as an address, which has no spaces, to the figure's width."""
    return [line[at : at + CAPTION_LETTERS] for at in range(0, len(line), CAPTION_LETTERS)]


def spoken(rows: Rows, name: str = "name") -> str:
    """Return the name and the label of each row, for the words of a figure."""
    return "; ".join(f"{row[name]}: {row['label']}" for row in rows)


def draw(name: str) -> alt.Chart:
    """Begin a chart of the data of that name."""
    return alt.Chart(alt.NamedData(name))
