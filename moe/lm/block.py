"""A block of the model: attention and feed-forward, each behind a norm and beside a residual."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dense import DenseFFN
from ..layer import MoELayer
from .attention import Arrays, Attention, SelfAttention
from .config import LMConfig
from .latent import LatentAttention

FeedForward = MoELayer | DenseFFN


@dataclass(eq=False)
class Block:
    """Attention and feed-forward of one layer.

    Attributes
    ----------
    norms
        `attention_gain_D` and `ffn_gain_D`, the gains of the norms in front of both.
    attention, ffn
        The parts themselves, which hold their own parameters.
    """

    norms: Arrays
    attention: SelfAttention
    ffn: FeedForward

    @classmethod
    def init(cls, config: LMConfig, layer: int, rng: np.random.Generator, dtype: str) -> Block:
        """Fresh weights of one layer."""
        kind: Any = LatentAttention if config.latent else Attention
        gain_D = np.ones(config.d_model, dtype)
        return cls(
            {"attention_gain_D": gain_D, "ffn_gain_D": gain_D.copy()},
            kind.init(config, rng, np.dtype(dtype)),
            fresh_ffn(config, layer, int(rng.integers(2**31)), dtype),
        )

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every parameter with its name in this block."""
        yield from self.norms.items()
        for part, arrays in (("attention", self.attention.params), ("ffn", self.ffn.params)):
            for name, array in arrays.items():
                yield f"{part}.{name}", array


def fresh_ffn(config: LMConfig, layer: int, seed: int, dtype: str) -> FeedForward:
    """The feed-forward part; its down maps start at half the spread, so that depth adds less."""
    ffn: FeedForward
    if config.is_moe(layer):
        ffn = MoELayer.init(
            config.d_model, config.d_expert, config.n_experts, config.make_router(),
            n_shared=config.n_shared, activation=config.activation, seed=seed, dtype=dtype,
        )  # fmt: skip
    else:
        ffn = DenseFFN.init(config.d_model, config.dense_width, config.activation, seed, dtype)
    ffn.check_finite = False
    for name, array in ffn.params.items():
        if "w_down" in name:
            array *= array.dtype.type(0.5)
    return ffn
