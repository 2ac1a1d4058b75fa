"""The optimisers of a language model: AdamW for all, or Muon for the blocks' matrices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..optim import AdamW, Muon, Split
from .attention import Arrays
from .config import LMConfig
from .settings import LMTrainSettings

LMOptimizer = AdamW | Split


def make_optimizer(settings: LMTrainSettings, params: Mapping[str, np.ndarray]) -> LMOptimizer:
    """Return the optimiser that the settings name, for parameters by the model's names.

    Muon steps the blocks' matrices, each expert's and each part of a fused one by itself; AdamW
    steps embedding, output, gates and gains. Muon's steps do not depend on the gradients' size,
    so that only AdamW clips.
    """
    adamw = AdamW(
        settings.learning_rate, beta2=0.95, eps=1e-10, weight_decay=settings.weight_decay,
        clip=settings.clip or None,
    )  # fmt: skip
    if settings.optimizer == "adamw":
        return adamw
    names = [
        name
        for name, param in params.items()
        if name.startswith("blocks.") and param.ndim > 1 and not name.endswith("gate_DE")
    ]
    parts = {name: _widths(name, params[name], settings.model) for name in names}
    muon = Muon(settings.muon_rate, weight_decay=settings.weight_decay, parts=parts)
    return Split(frozenset(names), muon, adamw)


def _widths(name: str, param: np.ndarray, config: LMConfig) -> tuple[int, ...]:
    """Columns of the matrices that lie side by side in an array."""
    width = param.shape[-1]
    if "w_gate_up" in name:
        return (width // 2, width // 2)
    if name.endswith("w_qkv_DX") and not config.latent:
        n_heads, n_kv, key, value = config.head_shape
        return (n_heads * key, n_kv * key, n_kv * value)
    return (width,)


def _parts(optimizer: LMOptimizer) -> Iterator[AdamW | Muon]:
    for one in (optimizer.named, optimizer.rest) if isinstance(optimizer, Split) else (optimizer,):
        assert isinstance(one, AdamW | Muon)
        yield one


def set_rates(optimizer: LMOptimizer, settings: LMTrainSettings, share: float) -> None:
    """Let the next step be at a share of the highest rates."""
    for one in _parts(optimizer):
        highest = settings.muon_rate if isinstance(one, Muon) else settings.learning_rate
        one.rate = highest * share


def memory(optimizer: LMOptimizer) -> dict[str, Arrays]:
    """What an optimiser remembers, live arrays by kind and by parameter."""
    found = {}
    for one in _parts(optimizer):
        if isinstance(one, Muon):
            found["momentum"] = one.mean
        else:
            found |= {"mean": one.mean, "square": one.square}
    return found


def prepare(optimizer: LMOptimizer, params: Mapping[str, np.ndarray], steps: int) -> None:
    """Let an optimiser make room for what it remembers, as after so many steps."""
    copies = {name: param.copy() for name, param in params.items()}
    optimizer.step(copies, {name: np.zeros_like(param) for name, param in params.items()})
    for one in _parts(optimizer):
        if isinstance(one, AdamW):
            one.steps = steps
