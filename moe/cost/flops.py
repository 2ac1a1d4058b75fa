"""Floating-point operations per token, by formula: 2 per multiply-add."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import check_int
from .params import count_params, module_mixers, mtp_params
from .shape import MOST, Shape


@dataclass(frozen=True)
class Flops:
    """Operations of one token by part.

    Attributes
    ----------
    projections
        Attention's matrices of weights, and the norms.
    attention
        Scores and weighted values, which grow with the context.
    experts, shared, router, dense
        Feed-forward networks.
    head
        Output matrix; the input table is a look-up and costs nothing.
    mtp
        Multi-token prediction, head included; 0 unless asked for.
    """

    projections: float
    attention: float
    experts: float
    shared: float
    router: float
    dense: float
    head: float
    mtp: float

    @property
    def total(self) -> float:
        """Sum of the parts."""
        return sum(getattr(self, name) for name in self.__dataclass_fields__)


def _seen(context: int, causal: bool) -> float:
    """Tokens that a token sees: half of them on average, or all."""
    check_int("context", context, 1, MOST)
    return context / 2 if causal else float(context)


def flops_per_token(
    shape: Shape,
    context: int = 4096,
    causal: bool = True,
    training: bool = False,
    mtp: bool = False,
) -> Flops:
    """Operations of one token, mean over a sequence of `context` tokens.

    Parameters
    ----------
    context, causal
        Tokens of the sequence. With `causal`, a token sees half of them on average; without,
        all: the convention of many utilisation figures, and the last token's true cost.
    training
        Forward and backward: three times forward. Recomputed activations are not counted.
    mtp
        Count the multi-token-prediction modules, as training runs them; published figures don't.

    Raises
    ------
    ValueError
        If the context is below 1.
    """
    params = count_params(shape)
    times = 3 if training else 1
    seen = _seen(context, causal)
    head = 2 * params.embedding
    module = 0.0
    if mtp:
        own = shape.heads * (shape.qk_dim + shape.v_dim) if shape.attention_layers else 0
        width = own + sum(mixer.width for mixer in module_mixers(shape))
        scores = 2 * width * seen
        module = 2 * mtp_params(shape, active=True) + shape.mtp_layers * (scores + head)
    return Flops(
        projections=times * 2.0 * (params.attention + params.norms),
        attention=times * 2 * shape.seen_width() * seen,
        experts=times * 2.0 * params.active_experts,
        shared=times * 2.0 * params.shared,
        router=times * 2.0 * params.router,
        dense=times * 2.0 * params.dense,
        head=times * float(head),
        mtp=times * module,
    )
