"""Objects: a gate and a list of experts, with functions that only call them."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Gate:
    logits: np.ndarray
    bias: np.ndarray | float = 0.0

    @property
    def scores(self):
        e = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def choose(self, k):
        return np.argsort(-(self.scores + self.bias), axis=1, kind="mergesort")[:, :k]

    def weights(self, expert):
        return weights(self.scores, expert)

    def backward(self, expert, dweight):
        w, out = self.weights(expert), np.zeros_like(self.logits)
        for n, chosen in enumerate(expert):
            out[n, chosen] = w[n] * (dweight[n] - w[n] @ dweight[n])
        return out


class Expert:
    def __init__(self, up, down):
        self.up, self.down = up, down
        self.dup, self.ddown = np.zeros_like(up), np.zeros_like(down)

    def __call__(self, x):
        self.x = x
        self.g, self.u = np.split(x @ self.up, 2, axis=1)
        self.s = 1 / (1 + np.exp(-self.g))
        self.a = self.g * self.s * self.u
        return self.a @ self.down

    def backward(self, dy):
        da = dy @ self.down.T
        dg = da * self.u * (self.s + self.g * self.s * (1 - self.s))
        dh = np.concatenate([dg, da * self.g * self.s], axis=1)
        self.dup += self.x.T @ dh
        self.ddown += self.a.T @ dy
        return dh @ self.up.T


class Experts(list):
    def __init__(self, up, down):
        super().__init__(map(Expert, up, down))

    def forward(self, x, expert, weight):
        y = np.zeros_like(x)
        for e, one in enumerate(self):
            for rank in range(expert.shape[1]):
                mine = expert[:, rank] == e
                y[mine] += weight[mine, rank][:, None] * one(x[mine])
        return y

    def backward(self, dy, x, expert, weight):
        dx, dweight = np.zeros_like(x), np.zeros_like(weight)
        for e, one in enumerate(self):
            for rank in range(expert.shape[1]):
                mine = expert[:, rank] == e
                dweight[mine, rank] = (one(x[mine]) * dy[mine]).sum(axis=1)
                dx[mine] += one.backward(weight[mine, rank][:, None] * dy[mine])
        return dx, dweight

    @property
    def gradients(self):
        return np.stack([one.dup for one in self]), np.stack([one.ddown for one in self])


def scores(logits):
    return Gate(logits).scores


def choose(scores, k):
    return np.argsort(-scores, axis=1, kind="mergesort")[:, :k]


def weights(scores, expert):
    w = np.array([scores[n, chosen] for n, chosen in enumerate(expert)])
    return w / w.sum(axis=1, keepdims=True)


def forward(x, expert, weight, up, down):
    return Experts(up, down).forward(x, expert, weight)


def gate_backward(logits, dweight):
    gate = Gate(logits)
    return gate.backward(gate.choose(dweight.shape[1]), dweight)


def balance_loss(scores, k):
    f = np.bincount(choose(scores, k).ravel(), minlength=scores.shape[1]) / (len(scores) * k)
    return scores.shape[1] * f @ scores.mean(axis=0)


def bias_step(bias, load, rate):
    return bias - rate * np.sign(load - np.mean(load))


def dispatch(expert, n_experts):
    pairs = sorted((e, a) for a, e in enumerate(expert.ravel().tolist()))
    start = [sum(e < limit for e, _ in pairs) for limit in range(n_experts + 1)]
    return np.array([a for _, a in pairs]), np.array(start)


def experts_backward(dy, x, expert, weight, up, down):
    experts = Experts(up, down)
    experts.backward(dy, x, expert, weight)
    return experts.gradients


def dx(dy, x, gate, up, down, k):
    return layer_backward(dy, x, gate, 0.0, up, down, k)[0]


def capacity(expert, weight, n_experts, factor):
    room = int(np.ceil(expert.size * factor / n_experts))
    left = [room] * n_experts
    kept = []
    for e in expert.ravel():
        kept.append(left[e] > 0)
        left[e] -= kept[-1]
    return weight * np.array(kept).reshape(weight.shape)


def layer(x, gate, bias, up, down, k):
    chosen = Gate(x @ gate, bias)
    expert = chosen.choose(k)
    y = Experts(up, down).forward(x, expert, chosen.weights(expert))
    return y, np.array([(expert == e).sum() for e in range(len(up))])


def layer_backward(dy, x, gate, bias, up, down, k):
    chosen, experts = Gate(x @ gate, bias), Experts(up, down)
    expert = chosen.choose(k)
    into, dweight = experts.backward(dy, x, expert, chosen.weights(expert))
    dlogits = chosen.backward(expert, dweight)
    return into + dlogits @ gate.T, x.T @ dlogits, *experts.gradients
