"""What a visitor takes along from the page: the comparison as JSON, and code that makes it."""

from __future__ import annotations

from ...scaling.budget import Comparison
from ..shared.sharing import json_document


def document(found: Comparison) -> bytes:
    """All figures and sentences, and the law behind them."""
    return json_document("scaling", found.as_json())


def command(size: int, pool: int) -> str:
    """The command that prints the same."""
    return f"moe scaling --active {size} --experts {pool}"


def code(size: int, pool: int) -> str:
    """Code that compares the same models."""
    return f"""\
from moe.scaling.budget import compare

found = compare(active={size}, experts={pool})
for row in found.rows():
    print(row)
print(*found.words(), sep="\\n")
"""
