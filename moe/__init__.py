"""MoEscope: mixture of experts, exact, fast and visible.

The public names; each loads on first use, so that `import moe` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from . import lm as lm
    from . import metrics as metrics
    from . import optim as optim
    from .balance import BALANCERS as BALANCERS
    from .balance import Balancer as Balancer
    from .balance import make_balancer as make_balancer
    from .capacity import Capacity as Capacity
    from .checkpoints.load import load_layer as load_layer
    from .checkpoints.load import moe_layers as moe_layers
    from .checkpoints.save import export_layer as export_layer
    from .checkpoints.save import save_layer as save_layer
    from .cluster.eplb import rebalance_experts as rebalance_experts
    from .cost import MODELS as MODELS
    from .dense import DenseFFN as DenseFFN
    from .errors import CheckpointError as CheckpointError
    from .gates.check import check_gate as check_gate
    from .gates.report import GateReport as GateReport
    from .layer import MoELayer as MoELayer
    from .opportunistic import Opportunistic as Opportunistic
    from .pruning import ExpertUse as ExpertUse
    from .pruning import experts_to_keep as experts_to_keep
    from .pruning import prune as prune
    from .routers import ROUTERS as ROUTERS
    from .routers import Router as Router
    from .routers import make_router as make_router
    from .routers import register_router as register_router
    from .routing import Routing as Routing
    from .saved import load as load
    from .training import Trainer as Trainer
    from .training import TrainRecord as TrainRecord
    from .training import TrainSettings as TrainSettings
    from .training import train as train
    from .upcycling import replicas as replicas
    from .upcycling import upcycle as upcycle
    from .upcycling import upcycle_experts as upcycle_experts

_HOME = {
    "balance": ("BALANCERS", "Balancer", "make_balancer"),
    "capacity": ("Capacity",),
    "checkpoints.load": ("load_layer", "moe_layers"),
    "checkpoints.save": ("export_layer", "save_layer"),
    "cluster.eplb": ("rebalance_experts",),
    "cost": ("MODELS",),
    "dense": ("DenseFFN",),
    "errors": ("CheckpointError",),
    "gates.check": ("check_gate",),
    "gates.report": ("GateReport",),
    "layer": ("MoELayer",),
    "opportunistic": ("Opportunistic",),
    "pruning": ("ExpertUse", "experts_to_keep", "prune"),
    "routers": ("ROUTERS", "Router", "make_router", "register_router"),
    "routing": ("Routing",),
    "saved": ("load",),
    "training": ("TrainRecord", "TrainSettings", "Trainer", "train"),
    "upcycling": ("replicas", "upcycle", "upcycle_experts"),
}
_NAMES = {name: module for module, names in _HOME.items() for name in names}
_MODULES = ("lm", "metrics", "optim")
__all__ = sorted([*_NAMES, *_MODULES, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
