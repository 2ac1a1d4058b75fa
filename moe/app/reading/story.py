"""Documents and source files of this installation, and a document in pieces for a page."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from ..shared.documents import DOCS, PACKAGE, documents, reading_address

_IMAGE = re.compile(r"^!\[(?P<alt>.*?)\]\((?P<path>[^)\s]+)\)$", re.MULTILINE)
_MATH = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)\s#]+)\.md(?:#[^)\s]*)?\)")
_LESSON = re.compile(r"\]\((?:\.\./)+moe/lessons/course/(\w+)\.md\)")
_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+moe/[^)\s]+\)")  # of the documents
_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """A stretch of Markdown, or a picture: its file and what it shows in words."""

    text: str
    picture: Path | None = None

    def image(self) -> str:
        """Return the picture with its words as HTML."""
        assert self.picture
        kind = {".svg": "svg+xml"}.get(self.picture.suffix, self.picture.suffix[1:])
        data = b64encode(self.picture.read_bytes()).decode()
        source = f"data:image/{kind};base64,{data}"
        return f'<img alt="{escape(self.text)}" src="{source}" style="background: white">'


@cache
def source_files() -> tuple[str, ...]:
    """Paths of all modules of the package, those without a folder first."""
    paths = [path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py")]
    return tuple(sorted(paths, key=lambda path: (path.count("/") > 1, path)))


def source(path: str) -> str:
    """Return a module's text.

    Raises
    ------
    ValueError
        If the package has no such module.
    """
    if path not in source_files():
        raise ValueError(f"file: got {path!r}, allowed is a module of moe")
    return (PACKAGE.parent / path).read_text("utf-8")


def pieces(title: str) -> Iterator[Piece]:
    """Yield a document below its title, in the order of its text; links stay within the app.

    Raises
    ------
    ValueError
        If there is no such document.
    """
    if title not in documents():
        raise ValueError(f"document: got {title!r}, allowed is one of {', '.join(documents())}")
    name = documents()[title]
    folder = (DOCS / name).parent
    text = _COMMENT.sub("", (DOCS / f"{name}.md").read_text("utf-8"))
    text = _HEADING.sub("", text, count=1)
    text = _MATH.sub(r"$$\n\1$$", text)
    text = _LESSON.sub(r"](/learn?lesson=\1)", text)
    text = _OUTSIDE.sub(r"\1", text)
    text = _LINK.sub(lambda link: f"]({reading_address(folder / (link['path'] + '.md'))})", text)
    at = 0
    for image in _IMAGE.finditer(text):
        yield Piece(text[at : image.start()])
        yield Piece(image["alt"], folder / image["path"])
        at = image.end()
    yield Piece(text[at:])
