"""Grouped by expert throughout, as fast layers do it; experts sorted with lexsort."""

import numpy


def scores(logits_NE):
    shifted = logits_NE - numpy.max(logits_NE, -1)[:, None]
    return numpy.exp(shifted - numpy.log(numpy.exp(shifted).sum(-1))[:, None])


def choose(scores_NE, k):
    number = numpy.broadcast_to(numpy.arange(scores_NE.shape[1]), scores_NE.shape)
    return numpy.lexsort((number, -scores_NE), axis=1)[:, :k]


def weights(scores_NE, expert_NK):
    chosen = scores_NE[numpy.arange(len(scores_NE))[:, None], expert_NK]
    return chosen / chosen.sum(1)[:, None]


def sigmoid(z):
    return 0.5 * (1 + numpy.tanh(z / 2))


def hidden(x, up):
    g, u = numpy.split(x @ up, 2, axis=-1)
    s = sigmoid(g)
    return g, u, s, g * s * u


def forward(x, expert, weight, up, down):
    y = numpy.zeros_like(x)
    for e in numpy.unique(expert):
        token, rank = numpy.nonzero(expert == e)
        numpy.add.at(y, token, weight[token, rank, None] * (hidden(x[token], up[e])[3] @ down[e]))
    return y


def gate_backward(logits, dweight):
    p = scores(logits)
    expert = choose(p, dweight.shape[1])
    w = weights(p, expert)
    jacobian = w[:, :, None] * numpy.eye(w.shape[1]) - w[:, :, None] * w[:, None, :]
    out = numpy.zeros_like(logits)
    out[numpy.arange(len(out))[:, None], expert] = (jacobian @ dweight[:, :, None])[:, :, 0]
    return out


def balance_loss(p, k):
    hits = numpy.zeros_like(p)
    numpy.put_along_axis(hits, choose(p, k), 1.0, axis=1)
    return p.shape[1] * float(numpy.dot(hits.mean(0) / k, p.mean(0)))


def bias_step(bias, load, rate):
    mean = sum(load) / len(load)
    return numpy.where(load < mean, bias + rate, numpy.where(load > mean, bias - rate, bias))


def dispatch(expert, n_experts):
    flat = expert.ravel()
    order = numpy.lexsort((numpy.arange(flat.size), flat))
    return order, numpy.searchsorted(flat[order], numpy.arange(n_experts + 1))


def everything(dy, x, expert, weight, up, down):
    dx_ = numpy.zeros_like(x)
    dweight = numpy.zeros_like(weight)
    dup, ddown = numpy.zeros_like(up), numpy.zeros_like(down)
    for e in range(len(up)):
        token, rank = numpy.nonzero(expert == e)
        if not token.size:
            continue
        g, u, s, a = hidden(x[token], up[e])
        dweight[token, rank] = numpy.einsum("td,td->t", a @ down[e], dy[token])
        arrives = weight[token, rank, None] * dy[token]
        da = arrives @ down[e].T
        dh = numpy.hstack([da * u * (s + g * s * (1 - s)), da * g * s])
        dup[e], ddown[e] = x[token].T @ dh, a.T @ arrives
        numpy.add.at(dx_, token, dh @ up[e].T)
    return dx_, dweight, dup, ddown


def experts_backward(dy, x, expert, weight, up, down):
    return list(everything(dy, x, expert, weight, up, down)[2:])


def dx(dy, x, gate, up, down, k):
    return layer_backward(dy, x, gate, numpy.zeros(gate.shape[1]), up, down, k)[0]


def capacity(expert, weight, n_experts, factor):
    order, start = dispatch(expert, n_experts)
    room = -int(-expert.size * factor // n_experts)
    place = numpy.empty(expert.size, int)
    place[order] = numpy.arange(expert.size) - start[expert.ravel()[order]]
    return numpy.where(place.reshape(expert.shape) < room, weight, 0.0)


def layer(x, gate, bias, up, down, k):
    p = scores(x @ gate)
    expert = choose(p + bias, k)
    load = numpy.diff(dispatch(expert, len(bias))[1])
    return forward(x, expert, weights(p, expert), up, down), load


def layer_backward(dy, x, gate, bias, up, down, k):
    p = scores(x @ gate)
    expert = choose(p + bias, k)
    w = weights(p, expert)
    dx_, dw, dup, ddown = everything(dy, x, expert, w, up, down)
    dlogits = numpy.zeros_like(p)
    inner = numpy.einsum("nk,nk->n", w, dw)[:, None]
    dlogits[numpy.arange(len(x))[:, None], expert] = w * (dw - inner)
    return dx_ + dlogits @ gate.T, x.T @ dlogits, dup, ddown
