"""Pruning of a language model: as many experts of every layer go, by what some text uses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..errors import check_int
from ..layer import MoELayer
from ..pruning import ExpertUse, experts_to_keep, prune
from .model import LanguageModel

ROWS = 8192  # tokens that run at once


def expert_use(model: LanguageModel, pieces: Iterable[np.ndarray]) -> list[ExpertUse]:
    """What a text makes of the experts of each layer that has some.

    Parameters
    ----------
    model
        A model with experts.
    pieces
        Tokens of whole sequences, (B, T) each.

    Raises
    ------
    ValueError
        If the model has no experts, there is no token, or a router is none that can be pruned.
    """
    if not model.moe_layers:
        raise ValueError("model: got one without experts, allowed is one that has some")
    found: list[ExpertUse] = []
    for piece_BT in pieces:
        tokens_BT = np.asarray(piece_BT)
        if tokens_BT.ndim != 2:
            raise ValueError(f"pieces: got shape {tokens_BT.shape}, allowed is (B, T)")
        rows = max(1, ROWS // max(1, tokens_BT.shape[1]))
        for low in range(0, len(tokens_BT), rows):
            ctx = model.forward(tokens_BT[low : low + rows])
            own = [
                ExpertUse.of_context(block.ffn, kept.ffn)
                for block, kept in zip(model.blocks, ctx.blocks, strict=True)
                if isinstance(block.ffn, MoELayer)
            ]
            found = [a + b for a, b in zip(found, own, strict=True)] if found else own
    if not found:
        raise ValueError("pieces: got no token, allowed are some")
    return found


def kept_experts(
    uses: Sequence[ExpertUse], n_keep: int, by: str = "reap", seed: int = 0
) -> list[np.ndarray]:
    """Numbers of the experts that stay in each layer, by what `expert_use` found.

    Parameters
    ----------
    n_keep, by, seed
        As in `moe.experts_to_keep`; 'random' draws for each layer anew.

    Raises
    ------
    ValueError
        If an argument is not allowed.
    """
    check_int("seed", seed, 0)
    seeds = np.random.SeedSequence(seed).generate_state(max(1, len(uses)))
    return [
        experts_to_keep(use, n_keep, by, int(own)) for use, own in zip(uses, seeds, strict=False)
    ]


def prune_model(model: LanguageModel, kept: Sequence[np.ndarray]) -> LanguageModel:
    """Return the model with these experts of each layer only; see `moe.prune`.

    What is no expert is shared with the model that was given.

    Raises
    ------
    ValueError
        If a layer cannot be pruned so, or not all keep as many.
    """
    layers = model.moe_layers
    if len(kept) != len(layers):
        raise ValueError(
            f"kept: got the experts of {len(kept)} layers, allowed are those of {len(layers)}"
        )
    pairs = zip(layers, kept, strict=True)
    return model.with_layers([prune(layer, keep_M) for layer, keep_M in pairs])
