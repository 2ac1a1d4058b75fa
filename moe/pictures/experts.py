"""How an expert is called and coloured: the same on all pages.

An expert's letter always stands with its colour. Eight colours can be told apart, so with more
experts colour says how much work each one has, as everywhere, and only the letter says who it is.
"""

from __future__ import annotations

from ..errors import check_int
from .palette import PAPER_INK

# Each at least 3:1 on the light and on the dark page, and far from its neighbours for all kinds
# of eyes; the letter on it is white or near-black, whichever reads at 4.5:1.
EXPERT_COLOURS = (
    "#1C6DB2",  # A, blue
    "#EA6A09",  # B, orange
    "#36A558",  # C, green
    "#C91A6D",  # D, raspberry
    "#8443D3",  # E, violet
    "#9D5E01",  # F, brown
    "#D461E0",  # G, orchid
    "#8C8FA8",  # H, grey
)
LETTER_INKS = ("#FFFFFF", PAPER_INK)
_WHITE_UP_TO = 0.19  # luminance of the box
_ALPHABET = 26


def expert_name(e: int) -> str:
    """Return the letters of an expert that is counted from 0: A to Z, then AA, AB and so on.

    Raises
    ------
    ValueError
        If the number is negative.
    """
    check_int("e", e, 0)
    name, rest = "", e + 1
    while rest:
        rest, place = divmod(rest - 1, _ALPHABET)
        name = chr(ord("A") + place) + name
    return name


def expert_colour(e: int, n_experts: int) -> str | None:
    """Return the colour of one of `n_experts`, or None if there are too many to have their own."""
    check_int("e", e, 0, n_experts - 1)
    return EXPERT_COLOURS[e] if n_experts <= len(EXPERT_COLOURS) else None


def letter_ink(colour: str) -> str:
    """Return the colour of a letter that is drawn on a box of the colour '#RRGGBB'."""
    return LETTER_INKS[0] if luminance(colour) <= _WHITE_UP_TO else LETTER_INKS[1]


def luminance(colour: str) -> float:
    """Return the relative luminance of '#RRGGBB' as WCAG 2.2 defines it, 0 to 1."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
