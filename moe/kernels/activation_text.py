"""Activations by name, and the options that some take: 'clamped_swiglu(alpha=1.702,limit=7.0)'."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ..errors import check_choice, check_float, shown
from ..named_options import parse_named_options

# Kernels know an activation by its number, since compiled code compares numbers, not texts.
SWIGLU, GELU, RELU, CLAMPED_SWIGLU = range(4)
CODES = {"swiglu": SWIGLU, "gelu": GELU, "relu": RELU, "clamped_swiglu": CLAMPED_SWIGLU}
GATED = frozenset({"swiglu", "clamped_swiglu"})
OPTIONS = {"clamped_swiglu": {"alpha": 1.702, "limit": 7.0}}  # gpt-oss


class Activation(NamedTuple):
    """A parsed text; `alpha` and `limit` are 0 where they mean nothing."""

    name: str
    code: int
    alpha: float
    limit: float

    @property
    def form(self) -> tuple[float, float, float]:
        """What kernels get: numbers of one type, code first."""
        return float(self.code), self.alpha, self.limit


@lru_cache(maxsize=64)
def parse(activation: str) -> Activation:
    """Read a name, or a name with options in parentheses.

    Raises
    ------
    ValueError
        If the name, an option or its value is not allowed.
    """
    name = activation
    given: dict[str, str | None] = {}
    parts = parse_named_options(activation)
    if parts and len(parts) == 1 and parts[0][0] in OPTIONS:
        name, given = parts[0]
    check_choice("activation", name, CODES)
    options = dict(OPTIONS.get(name, {}))
    for option, written in given.items():
        value = written or ""
        check_choice(f"option of activation {name}", option, options)
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"{option}: got {shown(value)}, allowed is a number > 0.0") from None
        options[option] = check_float(option, number, 0.0, open_low=True)
    return Activation(name, CODES[name], options.get("alpha", 0.0), options.get("limit", 0.0))
