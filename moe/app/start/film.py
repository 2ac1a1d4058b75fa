"""The film of the first page: a run that collapses, and one button that balances the same run.

Everything is sent once and drawn in the browser by `film.js`, also without a server.
"""

from __future__ import annotations

from html import escape
from typing import Any

from ..shared.component import component
from ..shared.question import Question
from ..shared.stage import STAGE
from .opening import Opening, news

_MARKUP = """
<div class="opening moe-part" data-moe="film" data-state="waiting">
  <p class="news">{news}</p>
  <figure class="picture">
    <canvas class="moe-stage" role="img" aria-label="Letters, a router and eight experts"></canvas>
    <figcaption>
      <span class="at"></span> <span class="words"></span>
      <button type="button" class="pause" aria-pressed="false">Pause</button>
    </figcaption>
    <p class="reply" aria-live="polite"></p>
  </figure>
  <div class="act">
    <fieldset class="guess"><legend></legend></fieldset>
    <button type="button" class="balance">Balance the work</button>
    <a class="live" href="play">See it live →</a>
  </div>
</div>
"""


def _emphasised(text: str) -> str:
    """Markdown with emphasis only, as HTML."""
    parts = escape(text).split("*")
    parts[1::2] = [f"<em>{part}</em>" for part in parts[1::2]]
    return "".join(parts)


def markup() -> str:
    """Return the component's html, with the news in it."""
    return _MARKUP.format(news=_emphasised(news()))


_film = component("opening", __file__, markup, *STAGE, "film.js", "film.css")


def packet(opening: Opening, question: Question, guess: str = "") -> dict[str, Any]:
    """Return all that the browser needs for the film.

    Parameters
    ----------
    guess
        Name of the answer that was given before.
    """
    return {
        "film": opening.packed,
        "question": {"words": question.words, "options": dict(question.options)},
        "replies": opening.replies(question),
        "guess": guess,
    }


def show_film(data: dict[str, Any], key: str = "film") -> Any:
    """Show the film; the result's `guess` is the name of the answer that was clicked."""
    return _film(key=key, data=data, default={"guess": ""}, on_guess_change=lambda: None)
