"""Predict the next byte: token windows drawn from a corpus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import check_int
from .corpus import Corpus

# The last twentieth of every block of text is held out, instead of the end of each domain, so that
# training and held-out windows come from all parts of a text.
BLOCK, HELD_EVERY = 20_000, 20
SHOWN = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}


def token_text(byte: int) -> str:
    """Printable form of a byte: a character, a symbol for white space, or its hex code."""
    character = chr(byte)
    if character in SHOWN:
        return SHOWN[character]
    return character if 0x20 < byte < 0x7F else f"\\x{byte:02x}"


def windows(text: bytes, context: int) -> np.ndarray:
    """Return for each byte the `context` bytes that end with it, (n, C) uint8.

    The text is padded with newlines in front, which is how texts in a corpus are separated.
    """
    check_int("context", context, 1)
    if not text:
        return np.zeros((0, context), np.uint8)
    padded = np.frombuffer(b"\n" * context + text, np.uint8)
    # The first window consists of padding only and is left out.
    return np.lib.stride_tricks.sliding_window_view(padded, context)[1:].copy()


def stretches(corpus: Corpus, context: int) -> tuple[np.ndarray, np.ndarray]:
    """Stretches of a corpus for training and held-out ones, both as rows (start, end, domain).

    Each has room for a window of `context` bytes and the next one, if its domain is long enough.
    """
    train, held, start = [], [], 0
    for label, domain in enumerate(corpus.domains):
        block = max(min(BLOCK, domain.data.size), HELD_EVERY * (context + 2))
        end = start + domain.data.size
        for low in range(start, end, block):
            cut = min(low + block - block // HELD_EVERY, end)
            train.append((low, cut, label))
            held.append((cut, min(low + block, end), label))
        start = end
    return np.array(train), np.array(held)


def draw_starts(
    rng: np.random.Generator, stretch_S3: np.ndarray, length: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw where windows begin and in which stretch they lie: both (size,).

    Every position whose `length` bytes lie inside one stretch is equally likely.

    Raises
    ------
    ValueError
        If no stretch is long enough.
    """
    room_S = np.maximum(stretch_S3[:, 1] - stretch_S3[:, 0] - length + 1, 0)
    ends_S = np.cumsum(room_S)
    if not ends_S[-1]:
        raise ValueError(f"text: got {stretch_S3[-1, 1]} bytes, allowed is a longer text")
    draw_R = rng.integers(0, ends_S[-1], size)
    stretch_R = np.searchsorted(ends_S, draw_R, side="right")
    return draw_R - (ends_S - room_S)[stretch_R] + stretch_S3[stretch_R, 0], stretch_R


@dataclass(frozen=True)
class TextTask:
    """Next-byte prediction from the last `context` bytes; tokens are the 256 byte values.

    Bytes rather than learned word pieces: any text of the user's works, nothing has to be
    fitted first, and the app can show every token as the character it is.
    """

    corpus: Corpus
    context: int = 6

    name = "text"
    title = "Next character of real text"
    n_vocab = 256
    n_inputs = 0
    n_outputs = 256
    n_classes = 256

    def __post_init__(self) -> None:
        check_int("context", self.context, 1, 64)

    @property
    def sha256(self) -> str:
        """Hash of the corpus."""
        return self.corpus.sha256

    @cached_property
    def _segments(self) -> tuple[np.ndarray, np.ndarray]:
        return stretches(self.corpus, self.context)

    def draw(
        self, rng: np.random.Generator, size: int, with_domain: bool = False, run: int = 1
    ) -> tuple[np.ndarray, ...]:
        """Draw training windows: inputs (N, C) uint8, targets (N,), and labels if asked for.

        Every `run` consecutive windows end at neighbouring bytes, as the tokens of a sequence do.
        """
        return self._draw(rng, size, self._segments[0], with_domain, run)

    def held_out(
        self, rng: np.random.Generator, size: int, with_domain: bool = False
    ) -> tuple[np.ndarray, ...]:
        """Draw windows from the stretches that `draw` leaves out."""
        return self._draw(rng, size, self._segments[1], with_domain)

    def held_out_texts(self, n_per_domain: int, size: int) -> list[tuple[int, bytes]]:
        """Return held-out texts of up to `size` bytes, each as (domain label, text).

        They are the starts of held-out stretches, spread evenly over each domain.
        """
        check_int("n_per_domain", n_per_domain, 1)
        check_int("size", size, 1)
        texts = []
        for label in range(len(self.corpus.domains)):
            held_S3 = self._segments[1][self._segments[1][:, 2] == label]
            length_S = held_S3[:, 1] - held_S3[:, 0]
            # The last stretch of a domain may be short, and is left out if others are longer.
            held_S3 = held_S3[length_S >= min(size, length_S.max())]
            chosen = np.unique(np.linspace(0, len(held_S3) - 1, n_per_domain).round().astype(int))
            for low, high, _ in held_S3[chosen]:
                texts.append((label, self.corpus.data[low : min(low + size, high)].tobytes()))
        return texts

    def _draw(
        self,
        rng: np.random.Generator,
        size: int,
        segment_S3: np.ndarray,
        with_domain: bool,
        run: int = 1,
    ) -> tuple[np.ndarray, ...]:
        check_int("size", size, 0)
        check_int("run", run, 1)
        start_R, segment_R = draw_starts(rng, segment_S3, self.context + run, -(-size // run))
        start_N = (start_R[:, None] + np.arange(run)).reshape(-1)[:size]
        segment_N = np.repeat(segment_R, run)[:size]
        inputs_NC = self.corpus.data[start_N[:, None] + np.arange(self.context)]
        target_N = self.corpus.data[start_N + self.context].astype(np.int64)
        domain_N = segment_S3[segment_N, 2]
        return (inputs_NC, target_N, domain_N) if with_domain else (inputs_NC, target_N)
