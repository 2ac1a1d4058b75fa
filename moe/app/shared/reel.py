"""A film of a finished run: charts and words that follow its own slider, and play by themselves.

Like pictures that move under the finger (`finger.py`), of which it is the slider: all positions are
computed beforehand and sent once, so that playing costs the server nothing::

    finger = Finger([Slider("iteration", positions)], iteration=positions[0])
    finger.show(lambda iteration: charts.shares(run, iteration), "shares")
    reel(finger, "think", "Iteration", [f"Iteration {at}" for at in positions])

It starts when it is seen, and rests at its end. Who prefers reduced motion sees the end at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from .component import component
from .finger import Finger

_ICON = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="{}"/></svg>'
_MARKUP = f"""
<div class="reel moe-part" role="group" aria-label="Film" data-state="waiting">
  <button type="button" class="play" aria-label="Play the film">
    <span class="when-still">{_ICON.format("M7 4.5v15L20 12z")}</span>
    <span class="when-playing">{_ICON.format("M6.5 5H10v14H6.5zM14 5h3.5v14H14z")}</span>
  </button>
  <input type="range" class="scrub" min="0" max="0" step="1" value="0">
  <strong class="at"></strong>
</div>
"""
_reel = component("reel", __file__, _MARKUP, "reel.js", "reel.css")


def packet(finger: Finger, label: str, shown: Sequence[str]) -> dict[str, Any]:
    """Return what the browser gets: the positions of the one slider, and the words of each.

    Raises
    ------
    ValueError
        If the finger has more than one slider, or not as many positions as are named.
    """
    sent = finger.sent()
    if len(sent["sliders"]) != 1:
        raise ValueError(f"finger: got {len(sent['sliders'])} sliders, allowed is one")
    ((_, slider),) = sent["sliders"].items()
    names = slider["names"]
    if len(shown) != len(names):
        raise ValueError(f"shown: got {len(shown)} names, allowed are {len(names)}")
    payload = {"label": label, "names": names, "shown": list(shown), "words": sent["words"]}
    digest = hashlib.blake2b(json.dumps(payload, sort_keys=True).encode(), digest_size=8)
    return {"id": digest.hexdigest()} | payload


def reel(finger: Finger, key: str, label: str, shown: Sequence[str]) -> None:
    """Show the film's controls; call it once, after all that follows.

    Parameters
    ----------
    finger
        With one slider, which rests at the film's first position.
    key
        Of this part on the page.
    label
        Of its slider.
    shown
        What is said of each position beside the slider.
    """
    _reel(key=key, data=packet(finger, label, shown))
