"""Upcycling of a language model in training: every layer gets more experts, and it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from ..dense import DenseFFN
from ..errors import check_int
from ..layer import MoELayer
from ..upcycling import replicas, upcycle, upcycle_experts
from .config import LMConfig
from .model import LanguageModel
from .settings import LMTrainSettings
from .training import LMTrainer

OF_EXPERTS = ("n_experts", "k", "d_expert", "d_dense", "router", "router_options")
BATCHES = 10  # whose gradients say how useful an expert is (arXiv 2604.19835, section 4)


def utilities(model: LanguageModel, batches: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Squared length of the mean gradient at each expert's weights, (E,) for each layer.

    Parameters
    ----------
    model
        A model with experts.
    batches
        Windows of text, (B, T + 1) each, whose last T tokens follow their first.

    Raises
    ------
    ValueError
        If there is no batch, or one of them is no table of tokens.
    """
    if not len(batches):
        raise ValueError("batches: got none, allowed is at least one")
    names = [
        [f"blocks.{number}.ffn.{name}" for name in block.ffn.params if name.startswith("w_")]
        for number, block in enumerate(model.blocks)
        if isinstance(block.ffn, MoELayer)
    ]
    total = {name: np.zeros(()) for layer in names for name in layer}
    for batch_BT in batches:
        window_BT = np.asarray(batch_BT)
        if window_BT.ndim != 2:
            raise ValueError(f"batches: got shape {window_BT.shape}, allowed is (B, T + 1)")
        arrays = model.gradients(window_BT[:, :-1], window_BT[:, 1:]).arrays
        total = {name: sum_ + arrays[name].astype(np.float64) for name, sum_ in total.items()}
    return [
        np.sum([np.square(total[name] / len(batches)).sum(axis=(1, 2)) for name in layer], axis=0)
        for layer in names
    ]


def upcycle_model(
    model: LanguageModel,
    copies: int = 2,
    noise: float = 1e-3,
    seed: int = 0,
    by: Sequence[np.ndarray] | None = None,
) -> LanguageModel:
    """Return a model with `copies` times the experts; see `moe.upcycle_experts`.

    Parameters
    ----------
    model
        Its experts are copied; what is no expert is shared with it.
    copies, noise, seed
        As there; each layer draws anew.
    by
        Utilities of each layer's experts, which then share the new places by `moe.replicas`;
        without them each gets as many.

    Raises
    ------
    ValueError
        If an argument is not allowed, or a layer's router cannot be upcycled.
    """
    check_int("copies", copies, 1)
    check_int("seed", seed, 0)
    if by is not None and len(by) != len(model.moe_layers):
        raise ValueError(
            f"by: got utilities of {len(by)} layers, allowed are those of {len(model.moe_layers)}"
        )
    grown = []
    seeds = np.random.SeedSequence(seed).generate_state(max(1, len(model.moe_layers)))
    for number, layer in enumerate(model.moe_layers):
        shares = copies if by is None else replicas(by[number], layer.n_experts * (copies - 1))
        grown.append(upcycle_experts(layer, shares, noise, int(seeds[number])))
    return model.with_layers(grown)


def upcycle_dense(
    model: LanguageModel, config: LMConfig, drop: float = 0.0, seed: int = 0
) -> LanguageModel:
    """Return a dense model as a mixture, whose experts are copies of its networks.

    Parameters
    ----------
    model
        Dense, its networks as wide as one expert; what is no network is shared with it.
    config
        Of the mixture: its experts, router and k. All else is as in the model, and there are no
        shared experts and no dense layers, which would have to come from somewhere.
    drop, seed
        As in `moe.upcycle`; each layer draws anew. The weights are those of `exact=False`.

    Raises
    ------
    ValueError
        If a layer is no dense network of the width of an expert, the configurations differ in
        something else, or the router does not allow it.
    """
    check_int("seed", seed, 0)
    for name in [one.name for one in fields(LMConfig) if one.name not in OF_EXPERTS]:
        wanted = 0 if name in ("n_shared", "n_dense") else getattr(model.config, name)
        if getattr(config, name) != wanted:
            raise ValueError(f"{name}: got {getattr(config, name)}, allowed is {wanted} here")
    layers = []
    seeds = np.random.SeedSequence(seed).generate_state(len(model.blocks))
    for number, block in enumerate(model.blocks):
        if not isinstance(block.ffn, DenseFFN) or block.ffn.d_hidden != config.d_expert:
            raise ValueError(
                f"model: got another layer than a dense one of width {config.d_expert} at "
                f"{number}, allowed is a dense model as wide as an expert"
            )
        layer = upcycle(
            block.ffn, config.n_experts, config.make_router(), seed=int(seeds[number]),
            exact=False, drop=drop,
        )  # fmt: skip
        layer.check_finite = False
        layers.append(replace(block, ffn=layer))
    return LanguageModel(config, tuple(layers), model.params)


def go_on_with(trainer: LMTrainer, model: LanguageModel, settings: LMTrainSettings) -> LMTrainer:
    """Return a trainer that goes on with another model at the same step, on the same text.

    The optimiser starts anew. Batches and rates are those that would have come, and balancers go on
    from what the model's layers remember.

    Parameters
    ----------
    trainer
        The run so far.
    model
        What goes on.
    settings
        Of the run from here on.

    Raises
    ------
    ValueError
        If the settings are those of another model.
    """
    if settings.model != model.config:
        raise ValueError(
            f"settings: got those of {settings.model.as_call()}, allowed are those of "
            f"{model.config.as_call()}"
        )
    remembered = [dict(layer.buffers) for layer in model.moe_layers]
    following = LMTrainer(settings, trainer.windows, model)
    for layer, buffers in zip(model.moe_layers, remembered, strict=True):
        layer.buffers |= buffers  # a new trainer's balancer begins with empty ones
    following.data_rng, following.noise_rng = trainer.data_rng, trainer.noise_rng
    following.step_number, following.seconds = trainer.step_number, trainer.seconds
    return following
