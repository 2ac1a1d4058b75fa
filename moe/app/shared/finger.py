"""Pictures that move under the finger: charts and words that follow a slider while it is dragged.

Streamlit tells Python of a slider only once it is let go. So Python computes a picture for every
position beforehand and sends all of them once, and the browser shows the one of the position under
the finger. The slider stays an ordinary one: on release the page runs as ever, the address follows,
and the picture at rest is the one that the finger left.

A page says which sliders it has, where they rest, and what is drawn for any position::

    rate = st.select_slider("Step", RATES, RATES[1], key="rate", **BOUND)
    finger = Finger([Slider("rate", RATES, listed=True)], rate=rate)
    finger.words(lambda rate: story.words(rate))
    finger.show(lambda rate: charts.response(respond(rate)), "response")
    finger.watch()  # once, after the last of them

With several sliders, each moves alone while the others rest, and the one that was touched last
counts. All figures of a chart are to be one drawing (`drawn_once`) of different rows, and fixed
domains of the axes keep them from jumping. Only rows that differ are sent for each position.

How it works. The frame of the app holds one hidden `<input class="moe-finger">` (`INPUT`). The
component of `watch`, `finger.js`, looks at the slider's own inputs and writes "key=value" there
("key=low..high" for a range), as an `input` event. Charts bind a parameter to that element and keep
the rows whose `at` is the same; an empty `at` marks the rows of the rest. Words stand in elements
with `data-finger-words`, whose text the component sets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import streamlit as st

from ...pictures.figure import Figure
from . import parts
from .component import UNSEEN, component

INPUT = '<input class="moe-finger" type="hidden" value="">' + UNSEEN
REST = ""  # where no slider has been touched
PARTS = ("layer", "hconcat", "vconcat", "concat")  # of a specification that holds views
KEY = re.compile(r"[a-z][a-z0-9_]*")
_watcher = component("finger", __file__, UNSEEN, "finger.js", on_page=True)


@dataclass(frozen=True)
class Slider:
    """A slider whose positions are drawn beforehand.

    Parameters
    ----------
    key
        Of the widget: small letters, digits and underscores.
    positions
        Values that are drawn, pairs for a range; between two of them the nearer one is shown.
    listed
        Whether it is a `st.select_slider`, whose positions are all of its options in their order.

    Raises
    ------
    ValueError
        If the key has other letters, or there is no position.
    """

    key: str
    positions: Sequence[Any]
    listed: bool = False

    def __post_init__(self) -> None:
        if not KEY.fullmatch(self.key):
            raise ValueError(f"key: got {self.key!r}, allowed are small letters, digits and _")
        if not len(self.positions):
            raise ValueError(f"positions: got none for {self.key}, allowed is one or more")

    def names(self) -> list[str]:
        """Return what each position is called, such as "rate=0.003" or "price=1..5"."""
        return [name_of(self.key, position) for position in self.positions]

    def places(self) -> list[list[float]]:
        """Return the numbers that the browser's own sliders have at each position."""
        if self.listed:
            return [[at] for at in range(len(self.positions))]
        return [list(map(float, _ends(position))) for position in self.positions]


def name_of(key: str, position: Any) -> str:
    """Return what a position of a slider is called."""
    return f"{key}={'..'.join(map(str, _ends(position)))}"


def _ends(position: Any) -> tuple[Any, ...]:
    return position if isinstance(position, tuple) else (position,)


