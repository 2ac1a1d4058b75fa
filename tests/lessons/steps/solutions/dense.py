"""A matrix of weights, (N, E), zero where an expert was not chosen; every product by einsum."""

import numpy as np


def scores(logits):
    e = np.exp(logits - np.amax(logits, axis=1, keepdims=True))
    return np.einsum("ne,n->ne", e, 1 / e.sum(1))


def choose(p, k):
    left, columns = p.astype(float).copy(), []
    for _ in range(k):
        best = left.argmax(axis=1)
        columns.append(best)
        left[np.arange(len(left)), best] = -np.inf
    return np.stack(columns, axis=1)


def one_hot(expert, n):
    return (expert[:, :, None] == np.arange(n)).astype(float)


def weights(p, expert):
    chosen = np.einsum("nke,ne->nk", one_hot(expert, p.shape[1]), p)
    return chosen / chosen.sum(axis=1, keepdims=True)


def parts(x, up):
    h = np.einsum("nd,edh->enh", x, up)
    g, u = h[..., : h.shape[2] // 2], h[..., h.shape[2] // 2 :]
    return g, u, 1 / (1 + np.exp(-g))


def table(expert, weight, n):
    return np.einsum("nke,nk->ne", one_hot(expert, n), weight)


def forward(x, expert, weight, up, down):
    g, u, s = parts(x, up)
    return np.einsum("ne,enf,efd->nd", table(expert, weight, len(up)), g * s * u, down)


def softmax_backward(p, expert, dweight):
    mask = one_hot(expert, p.shape[1]).sum(1)
    w = p * mask / (p * mask).sum(1, keepdims=True)
    dw = table(expert, dweight, p.shape[1])
    return w * (dw - (w * dw).sum(1, keepdims=True))


def gate_backward(logits, dweight):
    p = scores(logits)
    return softmax_backward(p, choose(p, dweight.shape[1]), dweight)


def balance_loss(p, k):
    f = one_hot(choose(p, k), p.shape[1]).mean(axis=(0, 1))
    return np.vdot(f, p.mean(axis=0)) * p.shape[1]


def bias_step(bias, load, rate):
    gap = load.mean() - load
    return bias + rate * ((gap > 0).astype(float) - (gap < 0))


def dispatch(expert, n_experts):
    lists = [np.flatnonzero(expert.ravel() == e) for e in range(n_experts)]
    return np.concatenate(lists), np.array([0, *np.cumsum([len(one) for one in lists])])


def gradients(dy, x, expert, weight, up, down):
    g, u, s = parts(x, up)
    a = g * s * u
    w = table(expert, weight, len(up))
    da = np.einsum("ne,nd,efd->enf", w, dy, down)
    dh = np.concatenate([da * u * s * (1 + g - g * s), da * g * s], axis=2)
    dw = np.einsum("enf,efd,nd->ne", a, down, dy)
    return (
        np.einsum("enh,edh->nd", dh, up),
        np.take_along_axis(dw, expert, axis=1),
        np.einsum("nd,enh->edh", x, dh),
        np.einsum("ne,enf,nd->efd", w, a, dy),
    )


def experts_backward(dy, x, expert, weight, up, down):
    _, _, dup, ddown = gradients(dy, x, expert, weight, up, down)
    return dup, ddown


def dx(dy, x, gate, up, down, k):
    return layer_backward(dy, x, gate, np.zeros(len(up)), up, down, k)[0]


def capacity(expert, weight, n_experts, factor):
    hits = one_hot(expert, n_experts).reshape(-1, n_experts)
    before = ((np.cumsum(hits, axis=0) - hits) * hits).sum(axis=1)
    room = np.ceil(len(hits) / n_experts * factor)
    return weight * (before < room).reshape(expert.shape)


def layer(x, gate, bias, up, down, k):
    p = scores(x @ gate)
    expert = choose(p + bias, k)
    y = forward(x, expert, weights(p, expert), up, down)
    return y, one_hot(expert, len(up)).sum(axis=(0, 1)).astype(int)


def layer_backward(dy, x, gate, bias, up, down, k):
    p = scores(x @ gate)
    expert = choose(p + bias, k)
    into, dweight, dup, ddown = gradients(dy, x, expert, weights(p, expert), up, down)
    dlogits = softmax_backward(p, expert, dweight)
    return into + dlogits @ gate.T, x.T @ dlogits, dup, ddown
