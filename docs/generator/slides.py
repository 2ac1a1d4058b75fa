"""Slides of the course plans: one HTML file for each deck that asks nobody for anything, and a PDF.

A deck is written as lessons are, below `docs/slides/`; each heading begins a slide. Its figures
are those of the lessons and of the pages on methods, and its questions those of the lessons.
The PDF is printed from the HTML where a browser is there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape, unescape
from pathlib import Path

from moe.lessons import prompt, show

from .boxes import least_width
from .site import described

HERE = Path(__file__).resolve().parent.parent
FOLDER = "slides"
DECKS = ("one-hour", "three-hours")
METHODS = ("routers", "balancers")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_LINK = re.compile(rf"\[([^\]]+)\]\({FOLDER}/([\w-]+)\.md\)")
_PRINT = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer",
    "--disable-background-networking",
)  # fmt: skip


_TEXT = re.compile(
    r"---\ntitle: (?P<title>.+)\nminutes: (?P<minutes>\d+)\n---\n(?P<body>.*)", re.DOTALL
)
_FENCE = re.compile(r"^```(\w+) ([\w.]+)\n```$", re.MULTILINE)


@dataclass(frozen=True)
class Slide:
    """One slide.

    Attributes
    ----------
    parts
        Kind of each part, 'prose', 'figure' or 'question', with its text or its name.
    """

    title: str
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Deck:
    """A deck as it was read; the slide with its title comes before `slides`."""

    title: str
    minutes: int
    slides: tuple[Slide, ...]


@cache
def deck(name: str) -> Deck:
    """Read a deck's text.

    Raises
    ------
    ValueError
        If it has no head, or no slide.
    """
    read = _TEXT.fullmatch(_beside(f"{name}.md"))
    before, *rest = re.split(r"^## (.+)$", read["body"] if read else "", flags=re.MULTILINE)
    if read is None or not rest or before.strip():
        raise ValueError(f"deck {name}: got no title, minutes and slides, allowed are all three")
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return Deck(
        read["title"],
        int(read["minutes"]),
        tuple(Slide(title, _parts(text)) for title, text in pairs),
    )


def _parts(text: str) -> tuple[tuple[str, str], ...]:
    """Prose, and the fences that stand in it."""
    pieces = _FENCE.split(text)
    parts = [("prose", pieces[0])]
    for kind, name, after in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        parts += [(kind, name), ("prose", after)]
    return tuple(part for part in parts if part[1].strip())


def page(name: str) -> str:
    """Return a deck as one HTML file with all that it shows."""
    one = deck(name)
    sections = [
        f'<section aria-label="Title"><h1>{escape(one.title)}</h1><p>MoEscope</p>'
        f'<p class="minutes">{one.minutes} minutes. Arrow keys turn the slides.</p></section>'
    ]
    for number, slide in enumerate(one.slides, 1):
        inside = "".join(text for part in slide.parts for text in _html(*part))
        sections.append(
            f'<section aria-labelledby="s{number}"><h2 id="s{number}">{escape(slide.title)}</h2>'
            f"{inside}</section>"
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(one.title)}</title><style>{_beside('deck.css')}</style></head>"
        f"<body><main>{''.join(sections)}</main><script>{_beside('deck.js')}</script></body></html>\n"
    )


def _beside(name: str) -> str:
    return (HERE / FOLDER / name).read_text("utf-8")


def _html(kind: str, text: str) -> Iterator[str]:
    """What a part becomes."""
    from markdown import markdown

    if kind == "prose":
        yield markdown(text)
    elif kind == "question":
        yield f'<div class="ask">{markdown(prompt(text))}</div>'
    else:
        drawing, words = _picture(text)
        source = b64encode(drawing).decode()
        yield (
            '<div class="figure" tabindex="0" role="group" aria-label="Figure">'
            f'<img style="--least: {least_width(drawing)}px" alt="{escape(words)}" '
            f'src="data:image/svg+xml;base64,{source}"></div>'
        )


def _picture(name: str) -> tuple[bytes, str]:
    """A picture and its words: of a method's page or of a lesson."""
    folder, _, method = name.partition(".")
    if folder in METHODS:
        drawing = (HERE / "methods" / folder / f"{method}.svg").read_text("utf-8")
        return drawing.encode(), unescape(described(drawing))
    shown = show(name)
    return shown.svg().encode(), shown.figure.alt


def browser() -> str | None:
    """Return the path of a browser that can print, if there is one; CHROME may name it."""
    return os.environ.get("CHROME") or next(filter(None, map(shutil.which, BROWSERS)), None)


def printed(html: str) -> bytes | None:
    """Return a deck as PDF, a page for each slide; None without a browser that can do it."""
    path = browser()
    if path is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "deck.html"), Path(folder, "deck.pdf")
        source.write_text(html, "utf-8")
        command = [path, *_PRINT, f"--user-data-dir={folder}/profile", f"--print-to-pdf={made}"]
        try:
            subprocess.run([*command, source.as_uri()], capture_output=True, timeout=60, check=True)
            return made.read_bytes()
        except (OSError, subprocess.SubprocessError):
            return None


@cache
def files() -> dict[str, str | bytes]:
    """Return the files below slides/ by their paths."""
    made: dict[str, str | bytes] = {}
    for name in DECKS:
        html = page(name)
        made[f"{FOLDER}/{name}.html"] = html
        pdf = printed(html)
        if pdf is not None:
            made[f"{FOLDER}/{name}.pdf"] = pdf
    return made


def on_the_site(text: str) -> str:
    """Return a page with its links to decks' texts led to the decks, and to a PDF that is there."""

    def put(link: re.Match[str]) -> str:
        words, place = link[1], f"{FOLDER}/{link[2]}"
        pdf = f" ([PDF]({place}.pdf))" if f"{place}.pdf" in files() else ""
        return f"[{words}]({place}.html){pdf}"

    return _LINK.sub(put, text)
