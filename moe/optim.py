"""Optimisers over a dictionary of arrays, in place."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Protocol

import numpy as np

from . import kernels
from .errors import check_float, check_int


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
    _: KW_ONLY
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
        lists = [[arrays[name] for name in params] for arrays in kinds]
        kernels.adam_step(
            *lists, self.steps, self.rate, self.beta1, self.beta2, self.eps,
            *self._extra(lists[1]),
        )  # fmt: skip

    def _extra(self, grads: Sequence[np.ndarray]) -> tuple[float, ...]:
        """What a kind of Adam adds to the arguments of `kernels.adam_step`."""
        return ()


@dataclass
class AdamW(Adam):
    """Adam with decoupled weight decay (arXiv 1711.05101) and clipped gradients.

    Parameters
    ----------
    rate, beta1, beta2, eps
        As of `Adam`.
    weight_decay
        Arrays with more than one axis shrink by rate * weight_decay in each step; gains and biases
        do not.
    clip
        Largest norm of all gradients together; longer ones are scaled to it (None: never).
    """

    weight_decay: float = 0.0
    clip: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_float("weight_decay", self.weight_decay, 0.0)
        if self.clip is not None:
            check_float("clip", self.clip, 0.0, open_low=True)

    def _extra(self, grads: Sequence[np.ndarray]) -> tuple[float, ...]:
        """Weight decay, and the factor that brings the gradients to their largest norm."""
        if self.clip is None:
            return (self.weight_decay,)
        norm = math.sqrt(kernels.sum_squares(grads))
        return self.weight_decay, min(1.0, self.clip / norm) if norm > 0 else 1.0


@dataclass
class Muon:
    """Momentum whose matrices are made orthogonal before they are subtracted (Jordan, 2024).

    Only for matrices: an array's last two axes are one, earlier ones count them (each expert is a
    matrix of its own). Embeddings, output matrices and gains are commonly left to `AdamW`, by
    `Split`.

    Parameters
    ----------
    rate
        Step size: about the root mean square of a square matrix's singular values in each step.
    momentum
        Decay of the running sum of gradients.
    nesterov
        Whether the step looks ahead by one more step of momentum.
    weight_decay
        Arrays shrink by rate * weight_decay in each step.
    steps
        Iterations of Newton-Schulz.
    parts
        Widths of the matrices that share an array's columns, by its name: for example
        (F, F) of a fused gate and up projection. Each is made orthogonal by itself.
    """

    rate: float = 0.02
    momentum: float = 0.95
    nesterov: bool = True
    weight_decay: float = 0.0
    steps: int = 5
    parts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    mean: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check_float("learning_rate", self.rate, 0.0, open_low=True)
        check_float("momentum", self.momentum, 0.0, 1.0)
        check_float("weight_decay", self.weight_decay, 0.0)
        check_int("steps", self.steps, 1)

    def step(self, params: Mapping[str, np.ndarray], grads: Mapping[str, np.ndarray]) -> None:
        """Update every array of `params` in place; `grads` has the same keys and shapes."""
        batches: dict[tuple[Any, ...], list[tuple[np.ndarray, np.ndarray]]] = {}
        for name, param in params.items():
            kind = param.dtype.type
            mean = self.mean.setdefault(name, np.zeros_like(param))
            mean *= kind(self.momentum)
            mean += grads[name]
            ahead = grads[name] + kind(self.momentum) * mean if self.nesterov else mean
            param *= kind(1 - self.rate * self.weight_decay)
            for columns in self._columns(name, param):
                place, part = param[..., columns], ahead[..., columns]
                shape = (param.dtype, *part.shape[-2:])
                batches.setdefault(shape, []).append((place, part.reshape(-1, *part.shape[-2:])))
        for (dtype, rows, width), batch in batches.items():
            made_KRS = kernels.orthogonalize(np.concatenate([p for _, p in batch]), self.steps)
            made_KRS *= dtype.type(self.rate * math.sqrt(max(1.0, width / rows)))
            done = 0
            for place, part in batch:
                place -= made_KRS[done : done + len(part)].reshape(place.shape)
                done += len(part)

    def _columns(self, name: str, param: np.ndarray) -> Iterator[slice]:
        """Columns of each matrix that shares the array."""
        if param.ndim < 2:
            raise ValueError(f"{name}: got {param.ndim} axes, allowed is 2 or more for Muon")
        widths = self.parts.get(name, param.shape[-1:])
        if sum(widths) != param.shape[-1] or min(widths) < 1:
            raise ValueError(
                f"parts of {name}: got {tuple(widths)}, allowed is widths above 0 that add up to "
                f"{param.shape[-1]}"
            )
        low = 0
        for width in widths:
            yield slice(low, low + width)
            low += width


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
