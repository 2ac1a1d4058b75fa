"""The component that draws both runs' planes and asks the server for the next steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..shared.component import component

SCRIPTS = ("plane_draw.js", "plane.js", "plane_move.js")  # one after the other
_ICON = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="{}"/></svg>'
_BUTTONS = (
    ("play", "Play", "M7 4.5v15L20 12z"),
    ("pause", "Pause", "M6.5 5H10v14H6.5zM14 5h3.5v14H14z"),
    ("step", "Step", "M5 5l9.5 7L5 19zM16 5h2.5v14H16z"),
    ("reset", "Reset", "M12 4.5a7.5 7.5 0 1 0 7.5 7.5h-2.6A4.9 4.9 0 1 1 12 7.1V10l5-4.2-5-4.2z"),
)
_RUN = """
<figure class="run">
  <figcaption><strong class="letter">{0}</strong> <span class="title"></span></figcaption>
  <div class="stage">
    <canvas class="plane" role="img"></canvas>
    <button type="button" class="handle" hidden></button>
  </div>
  <p class="words"></p>
</figure>
"""
_MARKUP = f"""
<section class="moe-plane moe-part" data-moe="plane" data-state="loading" data-step="0"
  data-frames="0" data-max-vio="" aria-label="Two models learning on the plane">
  <div class="bar">
    <div class="buttons" role="group" aria-label="Run">
      {
    "".join(
        f'<button type="button" class="{kind}">{_ICON.format(path)}<span>{name}</span></button>'
        for kind, name, path in _BUTTONS
    )
}
    </div>
    <p class="now">Step <strong class="step-number">0</strong></p>
    <div class="layers" role="group" aria-label="Show">
      <label><input type="checkbox" class="answers" checked>Answers</label>
      <label><input type="checkbox" class="points" checked>Points</label>
      <label><input type="checkbox" class="apart">Difference</label>
    </div>
  </div>
  <div class="runs">{_RUN.format("A")}{_RUN.format("B")}</div>
  <div class="moving" role="group" aria-label="Move an expert" hidden>
    <label>Move expert <select class="expert"></select></label>
    <label>of run <select class="side"><option value="0">A</option><option value="1">B</option>
      </select></label>
    <label class="start">Head start <input type="range" class="lift" min="-4" max="4" step="0.1"
      value="0"></label>
    <p>Drag a ringed letter: the border of two experts is always square to the line between their
      rings. A head start moves an expert's borders in parallel.</p>
  </div>
  <p class="difference"></p>
  <p class="legend"></p>
  <canvas class="loss" role="img"></canvas>
  <p class="live" aria-live="polite"></p>
</section>
"""
_plane = component("plane", __file__, _MARKUP, *SCRIPTS, "plane.css")


def plane_view(payload: Mapping[str, Any], *, key: str, on_wish: Callable[[], None]) -> None:
    """Draw two runs on the plane; `on_wish` is called before the next run of the fragment.

    For tests and screen readers the root `[data-moe="plane"]` carries `data-state` (playing,
    paused or ended), `data-step`, `data-frames` (pictures painted so far), `data-max-vio` (of
    run A) and after a handle was dragged `data-differ`, the pixels of the picture drawn in the
    browser whose expert the server's answer does not confirm.

    Parameters
    ----------
    payload
        `about`, `titles` and `recipe` of a pair of runs, a `chunk` of its pictures, the `rate` of
        steps a second, `view` ('territories' or 'geometry'), `drags` (which runs' experts can be
        moved), and `answers`, the number of the wish that it answers.
    key
        Its name; the wish is in `st.session_state[key].wish`: `n` (its number), `id` (of the
        pair), `steps`, and `move` ([run, expert, slope, offset]), `reset` or `resume`.
    """
    _plane(key=key, data=dict(payload), on_wish_change=on_wish)
