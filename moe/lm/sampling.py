"""Text from a model: one token at a time, with the keys and values of those before kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import check_float, check_int
from ..routing import Routing
from .attention import Cache
from .model import LanguageModel


@dataclass(frozen=True)
class Sampled:
    """One more token of every sequence.

    Attributes
    ----------
    token_B
        The tokens drawn; after a sequence has ended, its `fill`.
    logits_BV
        What they were drawn from.
    routings
        How each layer routed the last tokens before them: for the first ones drawn, all rows of
        the prompts.
    """

    token_B: np.ndarray
    logits_BV: np.ndarray
    routings: list[Routing]


def new_caches(model: LanguageModel, n_sequences: int, n_positions: int) -> list[Cache]:
    """Empty caches of every block."""
    _, n_kv, key, value = model.config.head_shape
    shape = (n_sequences, n_positions, n_kv)
    return [
        Cache(np.zeros((*shape, key), model.dtype), np.zeros((*shape, value), model.dtype))
        for _ in model.blocks
    ]


def draw(logits_BV: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a token from each row; at temperature 0 it is the likeliest, the first of equals."""
    if temperature == 0:
        return np.asarray(logits_BV.argmax(axis=1))
    scaled_BV = logits_BV.astype(np.float64) / temperature
    chance_BV = np.exp(scaled_BV - scaled_BV.max(axis=1, keepdims=True))
    ends_BV = np.cumsum(chance_BV, axis=1)
    place_B1 = rng.random((len(logits_BV), 1)) * ends_BV[:, -1:]
    return np.minimum((ends_BV <= place_B1).sum(axis=1), logits_BV.shape[1] - 1)


def sample(
    model: LanguageModel,
    prompt_BT: np.ndarray,
    n_new: int,
    rng: np.random.Generator,
    temperature: float = 1.0,
    times: int = 1,
    end: int | None = None,
    fill: int = 0,
) -> Iterator[Sampled]:
    """Continue prompts of one length, token by token.

    Parameters
    ----------
    model
        Any language model.
    prompt_BT
        Tokens, (B, T).
    n_new
        Tokens to draw at most; prompts and these may be longer than the model's context, whose
        positions were then never trained.
    rng
        Source of the draws; same seed, same tokens.
    temperature
        1 draws from the model's chances, 0 takes the likeliest.
    times
        Samples of each prompt, which stand one after the other.
    end, fill
        A token that ends a sequence, and what stands behind it.

    Yields
    ------
    Sampled
        The next token of each of the B * times sequences, until all have ended.

    Raises
    ------
    ValueError
        If an argument is not allowed.
    """
    check_int("n_new", n_new, 1)
    check_int("times", times, 1)
    check_float("temperature", temperature, 0.0)
    n_prompt = np.shape(prompt_BT)[1] if np.ndim(prompt_BT) == 2 else 0
    caches = new_caches(model, len(prompt_BT), n_prompt + n_new)
    ctx = model.forward(prompt_BT, caches=caches)
    caches = [cache.repeat(times) for cache in caches]
    last_ND = ctx.h_ND[n_prompt - 1 :: n_prompt]
    logits_BV = np.repeat(model.output(np.ascontiguousarray(last_ND)), times, axis=0)
    routings = ctx.routings
    ended_B = np.zeros(len(logits_BV), bool)
    for length in range(n_prompt, n_prompt + n_new):
        token_B = np.where(ended_B, fill, draw(logits_BV, temperature, rng))
        if end is not None:
            ended_B |= token_B == end
        yield Sampled(token_B, logits_BV, routings)
        if ended_B.all() or length + 1 == n_prompt + n_new:
            return
        logits_BV, routings = model.step(token_B, caches, length)
