"""A model of bytes writes text, as text."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import numpy as np

from .model import LanguageModel
from .sampling import sample


def write(
    model: LanguageModel, prompt: str, n: int, temperature: float = 1.0, seed: int = 0
) -> Iterator[str]:
    """Go on from a prompt by `n` bytes, yielding text as it comes; bytes that are none become �.

    Parameters
    ----------
    model
        Of bytes.
    prompt
        An empty one counts as the start of a line.
    n, temperature
        As in `moe.lm.sample`.
    seed
        Same seed, same text.

    Raises
    ------
    ValueError
        If an argument is not allowed.
    """
    prompt_1T = np.frombuffer(prompt.encode() or b"\n", np.uint8)[None]
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    for one in sample(model, prompt_1T, n, np.random.default_rng(seed), temperature):
        yield decode(bytes([int(one.token_B[0])]))
    yield decode(b"", final=True)
