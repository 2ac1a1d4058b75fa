"""One file per router; `ROUTERS` is the registry that menus, tests and docs derive from."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ..errors import check_choice
from ..registry import collect
from .base import Router

# One line per router: the file that defines it, in the order of the menus.
FILES = (
    "topk",
    "noisy_topk",
    "switch",
    "gshard",
    "st_moe",
    "sparsemixer",
    "base_layers",
    "sinkhorn",
    "expert_choice",
    "soft",
    "hash",
    "deepseek_moe",
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v4",
    "top_p",
    "relu",
    "moe_pp",
    "longcat",
    "dynmoe",
)
ROUTERS = collect(Router, __name__, FILES)  # type: ignore[type-abstract]


def make_router(name: str, **options: Any) -> Router:
    """Return a router by registry name.

    Parameters
    ----------
    name
        A key of `ROUTERS`.
    **options
        Fields of that router, for example `k=8`.

    Raises
    ------
    ValueError
        If the name, an option's name or its value is not allowed.
    """
    router = ROUTERS[check_choice("router", name, ROUTERS)]
    known = [field.name for field in fields(router)]
    for option in options:
        if option not in known:
            raise ValueError(
                f"option of router {name}: got {option!r}, allowed is one of {', '.join(known)}"
            )
    return router(**options)


__all__ = ["ROUTERS", "Router", "make_router"]
