"""Latent experts: a product leads from the model's width to theirs, and another one back.

The router and the shared experts see x; the routed experts get z = x W_down, as wide as the latent
space, and what they give for a token is summed there, with its weights, before W_up leads back. An
expert's row is then short where it is sent, and so are its matrices. Source: NemotronHMoE of
transformers (modeling_nemotron_h.py: `fc1_latent_proj` and `fc2_latent_proj`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from . import kernels

Arrays = dict[str, np.ndarray]
DOWN, UP = "latent_down_DL", "latent_up_LD"


def has_latent(params: Mapping[str, np.ndarray]) -> bool:
    """Whether a layer has latent experts."""
    return DOWN in params


def init_latent(rng: np.random.Generator, d_model: int, d_latent: int, dtype: str) -> Arrays:
    """Fresh matrices of both products, normal with variance 1 / fan-in."""
    down_DL = rng.standard_normal((d_model, d_latent)) / np.sqrt(d_model)
    up_LD = rng.standard_normal((d_latent, d_model)) / np.sqrt(d_latent)
    return {DOWN: down_DL.astype(dtype), UP: up_LD.astype(dtype)}


def to_latent(params: Mapping[str, np.ndarray], x_ND: np.ndarray) -> np.ndarray:
    """What the routed experts get, (N, L)."""
    return kernels.matmul(x_ND, params[DOWN])


def from_latent(params: Mapping[str, np.ndarray], sum_NL: np.ndarray) -> np.ndarray:
    """Result (N, D) from the weighted sums of the experts' results, (N, L)."""
    return kernels.matmul(sum_NL, params[UP])


def from_latent_backward(
    params: Mapping[str, np.ndarray], dy_ND: np.ndarray, sum_NL: np.ndarray
) -> tuple[np.ndarray, Arrays]:
    """Gradients at the weighted sums, (N, L), and at the matrix that leads back."""
    return kernels.matmul_nt(dy_ND, params[UP]), {UP: kernels.matmul_tn(sum_NL, dy_ND)}


def to_latent_backward(
    params: Mapping[str, np.ndarray], dz_NL: np.ndarray, x_ND: np.ndarray
) -> tuple[np.ndarray, Arrays]:
    """Gradients at x, (N, D), and at the matrix that leads there."""
    return kernels.matmul_nt(dz_NL, params[DOWN]), {DOWN: kernels.matmul_tn(x_ND, dz_NL)}
