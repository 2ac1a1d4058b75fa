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
    found: list[ExpertUse] = []
    for tokens_BT in pieces:
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
        raise ValueError("model: got one without experts or no text, allowed are both")
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
    pairs = zip(model.moe_layers, kept, strict=True)
    return model.with_layers([prune(layer, keep_M) for layer, keep_M in pairs])
