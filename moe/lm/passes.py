"""What a pass of the model keeps and returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..routing import Routing
from .attention import Arrays


@dataclass(frozen=True)
class BlockContext:
    """What one block's forward keeps: its two norms' inputs and roots, and its parts' contexts."""

    x_ND: np.ndarray
    inverse_N: np.ndarray
    attention: Any
    middle_ND: np.ndarray
    middle_inverse_N: np.ndarray
    ffn: Any


@dataclass(frozen=True)
class LMContext:
    """What `LanguageModel.forward` keeps for backward.

    Attributes
    ----------
    tokens_BT
        The input.
    blocks
        Of each block, in order.
    sum_ND, inverse_N, h_ND
        What the last norm got, the inverse of its root, and its result, which the output maps.
    """

    tokens_BT: np.ndarray
    blocks: tuple[BlockContext, ...]
    sum_ND: np.ndarray
    inverse_N: np.ndarray
    h_ND: np.ndarray

    @property
    def routings(self) -> list[Routing]:
        """Of the layers that have experts, in order."""
        contexts = (block.ffn for block in self.blocks)
        return [ctx.routing for ctx in contexts if hasattr(ctx, "routing")]

    @property
    def executed_flops(self) -> int:
        """Operations that the feed-forward parts counted."""
        return sum(block.ffn.executed_flops for block in self.blocks)


@dataclass(frozen=True)
class Gradients:
    """What one batch says about the parameters.

    Attributes
    ----------
    loss_N
        Minus the log of the chance of each target, in nats, (N,).
    loss
        Their weighted sum; without weights, their mean.
    balance_loss
        What the balancer adds over all layers.
    arrays
        By the names of `LanguageModel.arrays`.
    routings
        Of the layers with experts.
    """

    loss_N: np.ndarray
    loss: float
    balance_loss: float
    arrays: Arrays
    routings: list[Routing]
