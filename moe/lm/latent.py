"""Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): keys from a latent.

A narrow latent is all that keys and values of all heads are made of, beside one rotating part that
the heads share. The heads themselves are those of `moe.lm.attention`.

    L   width of the latent of keys and values     P   columns of a head that do not rotate
    R   width of the latent of queries             S   columns that do, C - P
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import kernels
from .attention import Arrays, Attention, AttentionContext, Cache, Positions, spread
from .config import LMConfig

LATENT_EPS = 1e-6  # of the latents' norms: the published models add it whatever the others add


@dataclass(frozen=True)
class LatentContext:
    """What `LatentAttention.forward` keeps for backward: of its products, and of its heads."""

    x_ND: np.ndarray
    query: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    low_NL: np.ndarray
    inverse_N: np.ndarray
    latent_NL: np.ndarray
    heads: AttentionContext


@dataclass(eq=False)
class LatentAttention:
    """Heads whose keys and values come from a latent of width `kv_rank`.

    Attributes
    ----------
    config
        Sizes and rotation.
    params
        `w_q_DX`, or `w_q_down_DR`, `q_gain_R` and `w_q_up_RX` with a latent of the queries;
        `w_kv_down_DX` (the latent, then the rotating part), `kv_gain_L`, `w_kv_up_LX` (by head:
        keys, then values) and `w_out_XD`.
    """

    config: LMConfig
    params: Arrays

    @classmethod
    def init(cls, config: LMConfig, rng: np.random.Generator, dtype: Any) -> LatentAttention:
        """Fresh weights, as of `Attention`."""
        n_heads, _, key, value = config.head_shape
        d_model, rank, n_pass = config.d_model, config.kv_rank, key - config.rotating
        if config.q_rank:
            params = {
                "w_q_down_DR": spread(rng, d_model, config.q_rank),
                "q_gain_R": np.ones(config.q_rank),
                "w_q_up_RX": spread(rng, config.q_rank, n_heads * key),
            }
        else:
            params = {"w_q_DX": spread(rng, d_model, n_heads * key)}
        params |= {
            "w_kv_down_DX": spread(rng, d_model, rank + config.rotating),
            "kv_gain_L": np.ones(rank),
            "w_kv_up_LX": spread(rng, rank, n_heads * (n_pass + value)),
            "w_out_XD": 0.5 * spread(rng, n_heads * value, d_model),
        }
        return cls(config, {name: array.astype(dtype) for name, array in params.items()})

    @property
    def _heads(self) -> Attention:
        """The heads behind the products."""
        return Attention(self.config, self.params)

    def _products(self, x_ND: np.ndarray) -> tuple[np.ndarray, tuple[Any, ...]]:
        """Queries, keys and values side by side, not yet turned, and what backward needs."""
        n_heads, _, key, value = self.config.head_shape
        n_rows, rank, n_pass = len(x_ND), self.config.kv_rank, key - self.config.rotating
        query = None
        if self.config.q_rank:
            low_NR = kernels.matmul(x_ND, self.params["w_q_down_DR"])
            normed_NR, inverse_N = kernels.rms_norm(low_NR, self.params["q_gain_R"], LATENT_EPS)
            query = (low_NR, inverse_N, normed_NR)
            q_NX = kernels.matmul(normed_NR, self.params["w_q_up_RX"])
        else:
            q_NX = kernels.matmul(x_ND, self.params["w_q_DX"])
        down_NX = kernels.matmul(x_ND, self.params["w_kv_down_DX"])
        low_NL = np.ascontiguousarray(down_NX[:, :rank])
        latent_NL, inverse_N = kernels.rms_norm(low_NL, self.params["kv_gain_L"], LATENT_EPS)
        up_NHX = kernels.matmul(latent_NL, self.params["w_kv_up_LX"]).reshape(n_rows, n_heads, -1)
        k_NHC = np.empty((n_rows, n_heads, key), x_ND.dtype)
        k_NHC[:, :, :n_pass] = up_NHX[:, :, :n_pass]
        k_NHC[:, :, n_pass:] = down_NX[:, None, rank:]
        v_NHU = up_NHX[:, :, n_pass:]
        parts = (q_NX, k_NHC.reshape(n_rows, -1), v_NHU.reshape(n_rows, n_heads * value))
        return np.concatenate(parts, axis=1), (query, low_NL, inverse_N, latent_NL)

    def forward(
        self, x_ND: np.ndarray, at: Positions, cache: Cache | None = None
    ) -> tuple[np.ndarray, LatentContext]:
        """See `SelfAttention`."""
        qkv_NX, kept = self._products(x_ND)
        y_ND, heads = self._heads.attend(x_ND, qkv_NX, at, cache)
        query, low_NL, inverse_N, latent_NL = kept
        return y_ND, LatentContext(x_ND, query, low_NL, inverse_N, latent_NL, heads)

    def step(self, x_BD: np.ndarray, at: Positions, cache: Cache, length: int) -> np.ndarray:
        """See `SelfAttention`."""
        return self._heads.attend_next(self._products(x_BD)[0], at, cache, length)

    def backward(self, dy_ND: np.ndarray, ctx: LatentContext) -> tuple[np.ndarray, Arrays]:
        """See `SelfAttention`."""
        n_heads, _, key, value = self.config.head_shape
        n_rows, n_pass = len(dy_ND), key - self.config.rotating
        dqkv_NX, grads = self._heads.attend_backward(dy_ND, ctx.heads)
        cut = n_heads * key
        dq_NX = np.ascontiguousarray(dqkv_NX[:, :cut])
        dk_NHC = dqkv_NX[:, cut : 2 * cut].reshape(n_rows, n_heads, key)
        dv_NHU = dqkv_NX[:, 2 * cut :].reshape(n_rows, n_heads, value)
        dup_NX = np.concatenate([dk_NHC[:, :, :n_pass], dv_NHU], axis=2).reshape(n_rows, -1)
        grads["w_kv_up_LX"] = kernels.matmul_tn(ctx.latent_NL, dup_NX)
        dlatent_NL = kernels.matmul_nt(dup_NX, self.params["w_kv_up_LX"])
        dlow_NL, grads["kv_gain_L"] = kernels.rms_norm_backward(
            dlatent_NL, ctx.low_NL, self.params["kv_gain_L"], ctx.inverse_N
        )
        ddown_NX = np.concatenate([dlow_NL, dk_NHC[:, :, n_pass:].sum(axis=1)], axis=1)
        grads["w_kv_down_DX"] = kernels.matmul_tn(ctx.x_ND, ddown_NX)
        dx_ND = kernels.matmul_nt(ddown_NX, self.params["w_kv_down_DX"])
        if ctx.query is None:
            grads["w_q_DX"] = kernels.matmul_tn(ctx.x_ND, dq_NX)
            dx_ND += kernels.matmul_nt(dq_NX, self.params["w_q_DX"])
            return dx_ND, grads
        low_NR, inverse_N, normed_NR = ctx.query
        grads["w_q_up_RX"] = kernels.matmul_tn(normed_NR, dq_NX)
        dlow_NR, grads["q_gain_R"] = kernels.rms_norm_backward(
            kernels.matmul_nt(dq_NX, self.params["w_q_up_RX"]), low_NR, self.params["q_gain_R"],
            inverse_N,
        )  # fmt: skip
        grads["w_q_down_DR"] = kernels.matmul_tn(ctx.x_ND, dlow_NR)
        dx_ND += kernels.matmul_nt(dlow_NR, self.params["w_q_down_DR"])
        return dx_ND, grads
