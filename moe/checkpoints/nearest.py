"""The tensor that a missing one was probably meant to be, for the message."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from .strict_json import quoted

# What stands behind the prefix of a model's layers: a list's name, a number, and the rest.
_TAIL = re.compile(r"(?:^|\.)([A-Za-z_]+\.\d+\..+)")
LEAST = 3  # parts of a name that have to agree
TAKEN_APART = 10_000  # names: a file may have hundreds of thousands


def nearest(names: Iterable[str], wanted: str) -> str:
    """`; the nearest is ...`, or nothing if no name is like the wanted one.

    A name that ends in the same layer, block and tensor is best, since only its prefix differs:
    wrappers of a model put their own in front (`base_model.model.`, `module.`, `_orig_mod.`).
    Otherwise it is the name with most parts in common, counted from both ends.
    """
    found = _TAIL.search(wanted)
    tail = found[1] if found else wanted
    if same := ending(names, (tail,)):
        prefix = same.removesuffix(tail)
        return f"; the nearest is {quoted(same)}, whose prefix is {quoted(prefix)}"
    parts = wanted.split(".")
    best, most = "", LEAST - 1
    last, start = f".{'.'.join(parts[-2:])}", ".".join(parts[:-1])
    alike = (name for name in names if name.endswith(last) or name.startswith(start))
    for name in islice(alike, TAKEN_APART):
        agreeing = _agreeing(parts, name.split("."))
        if agreeing > most:
            best, most = name, agreeing
    return f"; the nearest is {quoted(best)}" if best else ""


def ending(names: Iterable[str], tails: tuple[str, ...]) -> str:
    """The shortest name that is one of the tails or ends in one after a dot; '' if none does."""
    dotted = tuple(f".{tail}" for tail in tails)
    return min((n for n in names if n.endswith(dotted) or n in tails), key=len, default="")


def _agreeing(one: list[str], other: list[str]) -> int:
    """Parts that are the same from the front, and then from the back."""
    least = min(len(one), len(other))
    front = next((n for n in range(least) if one[n] != other[n]), least)
    rest = least - front
    back = next((n for n in range(rest) if one[-1 - n] != other[-1 - n]), rest)
    return front + back
