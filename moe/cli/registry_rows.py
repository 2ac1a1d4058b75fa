"""The registries as rows: what menus, tables and documents show."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any

from ..balance import BALANCERS
from ..routers import ROUTERS


def _defaults(kind: type) -> dict[str, Any]:
    return {f.name: _default(f) for f in fields(kind)}


def _default(field: Field[Any]) -> Any:
    return None if field.default is MISSING else field.default


def router_rows() -> list[dict[str, Any]]:
    """Name, title, claims, options with defaults, and source of each router."""
    return [
        {
            "name": name,
            "title": router.title,
            "causal": router.causal,
            "batch_invariant": router.batch_invariant,
            "options": _defaults(router),
            "source": router.source,
        }
        for name, router in ROUTERS.items()
    ]


def balancer_rows() -> list[dict[str, Any]]:
    """Name, title, options with defaults, and source of each balancing method."""
    return [
        {
            "name": name,
            "title": balancer.title,
            "options": _defaults(balancer),
            "source": balancer.source,
        }
        for name, balancer in BALANCERS.items()
    ]
