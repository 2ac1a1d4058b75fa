"""One file per router; `ROUTERS` is the registry that menus, tests and docs derive from."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ..errors import check_choice
from .base import Router
from .base_layers import BaseLayers
from .deepseek_moe import DeepSeekMoE
from .deepseek_v2 import DeepSeekV2
from .deepseek_v3 import DeepSeekV3
from .deepseek_v4 import DeepSeekV4
from .dynmoe import DynMoE
from .expert_choice import ExpertChoice
from .gshard import GShard
from .hash import Hash
from .longcat import LongCat
from .moe_pp import MoEPlusPlus
from .noisy_topk import NoisyTopK
from .relu import ReLU
from .sinkhorn import Sinkhorn
from .soft import Soft
from .st_moe import StMoE
from .switch import Switch
from .top_p import TopP
from .topk import TopK

ROUTERS: dict[str, type[Router]] = {
    router.name: router
    for router in (
        TopK,
        NoisyTopK,
        Switch,
        GShard,
        StMoE,
        BaseLayers,
        Sinkhorn,
        ExpertChoice,
        Soft,
        Hash,
        DeepSeekMoE,
        DeepSeekV2,
        DeepSeekV3,
        DeepSeekV4,
        TopP,
        ReLU,
        MoEPlusPlus,
        LongCat,
        DynMoE,
    )
}


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
