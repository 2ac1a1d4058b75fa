"""The lessons: of each a text, NAME.md, and beside it its questions and figures, NAME.py."""

from __future__ import annotations

# One line per lesson, in the order in which they are read.
FILES = (
    "letters",
    "expert",
    "router",
    "layer",
    "collapse",
    "gradient",
    "cures",
    "full",
    "saved",
    "specialise",
    "causal",
    "check",
    "bytes",
    "reads",
    "teacher",
    "thinking",
)
