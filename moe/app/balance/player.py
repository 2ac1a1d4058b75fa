"""The run player: two finished training runs, played and scrubbed in the visitor's browser.

Python sends the whole trajectory once; `player.js` draws it at the screen's own frame rate, so
that playing costs the server nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..shared.component import component

if TYPE_CHECKING:
    from streamlit.elements.lib.layout_utils import Height

_ICON = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="{}"/></svg>'
_RUN = """
<figure class="run">
  <figcaption><span class="swatch"></span><strong class="title"></strong></figcaption>
  <canvas class="bars" role="img"></canvas>
  <p class="sentence"></p>
  <canvas class="heat" role="img"></canvas>
</figure>
"""
_MARKUP = f"""
<div class="player moe-part" role="group" aria-label="Run player" data-state="loading">
  <div class="runs">{_RUN}{_RUN}</div>
  <div class="controls">
    <p class="step"><span>Step</span> <strong class="now"></strong> <span class="last"></span></p>
    <div class="buttons" role="group" aria-label="Playback">
      <button type="button" class="restart" aria-label="Restart" title="Restart">
        {_ICON.format("M5 5h2.5v14H5zM20 5v14L9 12z")}</button>
      <button type="button" class="back" aria-label="Step back" title="Step back">
        {_ICON.format("M15.5 5 17 6.5 11.5 12 17 17.5 15.5 19 8.5 12z")}</button>
      <button type="button" class="play" aria-label="Play" title="Play">
        <span class="when-still">{_ICON.format("M7 4.5v15L20 12z")}</span>
        <span class="when-playing">{_ICON.format("M6.5 5H10v14H6.5zM14 5h3.5v14H14z")}</span>
      </button>
      <button type="button" class="forward" aria-label="Step forward" title="Step forward">
        {_ICON.format("M8.5 5 7 6.5 12.5 12 7 17.5 8.5 19 15.5 12z")}</button>
    </div>
    <input type="range" class="scrub" aria-label="Step" min="0" max="0" step="1" value="0">
    <div class="speeds" role="group" aria-label="Speed">
      <label class="chip"><input type="radio" name="speed" value="1" checked>1×</label>
      <label class="chip"><input type="radio" name="speed" value="2">2×</label>
      <label class="chip"><input type="radio" name="speed" value="4">4×</label>
    </div>
    <label class="sort chip"><input type="checkbox">Busiest first</label>
  </div>
  <div class="verdict" aria-live="polite"></div>
  <p class="legend">
    <span>Work of an expert</span>
    <span class="scale"><i></i><b>idle</b><b>fair share</b><b>4× or more</b></span>
    <span>▲ more than 2×</span> <span>○ idle</span>
  </p>
  <div class="loss-legend">
    <strong>Loss</strong>
    <span class="line"><span class="swatch"></span><span class="name"></span></span>
    <span class="line"><span class="swatch"></span><span class="name"></span></span>
    <span class="note"></span>
  </div>
  <canvas class="loss" role="img"></canvas>
  <p class="live" aria-live="polite"></p>
</div>
"""
_player = component("run_player", __file__, _MARKUP, "player.js", "player.css")


def run_player(
    payload: Mapping[str, Any],
    *,
    key: str,
    held: bool = False,
    verdict: Sequence[str] = (),
    height: Height = "content",
) -> None:
    """Show two runs side by side: load bars, steps x experts heat maps and losses, all playable.

    The film starts when it is seen and begins again until it is touched (not for visitors who
    prefer reduced motion: they see the last step). A rerun with the same `payload["id"]` keeps the
    position, another id starts anew.

    For tests the component's root `.player` carries `data-state` (waiting, playing, paused or
    ended), `data-step` (the step shown), `data-frames` (pictures painted so far) and `data-ends`
    (how often it was at its end).

    Parameters
    ----------
    payload
        What `moe.app.balance.playback.playback` returns; see there for its keys.
    key
        Unique name of this player on the page.
    held
        Show the first step only, without controls, as a guess is asked for first; give a payload
        of that step, so that the answer does not even reach the browser.
    verdict
        Plain sentences that are shown once the film has been at its end.
    height
        Pixels, or "content" for as high as the content needs.
    """
    data = {**payload, "held": held, "verdict": list(verdict)}
    _player(key=key, data=data, height=height)
