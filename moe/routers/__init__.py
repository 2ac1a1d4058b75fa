"""One file per router; `ROUTERS` is the registry that menus, tests and docs derive from."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

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
    "null_experts",
    "dynmoe",
    "expert_threshold",
)
ROUTERS = collect(Router, __name__, FILES)  # type: ignore[type-abstract]
Kind = TypeVar("Kind", bound=type[Router])


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


def register_router(kind: Kind) -> Kind:
    """Add a router of your own to `ROUTERS`, for this process; also a decorator of its class.

    From then on its name works wherever a router's name does: in `make_router`, `MoELayer.init`,
    `TrainSettings`, `check_gate(like=...)` and `moe.load`. CONTRIBUTING.md shows how to write one.

    Parameters
    ----------
    kind
        A frozen dataclass, subclass of `Router`, with a `name`, a `title` and a `source` of its
        own, and a default for each option.

    Returns
    -------
    kind
        The class itself.

    Raises
    ------
    ValueError
        If it is something else, or another router has that name. The same class, defined again
        by a cell of a notebook, takes its own place.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import moe
    >>> from moe.routers.switch import Switch
    >>> @moe.register_router
    ... @dataclass(frozen=True)
    ... class Mine(Switch):
    ...     name, title, source = "mine", "My own", "this page"
    >>> moe.make_router("mine")
    Mine(jitter=0.01)
    >>> del moe.ROUTERS["mine"]
    """
    if not inspect.isclass(kind) or not issubclass(kind, Router):
        raise ValueError(f"router: got {kind!r}, allowed is a subclass of moe.Router")
    if inspect.isabstract(kind):
        missing = ", ".join(sorted(kind.__abstractmethods__))
        raise ValueError(f"router: got {kind.__name__} without {missing}, allowed is one with them")
    for word in ("name", "title", "source"):
        text = getattr(kind, word, None)
        if word == "name" and word not in vars(kind):
            text = None  # inherited, so it names another router
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"{word} of router {kind.__name__}: got {text!r}, allowed is a text of its own"
            )
    if not kind.name.isidentifier():
        raise ValueError(
            f"name of router {kind.__name__}: got {kind.name!r}, allowed are letters, digits and _"
        )
    if not is_dataclass(kind) or not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise ValueError(f"router: got {kind.__name__}, allowed is a frozen dataclass")
    for option in fields(kind):
        if option.default is MISSING and option.default_factory is MISSING:
            raise ValueError(
                f"option of router {kind.name}: got {option.name!r} without a default, allowed is "
                "one with a default that works for any E >= 4"
            )
    known = ROUTERS.get(kind.name, kind)
    if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(
            f"name of router {kind.__name__}: got {kind.name!r}, which is "
            f"{known.__module__}.{known.__qualname__}; allowed is a name that is not taken"
        )
    ROUTERS[kind.name] = kind
    return kind


def check_router(router: object) -> Router:
    """Return the router.

    Raises
    ------
    ValueError
        If it is something else; of a class, the message says to make an instance.
    """
    if isinstance(router, Router):
        return router
    if inspect.isclass(router) and issubclass(router, Router):
        got = f"the class {router.__name__}"
        raise ValueError(f"router: got {got}, allowed is an instance of it, {router.__name__}()")
    raise ValueError(f"router: got {router!r}, allowed is a registry name or a Router")


def router_of(router: str | Router, k: int) -> Router:
    """The router of that name, with this k if it takes one; or the router itself, checked."""
    if not isinstance(router, str):
        return check_router(router)
    default = make_router(router)
    return make_router(router, k=k) if "k" in default.options() else default


__all__ = ["ROUTERS", "Router", "check_router", "make_router", "register_router", "router_of"]
