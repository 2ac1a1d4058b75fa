"""A language model's training in figures, as a sweep records it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .model import LanguageModel
from .settings import LMTrainSettings
from .training import LMTrainer

LAST = 20  # steps over which the load at the end is averaged


@dataclass(frozen=True)
class LMFigures:
    """What a run came to.

    Attributes
    ----------
    bits_per_byte
        Of all held-out text, at the end.
    worst_max_vio
        `max_vio` of the load, averaged over the last steps, of the layer where it is largest.
    idle
        Experts, over all layers, that no token chose in the last step.
    params, active_params
        Numbers in all arrays, and in those that one token's way through the model uses.
    flops_per_token
        Of training, forward and back: six for each number of a matrix that a token meets, and
        attention to half the context.
    """

    bits_per_byte: float
    worst_max_vio: float
    idle: int
    params: int
    active_params: int
    flops_per_token: int


def active_params(model: LanguageModel) -> int:
    """Numbers that one token's way uses: k of each layer's experts, and one row of the embedding.

    Of routers that give a number of experts that varies, k is counted as the configuration says.
    """
    config = model.config
    unused = sum(
        array.size * (config.n_experts - config.k) // config.n_experts
        for layer in model.moe_layers
        for name, array in layer.params.items()
        if name.startswith(("w_gate_up_E", "w_up_E", "w_down_E"))
    )
    rows = 0 if config.tied else (config.n_vocab - 1) * config.d_model
    return model.n_params - unused - rows


def flops_per_token(model: LanguageModel) -> int:
    """Operations of training for one token, counted from the sizes."""
    config = model.config
    n_heads, _, key, value = config.head_shape
    attention = config.n_layers * config.context * n_heads * (key + value) // 2
    return 6 * (active_params(model) + attention)


def figures(settings: LMTrainSettings) -> LMFigures:
    """Train to the end, and say what came out."""
    trainer = LMTrainer(settings)
    records = list(trainer.run())
    vio_SL = np.array([record.max_vio for record in records[-LAST:]])
    bits = records[-1].held_out
    assert bits is not None  # the last step looks at all held-out text
    return LMFigures(
        bits_per_byte=bits,
        worst_max_vio=float(vio_SL.mean(axis=0).max(initial=0.0)),
        idle=records[-1].dead,
        params=trainer.model.n_params,
        active_params=active_params(trainer.model),
        flops_per_token=flops_per_token(trainer.model),
    )
