"""A planted language in which the same token needs different experts, depending on its context.

In real text the current character says nearly everything about the next one, so that routing by
the identity of the token alone does well. Here the current token is one of a few particles: what
follows depends on the stem before it and on the dialect as well, and only the first token of the
window says which dialect it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import check_int

N_DIALECTS, N_STEMS, N_PARTICLES = 64, 16, 8
PLAIN = 0.3  # probability of particle 0; the other particles share the rest equally


@lru_cache(maxsize=1)
def next_stems() -> np.ndarray:
    """Stem that follows, (particles, dialects, stems).

    Each dialect permutes the stems, and then each particle does, except that particle 0 leaves the
    stem unchanged in every dialect.
    """
    rng = np.random.default_rng(16)
    dialect_DS, particle_PS = (
        np.stack([rng.permutation(N_STEMS) for _ in range(count)])
        for count in (N_DIALECTS, N_PARTICLES)
    )
    next_PDS = particle_PS[:, dialect_DS]
    next_PDS[0] = np.arange(N_STEMS)
    next_PDS.flags.writeable = False
    return next_PDS


@dataclass(frozen=True)
class DialectsTask:
    """Predict the next stem from the dialect, the last stem and the particle after it.

    Dialects and stems are equally frequent; stems further back have no influence.

    Attributes
    ----------
    context
        Number of tokens in a window, at least `least`: the dialect, stems, and a particle.
    """

    context: int = 6

    least = 3
    name = "dialects"
    title = f"Planted language of {N_DIALECTS} dialects"
    n_vocab = N_DIALECTS
    n_inputs = 0
    n_outputs = N_STEMS
    n_classes = N_STEMS

    def __post_init__(self) -> None:
        check_int("context", self.context, self.least, 64, "a dialect, a stem and a particle")

    @property
    def sha256(self) -> str:
        """Hash of the rules, which changes when they do."""
        return hashlib.sha256(next_stems().astype("<i8").tobytes()).hexdigest()

    def draw(
        self, rng: np.random.Generator, size: int, with_domain: bool = False, run: int = 1
    ) -> tuple[np.ndarray, ...]:
        """Draw windows: inputs (N, C) uint8, targets (N,), and dialects (N,) if asked for.

        Windows have no order, so `run` changes nothing.
        """
        check_int("size", size, 0)
        inputs_NC = rng.integers(0, N_STEMS, (size, self.context)).astype(np.uint8)
        inputs_NC[:, 0] = dialect_N = rng.integers(0, N_DIALECTS, size)
        particle_N = np.where(rng.random(size) < PLAIN, 0, rng.integers(1, N_PARTICLES, size))
        inputs_NC[:, -1] = particle_N
        target_N = next_stems()[particle_N, dialect_N, inputs_NC[:, -2]]
        return (inputs_NC, target_N, dialect_N) if with_domain else (inputs_NC, target_N)

    held_out = draw  # fresh windows are new windows