class Finger:
    """The sliders of a page, and what follows them; see the head of this file.

    Parameters
    ----------
    sliders
        Those that move something.
    rest
        The value of each slider now, by its key.

    Raises
    ------
    ValueError
        If the values are not those of the sliders.
    """

    def __init__(self, sliders: Iterable[Slider], **rest: Any) -> None:
        self.sliders = {slider.key: slider for slider in sliders}
        if set(self.sliders) != set(rest):
            raise ValueError(f"rest: got {sorted(rest)}, allowed is {sorted(self.sliders)}")
        self._rest = rest
        self._words: dict[str, dict[str, str]] = {}

    def positions(self) -> dict[str, dict[str, Any]]:
        """Return the values of all sliders by the name of the position: the rest, then all."""
        at: dict[str, dict[str, Any]] = {REST: self._rest}
        for key, slider in self.sliders.items():
            for name, position in zip(slider.names(), slider.positions, strict=True):
                at[name] = {**self._rest, key: position}
        return at

    def show(
        self,
        figure_of: Callable[..., Figure],
        key: str,
        titled: bool = True,
        moving: Sequence[str] = (),
    ) -> Figure:
        """Draw the figure of every position as one chart, and return the one of the rest.

        Parameters
        ----------
        figure_of
            Gets the values of all sliders by their keys.
        key
            Of the chart, and of its words.
        moving
            Names of data that move when there are more positions, if this chart is to be kept
            until then. By default those that move now.
        """
        figures = {name: figure_of(**at) for name, at in self.positions().items()}
        if titled:
            titles = {name: figure.title for name, figure in figures.items()}
            self._say("h5", 'class="moe-title"', f"{key}_title", titles)
        alts = {name: figure.alt for name, figure in figures.items()}
        self._say("p", 'class="moe-spoken"', f"{key}_alt", alts)
        figure, moved = joined(figures, moving)
        parts.draw_chart(figure, following(figure.themed(parts.ink()), self.sliders, moved), key)
        return figures[REST]

    def words(self, words_of: Callable[..., str], name: str = "words", small: bool = False) -> None:
        """Show a paragraph that follows the sliders.

        Parameters
        ----------
        words_of
            Gets the values of all sliders by their keys, and returns plain text.
        name
            Of the paragraph, one of its own on the page.
        small
            Whether it is as small as other paragraphs.
        """
        texts = {at: words_of(**values) for at, values in self.positions().items()}
        look = "" if small else 'class="moe-words" '
        self._say("p", f'{look}aria-live="polite"', name, texts)

    def lines(self, lines_of: Callable[..., str], name: str) -> None:
        """Show lines of letters of one width that follow the sliders; as `words` does."""
        texts = {at: lines_of(**values) for at, values in self.positions().items()}
        self._say("pre", 'class="moe-lines"', name, texts)

    def _say(self, tag: str, attributes: str, name: str, texts: dict[str, str]) -> None:
        """Show an element of text, and keep its texts for the browser if they differ."""
        follows = ""
        if len(set(texts.values())) > 1:
            self._words[name] = texts
            follows = f' data-finger-words="{escape(name)}"'
        st.html(f"<{tag} {attributes}{follows}>{escape(texts[REST])}</{tag}>")

    def sent(self) -> dict[str, Any]:
        """Return what the browser gets: names and places of all positions, and the words."""
        sliders = {
            key: {"names": slider.names(), "places": slider.places()}
            for key, slider in self.sliders.items()
        }
        return {"sliders": sliders, "words": self._words}

    def watch(self, key: str = "finger") -> None:
        """Let the browser look at the sliders from now on."""
        _watcher(key=key, data=self.sent())


def joined(figures: Mapping[str, Figure], moving: Sequence[str] = ()) -> tuple[Figure, list[str]]:
    """Join figures of one drawing, given by the name of the position, the rest among them.

    Returns
    -------
    The figure of the rest with the rows of all, and the names of the data that are not the same in
    all: their rows say in `at` which position they are of.

    Raises
    ------
    ValueError
        If the figures are not one drawing.
    """
    rest = figures[REST]
    others = [name for name, one in figures.items() if one.drawing.text != rest.drawing.text]
    if others:
        raise ValueError(f"figures: got other drawings for {others}, allowed is one for all")
    moved = [
        name for name, rows in rest.data.items()
        if name in moving or any(one.data[name] != rows for one in figures.values())
    ]  # fmt: skip
    marked = {
        name: [{"at": at, **row} for at, one in figures.items() for row in one.data[name]]
        for name in moved
    }
    return replace(rest, data={**rest.data, **marked}), moved


def following(spec: dict[str, Any], keys: Iterable[str], moved: Sequence[str]) -> dict[str, Any]:
    """Return the specification of joined figures, with the rows of one position at a time.

    It is the same wherever the sliders are: the browser draws a chart anew if it changes.

    Parameters
    ----------
    keys
        Of the sliders that move the chart.
    moved
        Names of the data that have rows for each position.
    """
    if not moved:
        return spec
    bound = {"element": ".moe-finger", "event": "input"}
    ours = f"indexof({json.dumps(list(keys))}, split(finger, '=')[0]) >= 0"
    params = [
        {"name": "finger", "value": REST, "bind": bound},
        {"name": "finger_at", "expr": f"{ours} ? finger : '{REST}'"},
    ]
    return {**_filtered(spec, moved), "params": [*spec.get("params", []), *params]}


def _filtered(view: dict[str, Any], moved: Sequence[str]) -> dict[str, Any]:
    """Return a view in which whatever takes such data takes the rows of the position only."""
    view = dict(view)
    if view.get("data", {}).get("name") in moved:
        here = {"filter": "datum.at === finger_at"}
        view["transform"] = [here, *view.get("transform", [])]
    for part in PARTS:
        if part in view:
            view[part] = [_filtered(inner, moved) for inner in view[part]]
    return view
