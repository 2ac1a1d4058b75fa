"""Step 10, dx: what the layer hands back to whatever lies before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...routers import make_router
from ...scores import make_scores
from .plain_layer import RIGHT, Slips, backward, library_layer, sample
from .step import Mistake, Step

_SAMPLE = sample(seed=10)


def _right(
    dy_ND: np.ndarray,
    x_ND: np.ndarray,
    gate_DE: np.ndarray,
    up_ED2F: np.ndarray,
    down_EFD: np.ndarray,
    k: int,
) -> np.ndarray:
    layer = library_layer(gate_DE, np.zeros(gate_DE.shape[1]), up_ED2F, down_EFD, k)
    _, context = layer.forward(x_ND)
    return layer.backward(dy_ND, context)[0]


def _parts(
    dy_ND: np.ndarray,
    x_ND: np.ndarray,
    gate_DE: np.ndarray,
    up_ED2F: np.ndarray,
    down_EFD: np.ndarray,
    k: int,
    *,
    slips: Slips = RIGHT,
    divided: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """The gradient at x through the experts, and through the gate."""
    router = make_router("topk", k=k)
    routing = router.choose(x_ND @ gate_DE)
    expert_NK, weight_NK = (a.reshape(-1, k) for a in (routing.expert_A, routing.weight_A))
    made = backward(dy_ND, x_ND, expert_NK, weight_NK, up_ED2F, down_EFD, slips)
    if divided:
        dlogits_NE = router.backward(routing, made.dweight_NK.reshape(-1))
    else:
        scores_NE = make_scores(x_ND @ gate_DE, "softmax")
        dscores_NE = np.zeros_like(scores_NE)
        np.put_along_axis(dscores_NE, expert_NK.astype(np.int64), made.dweight_NK, axis=1)
        inner_N1 = (dscores_NE * scores_NE).sum(axis=1, keepdims=True)
        dlogits_NE = scores_NE * (dscores_NE - inner_N1)
    return made.dx_ND, dlogits_NE @ gate_DE.T


def _with(
    experts: Slips | None = RIGHT, gate: bool = True, divided: bool = True
) -> Callable[..., np.ndarray]:
    """The sum of both ways; without `experts` or `gate` that way is missing."""

    def run(dy_ND: np.ndarray, x_ND: np.ndarray, *layer: Any) -> np.ndarray:
        through_experts_ND, _ = _parts(dy_ND, x_ND, *layer, slips=experts or RIGHT)
        _, through_gate_ND = _parts(dy_ND, x_ND, *layer, divided=divided)
        dx_ND = np.zeros_like(x_ND)
        if experts is not None:
            dx_ND += through_experts_ND
        if gate:
            dx_ND += through_gate_ND
        return dx_ND

    return run


STEP = Step(
    "dx",
    "dx(dy_ND, x_ND, gate_DE, w_gate_up_ED2F, w_down_EFD, k) -> dx_ND",
    tuple(
        (one.dy_ND, one.x_ND, one.gate_DE, one.up_ED2F, one.down_EFD, 2)
        for one in (_SAMPLE.first(1), _SAMPLE)
    ),
    _right,
    (
        Mistake(
            "gate_path_forgotten",
            _with(gate=False),
            "You go back through the experts only. x reaches y on a second way, through the "
            "gate: it makes the logits, they make the weights, and the weights multiply the "
            "results. Its gradient is added.",
        ),
        Mistake(
            "experts_path_forgotten",
            _with(experts=None),
            "You go back through the gate only. x is also what the experts compute with.",
        ),
        Mistake(
            "unweighted",
            _with(experts=Slips(unweighted=True)),
            "On the way through the experts the weights are missing: what arrives at an expert's "
            "result is weight * dy.",
        ),
        Mistake(
            "first_only",
            _with(experts=Slips(first_only=True)),
            "On the way through the experts only the first choice counts; the others are added.",
        ),
        Mistake(
            "residual_added",
            lambda *given: _with()(*given) + given[0],
            "dy itself is in your result. That is the path around the layer, and whoever adds x "
            "to y adds it: the layer does not.",
        ),
        Mistake(
            "without_division",
            _with(divided=False),
            "On the way through the gate you use the gradient of shares that are not divided by "
            "their sum; your step gate_backward has the right one.",
        ),
    ),
)
