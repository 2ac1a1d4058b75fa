"""The learner's layer in the library's `Trainer`: it trains, and its bias evens the load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...context import LayerContext
from ...kernels.backend import steady
from ...layer import Arrays, MoELayer
from ...routers import make_router
from ...training.settings import TrainSettings
from ...training.trainer import Trainer, TrainRecord
from ..cage.outside import Strange
from .step import Learner

K = 2
SETTINGS = TrainSettings(
    k=K, n_experts=8, d_model=16, d_expert=16, steps=140, batch=192, learning_rate=5e-3
)
LEFT_ALONE = 30  # steps without balancing
LAST = 10  # steps whose mean counts, before balancing begins and at the end
BIAS_RATE = 0.005
UNEVEN, EVEN = 2.0, 0.5  # MaxVio
BIAS = "select_bias_E"


class OwnLayer(MoELayer):
    """A layer whose result and gradients are the learner's; what it chooses is counted here.

    Its experts and its gate are arrays of the library, changed by the learner's gradients. The
    load is that of the library's own choice, so that nothing which a learner says can change it.
    """

    learner: Learner

    def forward(
        self, x_ND: np.ndarray, *args: Any, **kwargs: Any
    ) -> tuple[np.ndarray, LayerContext]:
        """Return the learner's y, and the library's context."""
        own_ND, context = super().forward(x_ND)
        y_ND, load_E = _two(self.learner.call("layer", *self._given(x_ND))[0], "layer")
        self.said_E = _array(load_E, (self.n_experts,), "layer")
        return _array(y_ND, own_ND.shape, "layer"), context

    def backward(
        self,
        dy_ND: np.ndarray,
        ctx: LayerContext,
        dlogits_NE: np.ndarray | None = None,
        extra: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, Arrays]:
        """Return the learner's gradients."""
        name = "layer_backward"
        value = self.learner.call(name, dy_ND.astype(np.float64), *self._given(ctx.x_ND))[0]
        names = ("gate_DE", "w_gate_up_ED2F", "w_down_EFD")
        if not isinstance(value, (list, tuple)) or len(value) != 1 + len(names):
            raise Strange(f"something else than {1 + len(names)} arrays from {name}")
        grads = {
            one: _array(grad, self.params[one].shape, name)
            for one, grad in zip(names, value[1:], strict=True)
        }
        return _array(value[0], dy_ND.shape, name), grads

    def _given(self, x_ND: np.ndarray) -> tuple[Any, ...]:
        known = self.params | self.buffers
        names = ("gate_DE", BIAS, "w_gate_up_ED2F", "w_down_EFD")
        arrays = [x_ND, *(known[name] for name in names)]
        return (*(array.astype(np.float64) for array in arrays), K)


@dataclass(frozen=True)
class Training:
    """What the training of a learner's layer came to.

    Attributes
    ----------
    alone, balanced
        MaxVio: mean of the last steps without balancing, and of the last of all.
    loss_before, loss_after
        Task loss of the first and of the last steps.
    """

    alone: float
    balanced: float
    loss_before: float
    loss_after: float

    def fault(self) -> str:
        """What is wrong with it in a sentence, '' if nothing."""
        if not self.loss_after < self.loss_before:
            return (
                f"The loss does not fall: {self.loss_before:.3f} at first, {self.loss_after:.3f} "
                "at the end."
            )
        if not self.alone > UNEVEN:
            return (
                f"Left alone the load should become uneven, MaxVio above {UNEVEN:g}; yours is "
                f"{self.alone:.2f}. Does the gate learn?"
            )
        if not self.balanced < EVEN:
            return (
                f"With bias_step after each batch MaxVio should fall below {EVEN:g}; yours went "
                f"from {self.alone:.2f} to {self.balanced:.2f}."
            )
        return ""

    def words(self) -> str:
        """What happened, in a sentence."""
        return (
            f"Your layer trained: the loss fell from {self.loss_before:.2f} to "
            f"{self.loss_after:.2f}, and once your bias_step ran, MaxVio fell from "
            f"{self.alone:.2f} to {self.balanced:.2f}."
        )


def records(learner: Learner, settings: TrainSettings = SETTINGS) -> Iterator[TrainRecord]:
    """Train the learner's layer: first left alone, then with its own `bias_step`."""
    with steady("numpy"):  # so small that compiling would take longer
        trainer = Trainer(settings)
        layer = OwnLayer(make_router("topk", k=K), "swiglu", trainer.layer.params, {
            BIAS: np.zeros(settings.n_experts)
        }, check_finite=False)  # fmt: skip
        layer.learner = learner
        trainer.adopt(settings, layer)
        for record in trainer.run():
            yield record
            if record.step >= LEFT_ALONE:
                bias_E = layer.buffers[BIAS]
                stepped = learner.call("bias_step", bias_E, layer.said_E, BIAS_RATE)[0]
                layer.buffers[BIAS] = _array(stepped, bias_E.shape, "bias_step").astype(np.float64)


def train_own(learner: Learner, seed: int = 0) -> Training:
    """Train the learner's layer and say what it came to.

    Raises
    ------
    Missing, Raised, Strange, Ended
        If the learner's functions give no answer.
    """
    made = list(records(learner, replace(SETTINGS, seed=seed)))

    def mean(name: str, start: int, end: int | None) -> float:
        return float(np.mean([getattr(record, name) for record in made[start:end]]))

    return Training(
        mean("max_vio", LEFT_ALONE - LAST, LEFT_ALONE),
        mean("max_vio", -LAST, None),
        mean("loss", 0, LAST),
        mean("loss", -LAST, None),
    )


def _two(value: Any, function: str) -> tuple[Any, Any]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise Strange(f"something else than two values from {function}")
    return value[0], value[1]


def _array(value: Any, shape: tuple[int, ...], function: str) -> np.ndarray:
    """Finite numbers of a shape, float32 unless they are whole; the learner may send anything."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise Strange(f"a ragged list from {function}") from error
    if array.dtype.kind not in "fiub" or array.shape != shape:
        raise Strange(f"{array.dtype} of shape {array.shape} from {function}, not {shape}")
    if not np.isfinite(array).all():
        raise Strange(f"NaN or infinity from {function}")
    return array.astype(np.float32) if array.dtype.kind == "f" else array
