"""Causal attention within each of several sequences of one length.

B sequences of T positions, N = B * T rows; H query heads and G heads of keys and values, H a
multiple of G: head h looks at the keys of head h // (H / G). C numbers of a query and a key, U of
a value.
"""

from __future__ import annotations

import numpy as np

from .backend import choose


def _by_head(x_NHC: np.ndarray, n_sequences: int, repeats: int = 1) -> np.ndarray:
    """Rows as (sequence, head, position, column), each head `repeats` times."""
    n_rows, heads, size = x_NHC.shape
    x_BTHC = x_NHC.reshape(n_sequences, n_rows // max(n_sequences, 1), heads, size)
    return np.repeat(x_BTHC.transpose(0, 2, 1, 3), repeats, axis=1)


def _rows(x_BHTC: np.ndarray, groups: int) -> np.ndarray:
    """Back to rows of heads; heads that share a group are added up."""
    b, h, t, c = x_BHTC.shape
    x_BGTC = x_BHTC.reshape(b, groups, h // groups, t, c).sum(axis=2)
    return np.ascontiguousarray(x_BGTC.transpose(0, 2, 1, 3)).reshape(b * t, groups, c)


def _scores(q_BHTC: np.ndarray, k_BHTC: np.ndarray, scale: float) -> np.ndarray:
    """Scaled products of queries and keys, minus infinity at keys that lie ahead."""
    scores_BHTT = q_BHTC @ k_BHTC.swapaxes(2, 3) * q_BHTC.dtype.type(scale)
    ahead_TT = np.triu(np.ones(scores_BHTT.shape[2:], bool), 1)
    return np.where(ahead_TT, -np.inf, scores_BHTT).astype(q_BHTC.dtype)


def attention_oracle(
    q_NHC: np.ndarray, k_NGC: np.ndarray, v_NGU: np.ndarray, n_sequences: int, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the values of each position and those before it, weighted by softmax(q k scale).

    Parameters
    ----------
    q_NHC, k_NGC, v_NGU
        Queries, keys and values; row b * T + t is position t of sequence b.
    n_sequences
        B; N is a multiple of it.
    scale
        Factor of the scores, commonly one over the root of C.

    Returns
    -------
    out_NHU, log_sum_NH
        The weighted means, and the logarithm of each softmax's sum, which the backward pass needs.
    """
    repeats = q_NHC.shape[1] // k_NGC.shape[1]
    q, k, v = (
        _by_head(q_NHC, n_sequences),
        _by_head(k_NGC, n_sequences, repeats),
        _by_head(v_NGU, n_sequences, repeats),
    )
    scores_BHTT = _scores(q, k, scale)
    top_BHT1 = scores_BHTT.max(axis=3, keepdims=True, initial=-np.inf)
    weight_BHTT = np.exp(scores_BHTT - top_BHT1)
    sum_BHT1 = weight_BHTT.sum(axis=3, keepdims=True)
    heads = q_NHC.shape[1]
    out_NHU = _rows(weight_BHTT @ v / sum_BHT1, heads)
    return out_NHU, _rows(top_BHT1 + np.log(sum_BHT1), heads)[:, :, 0]


attention = choose(attention_oracle, attention_oracle)


def attention_backward_oracle(
    dout_NHU: np.ndarray,
    q_NHC: np.ndarray,
    k_NGC: np.ndarray,
    v_NGU: np.ndarray,
    out_NHU: np.ndarray,
    log_sum_NH: np.ndarray,
    n_sequences: int,
    scale: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of `attention` at queries, keys and values.

    The weights are computed again from the scores and `log_sum_NH`, so that nothing of T * T
    numbers has to be kept (arXiv 2205.14135).
    """
    heads, groups = q_NHC.shape[1], k_NGC.shape[1]
    q, dout, out = (_by_head(x, n_sequences) for x in (q_NHC, dout_NHU, out_NHU))
    k, v = (_by_head(x, n_sequences, heads // groups) for x in (k_NGC, v_NGU))
    log_sum_BHT1 = _by_head(log_sum_NH[:, :, None], n_sequences)
    weight_BHTT = np.exp(_scores(q, k, scale) - log_sum_BHT1)
    dweight_BHTT = dout @ v.swapaxes(2, 3)
    along_BHT1 = (dout * out).sum(axis=3, keepdims=True)
    dscores_BHTT = weight_BHTT * (dweight_BHTT - along_BHT1) * q.dtype.type(scale)
    return (
        _rows(dscores_BHTT @ k, heads),
        _rows(dscores_BHTT.swapaxes(2, 3) @ q, groups),
        _rows(weight_BHTT.swapaxes(2, 3) @ dout, groups),
    )


attention_backward = choose(attention_backward_oracle, attention_backward_oracle)


def attention_step_oracle(
    q_BHC: np.ndarray, k_BTGC: np.ndarray, v_BTGU: np.ndarray, length: int, scale: float
) -> np.ndarray:
    """One new query of each sequence against its first `length` cached positions.

    Parameters
    ----------
    q_BHC
        The queries of position `length - 1`.
    k_BTGC, v_BTGU
        Caches of keys and values, with room for T positions.
    length
        How many of them are filled, the query's own included.
    scale
        Factor of the scores.

    Returns
    -------
    out_BHU
        Bit for bit the rows that `attention` computes at that position.
    """
    repeats = q_BHC.shape[1] // k_BTGC.shape[2]
    k_BHTC = np.repeat(k_BTGC[:, :length].transpose(0, 2, 1, 3), repeats, axis=1)
    v_BHTU = np.repeat(v_BTGU[:, :length].transpose(0, 2, 1, 3), repeats, axis=1)
    scores_BHT = (k_BHTC @ q_BHC[..., None])[..., 0] * q_BHC.dtype.type(scale)
    weight_BHT = np.exp(scores_BHT - scores_BHT.max(axis=2, keepdims=True))
    sum_BH1 = weight_BHT.sum(axis=2, keepdims=True)
    return np.asarray((weight_BHT[:, :, None] @ v_BHTU)[:, :, 0] / sum_BH1)


attention_step = choose(attention_step_oracle, attention_step_oracle)
