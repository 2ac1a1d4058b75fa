"""The component of the page Play: it draws a run, and wishes for the steps that it needs next.

`player.js` is told by `data`, and tells by the trigger `want`; both are described there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import streamlit as st

from ...data.corpus import DOMAINS
from ...training.controls import ALL_TEXTS
from ..shared.component import component
from ..shared.stage import STAGE
from ..shared.stage.small_run import MOST_STEPS
from .plan import EXPERTS, PER_TOKEN, ROOMS
from .presets import PRESETS

KEY = "play"
_BALANCING = (
    ("off", "off"), ("gentle", "gentle"), ("strong", "strong"), ("deepseek", "DeepSeek's"),
)  # fmt: skip


def _radios(name: str, title: str, choices: Iterable[tuple[str, str]], checked: str) -> str:
    chips = "".join(
        f'<label class="chip"><input type="radio" name="{name}" value="{escape(value)}"'
        f"{' checked' if value == checked else ''}>{escape(label)}</label>"
        for value, label in choices
    )
    return (
        f'<div class="control"><span class="title" id="play-{name}">{title}</span>'
        f'<div class="chips" role="radiogroup" aria-labelledby="play-{name}">{chips}</div></div>'
    )


def _room(room: float | None) -> tuple[str, str]:
    return ("none", "no limit") if room is None else (f"{room:g}", f"{room:g}×")


def markup() -> str:
    """Return the component's html: all of its controls, before any run is known."""
    presets = "".join(
        f'<button type="button" class="preset" data-run="{escape(preset.plan.written())}" '
        f'data-hint="{escape(preset.hint)}">{escape(preset.name)}</button>'
        for preset in PRESETS
    )
    texts = [(ALL_TEXTS, "all six kinds"), *((name, DOMAINS[name][0]) for name in DOMAINS)]
    options = "".join(f'<option value="{name}">{escape(label)}</option>' for name, label in texts)
    return f"""
<div class="play moe-part" data-moe="play" data-state="waiting" data-step="0" data-frames="0"
  data-max-vio="" data-most="{MOST_STEPS}" role="group" aria-label="A model in training">
  <div class="presets" role="group" aria-label="Runs to begin with">{presets}</div>
  <p class="hint"></p>
  <div class="scene">
    <div class="picture">
      <div class="frame"><canvas class="moe-stage" role="img"
        aria-label="Letters go through a router to experts"></canvas>
        <div class="boxes"></div></div>
      <p class="words"></p>
    </div>
    <div class="controls">
      <div class="buttons" role="group" aria-label="Playback">
        <button type="button" class="go">Play</button>
        <button type="button" class="one">Step</button>
        <button type="button" class="reset">Reset</button>
      </div>
      <p class="step">Step <strong class="now">0</strong> <span class="note"></span></p>
      {_radios("balancing", "Balancing", _BALANCING, "off")}
      {_radios("k", "Experts per character", [(str(k), str(k)) for k in PER_TOKEN], "2")}
      {_radios("room", "Room per expert", map(_room, ROOMS), "none")}
      <label class="control"><span class="title">Text</span>
        <select class="text">{options}</select></label>
      {_radios("experts", "Experts (starts anew)", [(str(n), str(n)) for n in EXPERTS], "8")}
      <p class="about">Click an expert to switch it off or on.</p>
      <label class="tick"><input type="checkbox" class="ghost" checked>
        Show the last run too</label>
    </div>
  </div>
  <p class="live" aria-live="polite"></p>
</div>
"""


_player = component("play", __file__, markup, *STAGE, "player.js", "player.css")


def player(data: Mapping[str, Any]) -> None:
    """Show the run; what the browser wishes for is in `wish()` when the page runs anew."""
    _player(key=KEY, data=dict(data), on_want_change=lambda: None)


def wish() -> Any:
    """What the browser wished for and made this run of the page, or None."""
    return (st.session_state.get(KEY) or {}).get("want")
