"""Right solutions of the steps, written in the plainest way."""

from __future__ import annotations

SOURCE = """
import numpy as np


def scores(logits_NE):
    exp_NE = np.exp(logits_NE - logits_NE.max(axis=1, keepdims=True))
    return exp_NE / exp_NE.sum(axis=1, keepdims=True)


def choose(scores_NE, k):
    return np.argsort(-scores_NE, axis=1, kind="stable")[:, :k]


def weights(scores_NE, expert_NK):
    chosen_NK = np.take_along_axis(scores_NE, expert_NK, axis=1)
    return chosen_NK / chosen_NK.sum(axis=1, keepdims=True)


def silu(z):
    return z / (1 + np.exp(-z))


def forward(x_ND, expert_NK, weight_NK, w_gate_up_ED2F, w_down_EFD):
    y_ND = np.zeros(x_ND.shape)
    for n in range(len(x_ND)):
        for rank, e in enumerate(expert_NK[n]):
            g, u = np.split(x_ND[n] @ w_gate_up_ED2F[e], 2)
            y_ND[n] += weight_NK[n, rank] * ((silu(g) * u) @ w_down_EFD[e])
    return y_ND


def gate_backward(logits_NE, dweight_NK):
    scores_NE = scores(logits_NE)
    expert_NK = choose(scores_NE, dweight_NK.shape[1])
    weight_NK = weights(scores_NE, expert_NK)
    mean_N1 = (weight_NK * dweight_NK).sum(axis=1, keepdims=True)
    dlogits_NE = np.zeros(logits_NE.shape)
    np.put_along_axis(dlogits_NE, expert_NK, weight_NK * (dweight_NK - mean_N1), axis=1)
    return dlogits_NE


def balance_loss(scores_NE, k):
    n_tokens, n_experts = scores_NE.shape
    load_E = np.bincount(choose(scores_NE, k).reshape(-1), minlength=n_experts)
    return n_experts * (load_E / (n_tokens * k) * scores_NE.mean(axis=0)).sum()


def bias_step(bias_E, load_E, rate):
    return bias_E + rate * np.sign(load_E.mean() - load_E)
"""
