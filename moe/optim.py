"""Optimisers over a dictionary of arrays, in place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from . import kernels
from .errors import check_float


class Optimizer(Protocol):
    """Any object that updates arrays by their gradients."""

    def step(self, params: Mapping[str, np.ndarray], grads: Mapping[str, np.ndarray]) -> None:
        """Update every array of `params` in place; `grads` has the same keys and shapes."""


@dataclass
class Adam:
    """Adam (arXiv 1412.6980) with bias correction.

    Parameters
    ----------
    rate
        Step size.
    beta1, beta2, eps
        Decay of the two running means, and the term that keeps the division finite.
    """

    rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    steps: int = 0
    mean: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    square: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check_float("learning_rate", self.rate, 0.0, open_low=True)

    def step(self, params: Mapping[str, np.ndarray], grads: Mapping[str, np.ndarray]) -> None:
        """Update every array of `params` in place; `grads` has the same keys and shapes."""
        self.steps += 1
        for name, param in params.items():
            if name not in self.mean:
                self.mean[name] = np.zeros_like(param)
                self.square[name] = np.zeros_like(param)
        kinds = (params, grads, self.mean, self.square)
        kernels.adam_step(
            *([arrays[name] for name in params] for arrays in kinds),
            self.steps, self.rate, self.beta1, self.beta2, self.eps,
        )  # fmt: skip


@dataclass
class SGD:
    """Plain gradient descent.

    Parameters
    ----------
    rate
        Step size.
    """

    rate: float = 1e-2

    def __post_init__(self) -> None:
        check_float("learning_rate", self.rate, 0.0, open_low=True)

    def step(self, params: Mapping[str, np.ndarray], grads: Mapping[str, np.ndarray]) -> None:
        """Update every array of `params` in place; `grads` has the same keys and shapes."""
        for name, param in params.items():
            param -= param.dtype.type(self.rate) * grads[name]


@dataclass
class Split:
    """Two optimisers that share the arrays: one updates the named ones, the other the rest."""

    names: Collection[str]
    named: Optimizer
    rest: Optimizer

    def step(self, params: Mapping[str, np.ndarray], grads: Mapping[str, np.ndarray]) -> None:
        """Update every array of `params` in place; `grads` has the same keys and shapes."""
        for optimizer, is_named in ((self.named, True), (self.rest, False)):
            names = [name for name in params if (name in self.names) is is_named]
            if names:
                optimizer.step(
                    *({name: arrays[name] for name in names} for arrays in (params, grads))
                )
