"""Standard normal numbers in float32, the same bits as numpy's, in half of the time.

numpy's ziggurat (Marsaglia and Tsang, Journal of Statistical Software 5(8), 2000) branches on the
sign of each number, which no processor can predict. A kernel, because how many random words a
number takes depends on the words. Its oracle is numpy's generator.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from .backend import backend_name, njit

EDGE = 3.6541528853610088  # where the last of the 256 strips begins
STEPS = 2**23  # of a strip's width, by which a word says how far a number is from 0
WORDS = 2**16  # at a time, so that they stay in the cache
_F, _U = np.float32, np.uint32


class Strips(NamedTuple):
    """The 256 strips of equal area under exp(-x² / 2).

    `inside`: steps below which a number is under the curve for certain; `width`: of a step;
    `height`: of the curve at the strip's outer end.
    """

    inside: np.ndarray
    width: np.ndarray
    height: np.ndarray


@cache
def strips() -> Strips:
    """The tables that numpy has for float32."""
    end, height = [0.0] * 255 + [EDGE], [1.0] * 255 + [math.exp(-EDGE * EDGE / 2)]
    area = EDGE * height[255] + math.sqrt(math.pi / 2) * math.erfc(EDGE / math.sqrt(2))
    for i in range(254, 0, -1):
        end[i] = math.sqrt(-2 * math.log(area / end[i + 1] + height[i + 1]))
        height[i] = math.exp(-end[i] * end[i] / 2)
    share = [EDGE * height[255] / area, 0.0, *(end[i - 1] / end[i] for i in range(2, 256))]
    width = [area / height[255], *end[1:]]
    return Strips(
        np.array([round(one * STEPS) for one in share], _U),
        (np.array(width) / STEPS).astype(_F),
        np.array(height).astype(_F),
    )


@njit
def _normals(word_W, out, inside, width, height):
    """Make numbers of words until either come to their end; say how many, of how many words."""
    edge, inverse, unit = _F(EDGE), _F(1 / EDGE), _F(1 / 2**24)
    n_words, made, at = word_W.size, 0, 0
    while made < out.size and at < n_words:
        taken, word = at, word_W[at]
        at += 1
        strip, steps = np.uintp(word & _U(255)), word >> _U(9)
        x = _F(np.int32(steps)) * width[strip]
        x = -x if (word >> _U(8)) & _U(1) else x
        if steps < inside[strip]:  # 99 % of all
            out[made] = x
            made += 1
            continue
        good = False
        if strip == 0:  # beyond the edge
            while not good:
                if at + 2 > n_words:
                    return made, taken
                far = -inverse * _F(math.log1p(-(_F(word_W[at] >> _U(8)) * unit)))
                near = -_F(math.log1p(-(_F(word_W[at + 1] >> _U(8)) * unit)))
                at += 2
                good = bool(near + near > far * far)
            x = -(edge + far) if (steps >> _U(8)) & _U(1) else edge + far
        else:
            if at == n_words:
                return made, taken
            high = (height[strip - 1] - height[strip]) * (_F(word_W[at] >> _U(8)) * unit)
            at += 1
            good = bool(high + height[strip] < math.exp(-0.5 * np.float64(x) * np.float64(x)))
        if good:
            out[made] = x
            made += 1
    return made, at


class Normals:
    """Standard normal numbers, one after another: those of `Generator(SFC64(seed))`.

    Parameters
    ----------
    seed
        Of numpy's `SFC64`.
    """

    def __init__(self, seed: int | tuple[int, ...]) -> None:
        self._bits = np.random.SFC64(seed)
        self._left = np.empty(0, _U)
        self._plain = backend_name() == "numpy"  # to the end: each keeps words that it did not use

    def fill(self, out: np.ndarray) -> None:
        """Fill an array, C-contiguous float32, with the numbers that come next."""
        if self._plain:
            np.random.Generator(self._bits).standard_normal(out=out, dtype=_F)
            return
        rest = out.reshape(-1)
        while rest.size:
            drawn = self._bits.random_raw(-(-min(rest.size, WORDS) // 2))
            drawn_W = drawn.astype("<u8", copy=False).view("<u4")  # the lower half comes first
            word_W = np.concatenate([self._left, drawn_W.astype(_U, copy=False)])
            made, taken = _normals(word_W, rest, *strips())
            rest, self._left = rest[made:], word_W[taken:]
