"""Step 12, train: all steps together are a layer, and it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...scores import make_scores
from .own_layer import train_own
from .plain_layer import backward, forward, library_layer, sample
from .step import Learner, Mistake, Step

_SAMPLE = sample(seed=12)
LAYER, BACKWARD = "layer", "layer_backward"


def _right(part: str, *given: Any) -> tuple[Any, ...]:
    if part == LAYER:
        x_ND, *rest = given
        y_ND, context = library_layer(*rest).forward(x_ND)
        return y_ND, context.routing.load
    dy_ND, x_ND, *rest = given
    layer = library_layer(*rest)
    dx_ND, grads = layer.backward(dy_ND, layer.forward(x_ND)[1])
    return dx_ND, grads["gate_DE"], grads["w_gate_up_ED2F"], grads["w_down_EFD"]


def _with(
    *,
    bias: str = "selects",
    backward_bias: str = "",
    gate_learns: bool = True,
    gate_path: bool = True,
    residual: bool = False,
    first_load: bool = False,
) -> Callable[..., tuple[Any, ...]]:
    """The layer with what a mistake does otherwise; `bias` says what the bias does."""

    def chosen(
        how: str, x_ND: np.ndarray, gate_DE: np.ndarray, bias_E: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        logits_NE = x_ND @ gate_DE
        if how == "on_logits":
            logits_NE = logits_NE + bias_E
        scores_NE = make_scores(logits_NE, "softmax")
        steered_NE = scores_NE + (bias_E if how in ("selects", "weighs") else 0)
        expert_NK = np.argsort(-steered_NE, axis=1, kind="stable")[:, :k]
        weighed_NE = steered_NE if how == "weighs" else scores_NE
        weight_NK = np.take_along_axis(weighed_NE, expert_NK, axis=1)
        return logits_NE, expert_NK, weight_NK / weight_NK.sum(axis=1, keepdims=True)

    def run(part: str, *given: Any) -> tuple[Any, ...]:
        dy_ND = None if part == LAYER else given[0]
        x_ND, gate_DE, bias_E, up_ED2F, down_EFD, k = given[-6:]
        how = bias if part == LAYER else backward_bias or bias
        _, expert_NK, weight_NK = chosen(how, x_ND, gate_DE, bias_E, k)
        if dy_ND is None:
            y_ND = forward(x_ND, expert_NK, weight_NK, up_ED2F, down_EFD)
            counted_NK = expert_NK[:, :1] if first_load else expert_NK
            load_E = np.bincount(counted_NK.reshape(-1), minlength=len(up_ED2F))
            return (y_ND + x_ND if residual else y_ND), load_E
        made = backward(dy_ND, x_ND, expert_NK, weight_NK, up_ED2F, down_EFD)
        mean_N1 = (weight_NK * made.dweight_NK).sum(axis=1, keepdims=True)
        dlogits_NE = np.zeros((len(x_ND), len(up_ED2F)))
        dchosen_NK = weight_NK * (made.dweight_NK - mean_N1)
        np.put_along_axis(dlogits_NE, expert_NK, dchosen_NK, axis=1)
        dx_ND = made.dx_ND + (dlogits_NE @ gate_DE.T if gate_path else 0)
        dgate_DE = x_ND.T @ dlogits_NE if gate_learns else np.zeros_like(gate_DE)
        dx_ND = dx_ND + dy_ND if residual else dx_ND
        return dx_ND, dgate_DE, made.dup_ED2F, made.ddown_EFD

    return run


def _trial(learner: Learner) -> tuple[bool, str]:
    came_to = train_own(learner)
    fault = came_to.fault()
    return not fault, fault or came_to.words()


_ONE = _SAMPLE.first(1)
_CASES = [(one, one.x_ND, one.gate_DE, one.bias_E, one.up_ED2F, one.down_EFD, 2)
          for one in (_ONE, _SAMPLE)]  # fmt: skip

STEP = Step(
    "train",
    "layer(x_ND, gate_DE, bias_E, w_gate_up_ED2F, w_down_EFD, k) -> (y_ND, load_E); "
    "layer_backward(dy_ND, x_ND, gate_DE, bias_E, w_gate_up_ED2F, w_down_EFD, k) "
    "-> (dx_ND, dgate_DE, dw_gate_up_ED2F, dw_down_EFD)",
    (
        *(tuple(case) for _, *case in _CASES),
        *((one.dy_ND, *case) for one, *case in _CASES),
    ),
    _right,
    (
        Mistake(
            "bias_in_weights",
            _with(bias="weighs"),
            "The bias that only steers who is chosen also changes how much an expert counts. "
            "Choose by score + bias, but take the weights from the scores alone. (The bug "
            "`bias_in_weights` of moe check-gate, and of two public programs.)",
        ),
        Mistake(
            "bias_ignored",
            _with(bias="nothing"),
            "The bias has no effect. It is added to the scores when experts are chosen.",
        ),
        Mistake(
            "bias_on_logits",
            _with(bias="on_logits"),
            "You add the bias to the logits, so it goes through softmax and into the weights. It "
            "is added to the scores, for choosing only.",
        ),
        Mistake(
            "backward_without_bias",
            _with(backward_bias="nothing"),
            "Your backward pass chooses without the bias, so it teaches experts that did not run. "
            "It has to choose as the forward pass did.",
        ),
        Mistake(
            "gate_not_trained",
            _with(gate_learns=False),
            "The gate's gradient is zero, so the gate never learns. logits = x @ gate, and your "
            "gate_backward gives the gradient at the logits.",
        ),
        Mistake(
            "gate_path_forgotten",
            _with(gate_path=False),
            "dx lacks the way through the gate; your step dx has it.",
        ),
        Mistake(
            "residual_added",
            _with(residual=True),
            "x is in y, and dy in dx. The path around the layer belongs to whoever adds x to y: "
            "the trainer does.",
        ),
        Mistake(
            "first_load",
            _with(first_load=True),
            "The load counts first choices only. A second choice is work for an expert, too.",
        ),
    ),
    parts=(LAYER, LAYER, BACKWARD, BACKWARD),
    trial=_trial,
)
