"""Numbers as people read them."""

from __future__ import annotations


def dollars(value: float, digits: int = 2) -> str:
    """Money for people: '$5.6M', or '$5.576M' with 4 digits."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= size:
            return f"${_digits(value / size, digits)}{letter}"
    return f"${_digits(value, digits)}"


def count(value: float, digits: int = 2) -> str:
    """A number for people: '2.7 million', '93,000'."""
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{_digits(value / size, digits)} {name}"
    return f"{float(f'{value:.{digits}g}'):,.0f}"


def _digits(value: float, digits: int) -> str:
    return f"{float(f'{value:.{digits}g}'):,g}"
