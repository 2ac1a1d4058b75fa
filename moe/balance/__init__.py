"""One file per balancing method; `BALANCERS` is the registry."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ..errors import check_choice
from .aux import AuxLoss
from .base import BalanceLoss, Balancer, affinity
from .bias import BiasControl
from .none import NoBalance
from .z import ZLoss

BALANCERS: dict[str, type[Balancer]] = {
    balancer.name: balancer
    for balancer in (
        NoBalance,
        AuxLoss,
        BiasControl,
        ZLoss,
    )
}


def make_balancer(name: str, **options: Any) -> Balancer:
    """Return a balancer by registry name.

    Raises
    ------
    ValueError
        If the name, an option's name or its value is not allowed.
    """
    balancer = BALANCERS[check_choice("balance", name, BALANCERS)]
    known = [field.name for field in fields(balancer)]
    for option in options:
        if option not in known:
            raise ValueError(
                f"option of balancer {name}: got {option!r}, "
                f"allowed is {'one of ' + ', '.join(known) if known else 'none'}"
            )
    return balancer(**options)


__all__ = ["BALANCERS", "BalanceLoss", "Balancer", "affinity", "make_balancer"]
