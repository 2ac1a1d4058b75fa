"""Text for a language model: windows of bytes to train on, and held-out ones to judge by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from ..data.corpus import Corpus, from_file, load_corpus
from ..data.shakespeare import load_plays
from ..data.text import draw_starts, stretches
from ..errors import check_choice, check_int

CORPORA: dict[str, Callable[[], Corpus]] = {"default": load_corpus, "shakespeare": load_plays}


class Windows(Protocol):
    """What a model can train on: windows of tokens, whose last T follow their first T."""

    @property
    def sha256(self) -> str:
        """Hash of the data, by which a run that goes on knows them."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the domains, whose positions are the labels."""

    @property
    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Windows that training never draws, (M, T + 1), and their domains, (M,)."""

    def draw(self, rng: np.random.Generator, n_sequences: int) -> np.ndarray:
        """Draw windows for training, (B, T + 1)."""


@dataclass(frozen=True)
class ByteWindows:
    """Windows of a corpus's bytes; the held-out stretches are those of `moe.data.TextTask`.

    Parameters
    ----------
    corpus
        Text with labelled domains.
    context
        T, the positions that the model sees.
    """

    corpus: Corpus
    context: int

    def __post_init__(self) -> None:
        check_int("context", self.context, 1)
        if not len(self.held_out[0]):
            raise ValueError(
                f"context: got {self.context} with a text of {self.corpus.n_bytes} bytes, allowed "
                "is a shorter context or a longer text"
            )

    @property
    def sha256(self) -> str:
        """Hash of the corpus."""
        return self.corpus.sha256

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the corpus's domains."""
        return self.corpus.names

    @cached_property
    def _stretches(self) -> tuple[np.ndarray, np.ndarray]:
        return stretches(self.corpus, self.context)

    def draw(self, rng: np.random.Generator, n_sequences: int) -> np.ndarray:
        """Draw training windows, (B, T + 1) uint8; every position is equally likely."""
        return self.draw_with_domain(rng, n_sequences)[0]

    def draw_with_domain(
        self, rng: np.random.Generator, n_sequences: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw training windows, (B, T + 1) uint8, and their domains, (B,)."""
        check_int("n_sequences", n_sequences, 1)
        stretch_S3 = self._stretches[0]
        start_B, stretch_B = draw_starts(rng, stretch_S3, self.context + 1, n_sequences)
        window_BT = self.corpus.data[start_B[:, None] + np.arange(self.context + 1)]
        return window_BT, stretch_S3[stretch_B, 2]

    @cached_property
    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """All whole windows of the held-out stretches, side by side, and their domains.

        A window begins with the byte that the window before it ends with, so that every byte but
        a stretch's first is predicted once, except for those behind its last whole window.
        """
        starts, labels = [], []
        for low, high, label in self._stretches[1]:
            start_M = np.arange(low, high - self.context, self.context)
            starts.append(start_M)
            labels.append(np.full(len(start_M), label))
        start_M = np.concatenate(starts)
        window_MT = self.corpus.data[start_M[:, None] + np.arange(self.context + 1)]
        return window_MT, np.concatenate(labels)


def make_windows(corpus: str, context: int, text: str | Path | None = None) -> ByteWindows:
    """Return windows of a corpus by name, or of a user's own text file.

    Parameters
    ----------
    corpus
        A key of `CORPORA`.
    context
        Positions that the model sees.
    text
        Path of a file that is read instead.

    Raises
    ------
    ValueError
        If the name is unknown, the text cannot be read, or it is too short for the context.
    """
    check_choice("corpus", corpus, CORPORA)
    return ByteWindows(CORPORA[corpus]() if text is None else from_file(text), context)
