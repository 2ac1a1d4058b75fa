"""A planted language in which the same token asks for different experts, as the context says.

In real text the current character tells nearly all about the next, so that routing by its identity
alone does well. Here it tells only how the next word ends. How that begins follows from the word
before, by a rule of the dialect, and the dialect is named only by the first token of the window.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import check_int

N_DIALECTS, N_STEMS, N_ENDINGS = 64, 16, 4


@lru_cache(maxsize=1)
def dialect_rules() -> np.ndarray:
    """Stem that each stem becomes in each dialect, (dialects, stems); each row is a shuffle."""
    rng = np.random.default_rng(16)
    rule_TS = np.stack([rng.permutation(N_STEMS) for _ in range(N_DIALECTS)])
    rule_TS.flags.writeable = False
    return rule_TS


@dataclass(frozen=True)
class DialectsTask:
    """Predict the next word from the dialect and the last two words.

    A word is a stem and an ending, stem * 4 + ending. The next word has the last word's ending; its
    stem is what the dialect makes of the last word's but one. Dialects and words are equally
    frequent, and words further back mean nothing.

    Attributes
    ----------
    context
        Tokens of a window, at least `least`: the number of the dialect, and words.
    """

    context: int = 6

    least = 3
    name = "dialects"
    title = f"Planted language of {N_DIALECTS} dialects"
    n_vocab = N_STEMS * N_ENDINGS
    n_inputs = 0
    n_outputs = N_STEMS * N_ENDINGS
    n_classes = N_STEMS * N_ENDINGS

    def __post_init__(self) -> None:
        check_int("context", self.context, self.least, 64, "a dialect and two words")

    @property
    def sha256(self) -> str:
        """Hash of the rules: it changes when they do."""
        return hashlib.sha256(dialect_rules().astype("<i8").tobytes()).hexdigest()

    def draw(
        self, rng: np.random.Generator, size: int, with_domain: bool = False, run: int = 1
    ) -> tuple[np.ndarray, ...]:
        """Draw windows: inputs (N, C) uint8, targets (N,), and dialects (N,) if asked for.

        Windows have no order, so `run` changes nothing.
        """
        check_int("size", size, 0)
        inputs_NC = rng.integers(0, self.n_vocab, (size, self.context)).astype(np.uint8)
        inputs_NC[:, 0] = dialect_N = rng.integers(0, N_DIALECTS, size)
        before_N, last_N = inputs_NC[:, -2].astype(np.int64), inputs_NC[:, -1].astype(np.int64)
        target_N = dialect_rules()[dialect_N, before_N // N_ENDINGS] * N_ENDINGS
        target_N += last_N % N_ENDINGS
        return (inputs_NC, target_N, dialect_N) if with_domain else (inputs_NC, target_N)

    held_out = draw  # fresh windows are new windows
