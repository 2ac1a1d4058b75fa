"""The plainest way: a loop over tokens forward, one over experts backward."""

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


def dispatch(expert_NK, n_experts):
    expert_A = expert_NK.reshape(-1)
    load_E = np.bincount(expert_A, minlength=n_experts)
    return np.argsort(expert_A, kind="stable"), np.concatenate([[0], np.cumsum(load_E)])


def run_backward(dy_ND, x_ND, expert_NK, weight_NK, w_gate_up_ED2F, w_down_EFD):
    k = expert_NK.shape[1]
    assignment_A, start_E1 = dispatch(expert_NK, len(w_gate_up_ED2F))
    dx_ND, dweight_A = np.zeros(x_ND.shape), np.zeros(expert_NK.size)
    dup_ED2F, ddown_EFD = np.zeros(w_gate_up_ED2F.shape), np.zeros(w_down_EFD.shape)
    for e in range(len(w_gate_up_ED2F)):
        mine = assignment_A[start_E1[e] : start_E1[e + 1]]
        token, weight = mine // k, weight_NK.reshape(-1)[mine][:, None]
        g, u = np.split(x_ND[token] @ w_gate_up_ED2F[e], 2, axis=1)
        s = 1 / (1 + np.exp(-g))
        a = g * s * u
        dweight_A[mine] = (a @ w_down_EFD[e] * dy_ND[token]).sum(axis=1)
        da = weight * dy_ND[token] @ w_down_EFD[e].T
        dh = np.concatenate([da * u * s * (1 + g * (1 - s)), da * g * s], axis=1)
        dup_ED2F[e] = x_ND[token].T @ dh
        ddown_EFD[e] = a.T @ (weight * dy_ND[token])
        np.add.at(dx_ND, token, dh @ w_gate_up_ED2F[e].T)
    return dx_ND, dweight_A.reshape(expert_NK.shape), dup_ED2F, ddown_EFD


def experts_backward(dy_ND, x_ND, expert_NK, weight_NK, w_gate_up_ED2F, w_down_EFD):
    return run_backward(dy_ND, x_ND, expert_NK, weight_NK, w_gate_up_ED2F, w_down_EFD)[2:]


def dx(dy_ND, x_ND, gate_DE, w_gate_up_ED2F, w_down_EFD, k):
    bias_E = np.zeros(gate_DE.shape[1])
    return layer_backward(dy_ND, x_ND, gate_DE, bias_E, w_gate_up_ED2F, w_down_EFD, k)[0]


def capacity(expert_NK, weight_NK, n_experts, factor):
    room = int(np.ceil(expert_NK.size / n_experts * factor))
    taken_E, kept_NK = np.zeros(n_experts, int), weight_NK.copy()
    for n in range(len(expert_NK)):
        for rank, e in enumerate(expert_NK[n]):
            if taken_E[e] == room:
                kept_NK[n, rank] = 0
            else:
                taken_E[e] += 1
    return kept_NK


def layer(x_ND, gate_DE, bias_E, w_gate_up_ED2F, w_down_EFD, k):
    scores_NE = scores(x_ND @ gate_DE)
    expert_NK = choose(scores_NE + bias_E, k)
    weight_NK = weights(scores_NE, expert_NK)
    y_ND = forward(x_ND, expert_NK, weight_NK, w_gate_up_ED2F, w_down_EFD)
    return y_ND, np.bincount(expert_NK.reshape(-1), minlength=len(bias_E))


def layer_backward(dy_ND, x_ND, gate_DE, bias_E, w_gate_up_ED2F, w_down_EFD, k):
    scores_NE = scores(x_ND @ gate_DE)
    expert_NK = choose(scores_NE + bias_E, k)
    weight_NK = weights(scores_NE, expert_NK)
    dx_ND, dweight_NK, dup_ED2F, ddown_EFD = run_backward(
        dy_ND, x_ND, expert_NK, weight_NK, w_gate_up_ED2F, w_down_EFD
    )
    mean_N1 = (weight_NK * dweight_NK).sum(axis=1, keepdims=True)
    dlogits_NE = np.zeros(scores_NE.shape)
    np.put_along_axis(dlogits_NE, expert_NK, weight_NK * (dweight_NK - mean_N1), axis=1)
    return dx_ND + dlogits_NE @ gate_DE.T, x_ND.T @ dlogits_NE, dup_ED2F, ddown_EFD
