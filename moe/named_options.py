"""Methods and their options as one text: 'bias(rate=0.01)+z', 'clamped_swiglu(limit=7.0)'."""

from __future__ import annotations

import ast
import re
from typing import Any

PLUS = re.compile(r"\+(?![^()]*\))")  # not inside parentheses: 1e+3 is a value
PART = re.compile(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*")


def parse_named_options(text: str) -> list[tuple[str, dict[str, str | None]]] | None:
    """Return the names joined by '+', each with its options as text; None for any other text.

    The caller raises the error, since it knows what is allowed. An option without '=' is None.

    Examples
    --------
    >>> parse_named_options("bias(form=proportional, rate=1e+3)+z")
    [('bias', {'form': 'proportional', 'rate': '1e+3'}), ('z', {})]
    """
    parts = []
    for part in PLUS.split(text):
        match = PART.fullmatch(part)
        if match is None:
            return None
        written = (match[2] or "").strip()
        options: dict[str, str | None] = {}
        for pair in written.split(",") if written else []:
            option, equals, value = (piece.strip() for piece in pair.partition("="))
            options[option] = value if equals else None
        parts.append((match[1], options))
    return parts


def option_value(text: str) -> Any:
    """Return a number, True, False or None if the text is one, else the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
