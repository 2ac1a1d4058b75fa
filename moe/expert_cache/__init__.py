"""Experts that do not all fit: who stays in fast memory, replayed on real routing.

One file per policy; `POLICIES` is the registry that the command, the page and the docs derive from.
"""

from __future__ import annotations

from ..registry import collect
from .base import Past, Policy, Requests

# One line per file, in the order of tables.
FILES = ("lru", "lfu", "pinned", "prefetch", "belady")
POLICIES = collect(Policy, __name__, FILES)  # type: ignore[type-abstract]

__all__ = ["POLICIES", "Past", "Policy", "Requests"]
