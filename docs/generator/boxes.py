"""Figures on the site in boxes of their own, which scroll sideways where letters would get small.

A picture that shrinks to a phone's width takes its letters along. So each says how narrow it may
get, and its box scrolls from there on; `docs/js/scrolls.js` lets the keyboard reach it then.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

LEAST_LETTERS = 9.0  # pixels on the screen
PNG_SCALE, PNG_LETTERS = 2, 10.0  # as `Figure.image` draws them; a PNG does not say its letters
_ALONE = re.compile(r"<p>(<img [^>]*>)</p>")
_SRC = re.compile(r'src="([^"]+\.(?:svg|png))"')


def boxed(html: str, content_of: Callable[[str], bytes]) -> str:
    """Return a page with each picture that is a paragraph of its own in a box.

    Parameters
    ----------
    content_of
        Gets the address of a picture as the page has it, and returns its bytes.
    """

    def put(found: re.Match[str]) -> str:
        image = found[1]
        source = _SRC.search(image)
        if source is None:
            return found[0]
        style = f'style="--least: {least_width(content_of(source[1]))}px"'
        return f'<div class="figure">{image.replace("<img ", f"<img {style} ", 1)}</div>'

    return _ALONE.sub(put, html)


def least_width(content: bytes) -> int:
    """Return how narrow a picture may get, in pixels, with all letters still legible.

    Raises
    ------
    ValueError
        If it is neither a PNG nor an SVG with a width and letters.
    """
    if content.startswith(b"\x89PNG"):
        (width,) = struct.unpack(">I", content[16:20])
        width, letters = width / PNG_SCALE, PNG_LETTERS
    else:
        text = content.decode()
        drawn = re.search(r'<svg [^>]*?\bwidth="([\d.]+)"', text)
        sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)px"', text)]
        if drawn is None or not sizes:
            raise ValueError(
                f"content: got {text[:60]!r}, allowed is an SVG with a width and letters"
            )
        width, letters = float(drawn[1]), min(sizes)
    return round(min(LEAST_LETTERS / letters, 1.0) * width + 0.5)
