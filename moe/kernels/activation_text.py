"""Activations by name, and the options that some take: 'clamped_swiglu(alpha=1.702,limit=7.0)'."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ..errors import check_choice, check_float, shown
from ..named_options import parse_named_options

# Kernels know an activation by its number, since compiled code compares numbers, not texts.
SWIGLU, GELU, RELU, CLAMPED_SWIGLU, RELU2 = range(5)
CODES = {
    "swiglu": SWIGLU, "gelu": GELU, "relu": RELU, "clamped_swiglu": CLAMPED_SWIGLU, "relu2": RELU2,
}  # fmt: skip
GATED = frozenset({"swiglu", "clamped_swiglu"})
OPTIONS = {"clamped_swiglu": {"alpha": 1.702, "limit": 7.0, "plus": 1.0}}  # gpt-oss


class Activation(NamedTuple):
    """A parsed text; `alpha`, `limit` and `plus` are 0 where they mean nothing."""

    name: str
    code: int
    alpha: float
    limit: float
    plus: float

    @property
    def form(self) -> tuple[float, float, float, float]:
        """What kernels get: numbers of one type, code first."""
        return float(self.code), self.alpha, self.limit, self.plus


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
            low = ">=" if option == "plus" else ">"
            raise ValueError(
                f"{option}: got {shown(value)}, allowed is a number {low} 0.0"
            ) from None
        options[option] = check_float(option, number, 0.0, open_low=option != "plus")
    return Activation(name, CODES[name], *(options.get(n, 0.0) for n in ("alpha", "limit", "plus")))
