"""Noise is drawn once: the same numbers and the same generator afterwards."""

from __future__ import annotations

import numpy as np

from moe.cluster import sampling


def generator() -> np.random.Generator:
    return np.random.Generator(np.random.SFC64((3, 1)))


def test_kept_noise_is_what_would_be_drawn_and_moves_the_generator_on() -> None:
    for _ in range(2):  # drawn, and kept
        ours, plain = generator(), generator()
        for n in (50, 7):
            expected = plain.standard_normal((n, 5), np.float32)
            np.testing.assert_array_equal(sampling._noise(ours, n, 5), expected)
            assert ours.random() == plain.random()


def test_few_chunks_are_kept() -> None:
    for seed in range(sampling.MOST_DRAWN + 3):
        sampling._noise(np.random.default_rng(seed), 4, 3)
    assert len(sampling._drawn) == sampling.MOST_DRAWN
