"""Causal self-attention: one product for queries, keys and values, then heads; and back.

B   sequences                        H   heads of queries
T   positions of a sequence          G   heads of keys and values, which H / G heads share
N   rows, B * T                      C   width of a head's queries and keys
R   pairs of columns that rotate     U   width of a head's values
X   columns of the product, (H + G) C + G U
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import kernels
from .config import LMConfig

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Positions:
    """Where rows stand, and the tables that turn them.

    Attributes
    ----------
    n_sequences
        B.
    position_N
        Position of each row in its sequence, (N,) integers.
    cos_TR, sin_TR
        Of the angle position * theta^(-r / R), by position and pair.
    """

    n_sequences: int
    position_N: np.ndarray
    cos_TR: np.ndarray
    sin_TR: np.ndarray


@dataclass
class Cache:
    """Keys and values of the positions that a layer has seen, room for more behind them.

    Attributes
    ----------
    k_BTGC, v_BTGU
        By sequence and position.
    """

    k_BTGC: np.ndarray
    v_BTGU: np.ndarray

    def put(self, k_NGC: np.ndarray, v_NGU: np.ndarray, start: int) -> None:
        """Keep keys and values of the same number of new positions in every sequence."""
        n_sequences = len(self.k_BTGC)
        n_new = len(k_NGC) // n_sequences
        for kept, new in ((self.k_BTGC, k_NGC), (self.v_BTGU, v_NGU)):
            kept[:, start : start + n_new] = new.reshape(n_sequences, n_new, *new.shape[1:])

    def repeat(self, times: int) -> Cache:
        """Copies in which every sequence stands `times` times, one after the other."""
        return Cache(*(np.repeat(kept, times, axis=0) for kept in (self.k_BTGC, self.v_BTGU)))


class SelfAttention(Protocol):
    """What a block needs of its attention: heads of any kind, with their way back."""

    params: Arrays

    def forward(
        self, x_ND: np.ndarray, at: Positions, cache: Cache | None = None
    ) -> tuple[np.ndarray, Any]:
        """Result (N, D) and what backward needs; keys and values are put into the cache."""

    def step(self, x_BD: np.ndarray, at: Positions, cache: Cache, length: int) -> np.ndarray:
        """Result (B, D) of one new position, the one after `length` that the cache holds."""

    def backward(self, dy_ND: np.ndarray, ctx: Any) -> tuple[np.ndarray, Arrays]:
        """Gradients at x and at the parameters."""


@dataclass(frozen=True)
class AttentionContext:
    """What `Attention.forward` keeps for backward."""

    x_ND: np.ndarray
    heads: tuple[np.ndarray, np.ndarray, np.ndarray]
    split: Any
    out_NX: np.ndarray
    weights: Any
    n_sequences: int


@dataclass(eq=False)
class Attention:
    """Heads whose queries, keys and values are linear maps of x; fewer keys than queries are GQA.

    Attributes
    ----------
    config
        Sizes, norm and rotation.
    params
        `w_qkv_DX`, `w_out_XD`, and with a norm of queries and keys `q_gain`, `k_gain`: (C,) for
        each head alike, or (H C,) and (G C,) over the whole width.
    """

    config: LMConfig
    params: Arrays

    @classmethod
    def init(cls, config: LMConfig, rng: np.random.Generator, dtype: Any) -> Attention:
        """Fresh weights; the output map starts at half the spread, as experts' down maps do."""
        n_heads, n_kv, key, value = config.head_shape
        d_model, width = config.d_model, n_heads * value
        params = {
            "w_qkv_DX": spread(rng, d_model, (n_heads + n_kv) * key + n_kv * value),
            "w_out_XD": 0.5 * spread(rng, width, d_model),
        }
        if config.qk_norm != "none":
            whole = config.qk_norm == "width"
            params["q_gain"] = np.ones(n_heads * key if whole else key)
            params["k_gain"] = np.ones(n_kv * key if whole else key)
        return cls(config, {name: array.astype(dtype) for name, array in params.items()})

    @property
    def _scale(self) -> float:
        return float(self.config.key_size**-0.5)

    def forward(
        self, x_ND: np.ndarray, at: Positions, cache: Cache | None = None
    ) -> tuple[np.ndarray, AttentionContext]:
        """See `SelfAttention`."""
        return self.attend(x_ND, kernels.matmul(x_ND, self.params["w_qkv_DX"]), at, cache)

    def step(self, x_BD: np.ndarray, at: Positions, cache: Cache, length: int) -> np.ndarray:
        """See `SelfAttention`."""
        return self.attend_next(kernels.matmul(x_BD, self.params["w_qkv_DX"]), at, cache, length)

    def backward(self, dy_ND: np.ndarray, ctx: AttentionContext) -> tuple[np.ndarray, Arrays]:
        """See `SelfAttention`."""
        dqkv_NX, grads = self.attend_backward(dy_ND, ctx)
        grads["w_qkv_DX"] = kernels.matmul_tn(ctx.x_ND, dqkv_NX)
        return kernels.matmul_nt(dqkv_NX, self.params["w_qkv_DX"]), grads

    # The heads alone, between the products: latent attention has the same ones. -------------------

    def _split(self, qkv_NX: np.ndarray, at: Positions) -> tuple[Any, ...]:
        return kernels.split_heads(
            qkv_NX, self.config.head_shape, self.params.get("q_gain"), self.params.get("k_gain"),
            self.config.norm_eps, at.position_N, at.cos_TR, at.sin_TR, self.config.interleaved,
        )  # fmt: skip

    def attend(
        self, x_ND: np.ndarray, qkv_NX: np.ndarray, at: Positions, cache: Cache | None
    ) -> tuple[np.ndarray, AttentionContext]:
        """Result (N, D) of queries, keys and values that lie side by side."""
        q_NHC, k_NGC, v_NGU, split = self._split(qkv_NX, at)
        if cache is not None:
            cache.put(k_NGC, v_NGU, 0)
        out_NHU, weights = kernels.attention(q_NHC, k_NGC, v_NGU, at.n_sequences, self._scale)
        out_NX = out_NHU.reshape(len(x_ND), -1)
        y_ND = kernels.matmul(out_NX, self.params["w_out_XD"])
        heads = (q_NHC, k_NGC, v_NGU)
        return y_ND, AttentionContext(x_ND, heads, split, out_NX, weights, at.n_sequences)

    def attend_next(
        self, qkv_BX: np.ndarray, at: Positions, cache: Cache, length: int
    ) -> np.ndarray:
        """Result (B, D) of one new position behind those that the cache holds."""
        q_BHC, k_BGC, v_BGU, _ = self._split(qkv_BX, at)
        cache.put(k_BGC, v_BGU, length)
        out_BHU = kernels.attention_step(q_BHC, cache.k_BTGC, cache.v_BTGU, length + 1, self._scale)
        out_BX = out_BHU.reshape(len(qkv_BX), -1)
        return np.asarray(kernels.matmul(out_BX, self.params["w_out_XD"]))

    def attend_backward(
        self, dy_ND: np.ndarray, ctx: AttentionContext
    ) -> tuple[np.ndarray, Arrays]:
        """Gradients at queries, keys and values side by side, and at the heads' parameters."""
        grads = {"w_out_XD": kernels.matmul_tn(ctx.out_NX, dy_ND)}
        q_NHC, k_NGC, v_NGU = ctx.heads
        dout_NX = kernels.matmul_nt(dy_ND, self.params["w_out_XD"])
        shape = (*q_NHC.shape[:2], v_NGU.shape[2])
        dheads = kernels.attention_backward(
            dout_NX.reshape(shape), q_NHC, k_NGC, v_NGU, ctx.out_NX.reshape(shape), ctx.weights,
            ctx.n_sequences, self._scale,
        )  # fmt: skip
        dqkv_NX, dq_gain, dk_gain = kernels.split_heads_backward(*dheads, ctx.split)
        if dq_gain is not None:
            grads |= {"q_gain": dq_gain, "k_gain": dk_gain}
        return dqkv_NX, grads


def spread(rng: np.random.Generator, n_in: int, n_out: int) -> np.ndarray:
    """A fresh map (n_in, n_out) whose results have the variance of its inputs."""
    return rng.standard_normal((n_in, n_out)) / np.sqrt(n_in)
