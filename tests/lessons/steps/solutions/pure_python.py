"""Nearly without numpy: lists, loops and math; a list is as good an answer as an array."""

import math

import numpy as np


def softmax(row):
    top = max(row)
    exps = [math.exp(z - top) for z in row]
    return [e / sum(exps) for e in exps]


def scores(logits):
    return [softmax(row) for row in logits.tolist()]


def best(row, k):
    return sorted(range(len(row)), key=lambda e: (-row[e], e))[:k]


def choose(table, k):
    return [best(row, k) for row in np.asarray(table).tolist()]


def weights(table, expert):
    rows = []
    for row, chosen in zip(np.asarray(table).tolist(), np.asarray(expert).tolist(), strict=True):
        total = sum(row[e] for e in chosen)
        rows.append([row[e] / total for e in chosen])
    return rows


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def dot(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


def columns(matrix):
    return list(zip(*matrix, strict=True))


def hidden(x, up):
    h = [dot(x, column) for column in columns(up)]
    half = len(h) // 2
    return h[:half], h[half:]


def forward(x, expert, weight, up, down):
    x, up, down = x.tolist(), up.tolist(), down.tolist()
    y = []
    for n, row in enumerate(x):
        total = [0.0] * len(row)
        for e, w in zip(expert[n], weight[n], strict=True):
            g, u = hidden(row, up[e])
            a = [p * sigmoid(p) * q for p, q in zip(g, u, strict=True)]
            result = [dot(a, column) for column in columns(down[e])]
            total = [t + w * r for t, r in zip(total, result, strict=True)]
        y.append(total)
    return y


def row_backward(row, chosen, dweight):
    p = softmax(row)
    total = sum(p[e] for e in chosen)
    mean = sum(p[e] / total * d for e, d in zip(chosen, dweight, strict=True))
    out = [0.0] * len(row)
    for e, d in zip(chosen, dweight, strict=True):
        out[e] = p[e] / total * (d - mean)
    return out


def gate_backward(logits, dweight):
    chosen = choose(scores(logits), dweight.shape[1])
    return [
        row_backward(*one) for one in zip(logits.tolist(), chosen, dweight.tolist(), strict=True)
    ]


def count(expert, n):
    load = [0] * n
    for row in expert:
        for e in row:
            load[int(e)] += 1
    return load


def balance_loss(table, k):
    n, experts = table.shape
    load = count(choose(table, k), experts)
    means = [sum(column) / n for column in columns(table.tolist())]
    return experts * sum(c / (n * k) * m for c, m in zip(load, means, strict=True))


def bias_step(bias, load, rate):
    counts = load.tolist()
    mean = sum(counts) / len(counts)
    steps = [rate * ((mean > count) - (mean < count)) for count in counts]
    return [b + step for b, step in zip(bias.tolist(), steps, strict=True)]


def dispatch(expert, n_experts):
    flat = [int(e) for row in expert for e in row]
    start, order = [0], []
    for e in range(n_experts):
        order += [a for a, one in enumerate(flat) if one == e]
        start.append(len(order))
    return order, start


def gradients(dy, x, expert, weight, up, down):
    dx_, dweight = np.zeros(x.shape), np.zeros(np.shape(weight))
    dup, ddown = np.zeros(up.shape), np.zeros(down.shape)
    for n in range(len(x)):
        for rank in range(len(expert[n])):
            e, w = int(expert[n][rank]), weight[n][rank]
            g, u = (np.array(half) for half in hidden(x[n], up[e]))
            s = np.array([sigmoid(z) for z in g])
            dweight[n, rank] = dot((g * s * u) @ down[e], dy[n])
            da = w * (down[e] @ dy[n])
            dh = np.array([*(da * u * s * (1 + g * (1 - s))), *(da * g * s)])
            dup[e] += x[n][:, None] * dh
            ddown[e] += w * (g * s * u)[:, None] * dy[n]
            dx_[n] += up[e] @ dh
    return dx_, dweight, dup, ddown


def experts_backward(dy, x, expert, weight, up, down):
    return gradients(dy, x, expert, weight, up, down)[2:]


def dx(dy, x, gate, up, down, k):
    return layer_backward(dy, x, gate, np.zeros(len(up)), up, down, k)[0]


def capacity(expert, weight, n_experts, factor):
    room = math.ceil(expert.size / n_experts * factor)
    seen, rows = [0] * n_experts, []
    for chosen, row in zip(expert.tolist(), weight.tolist(), strict=True):
        kept = []
        for e, w in zip(chosen, row, strict=True):
            kept.append(w if seen[e] < room else 0.0)
            seen[e] += 1
        rows.append(kept)
    return rows


def layer(x, gate, bias, up, down, k):
    table = np.array(scores(x @ gate))
    expert = choose(table + bias, k)
    return forward(x, expert, weights(table, expert), up, down), count(expert, len(up))


def layer_backward(dy, x, gate, bias, up, down, k):
    logits = x @ gate
    table = np.array(scores(logits))
    expert = choose(table + bias, k)
    into, dweight, dup, ddown = gradients(dy, x, expert, weights(table, expert), up, down)
    rows = zip(logits.tolist(), expert, dweight.tolist(), strict=True)
    dlogits = np.array([row_backward(*one) for one in rows])
    return into + dlogits @ gate.T, x.T @ dlogits, dup, ddown
