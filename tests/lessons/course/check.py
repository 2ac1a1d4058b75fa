"""Numbers of the lesson on gates, worked out apart from the lesson."""

from __future__ import annotations

from math import e

import numpy as np

import moe
from moe.gates.bugs import GATE_BUGS, OwnGate
from tests.lessons.expected import Drawn, Worked

ROUTER = moe.make_router("deepseek_v3", k=4, n_group=4, topk_group=2)
SILENT = {"mask_zero", "p_over_topk", "f_sums_to_k", "concatenated_layers"}


def draws(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(500, 16)), 0.3 * rng.normal(size=16)


def plain(logits: np.ndarray, bias: np.ndarray, divide: bool) -> dict[tuple[int, int], float]:
    """Weights by token and expert, in loops."""
    weights = {}
    for token, row in enumerate(logits):
        score = [1 / (1 + e**-x) for x in row]
        steered = [s + b for s, b in zip(score, bias, strict=True)]
        groups = [sorted(steered[at : at + 4])[-2:] for at in range(0, 16, 4)]
        reach = sorted(range(4), key=lambda g: -sum(groups[g]))[:2]
        best = sorted((x for x in range(16) if x // 4 in reach), key=lambda x: -steered[x])[:4]
        total = sum(score[x] for x in best) if divide else 1
        weights |= {(token, x): 2.5 * score[x] / total for x in best}
    return weights


def no_division(seed: int) -> float:
    right, wrong = (plain(*draws(seed), divide) for divide in (True, False))
    return sum(abs(wrong[at] - right[at]) for at in right) / sum(right.values())


def each_input_says_it() -> None:
    """The same four are silent on random input, and one of them is wrong everywhere elsewhere."""
    for seed in range(3):
        logits, bias = draws(seed)
        right = plain(logits, bias, True)
        for bug in ("", *GATE_BUGS):
            experts, weights = OwnGate(ROUTER, bug)(logits, bias_E=bias)
            assert experts.shape == weights.shape == (500, 4) and np.isfinite(weights).all()
            found = {
                (token, int(x)): float(w)
                for token in range(500)
                for x, w in zip(experts[token], weights[token], strict=True)
            }
            same = found.keys() == right.keys() and all(
                abs(found[at] - right[at]) < 1e-5 for at in right
            )
            assert same == (bug in SILENT or not bug), bug
        pair = [OwnGate(ROUTER, bug)(logits, bias_E=bias - 1.5)[0] for bug in ("", "mask_zero")]
        assert (np.sort(pair[0]) != np.sort(pair[1])).any(axis=1).all()


QUESTIONS = {
    "errors": [Worked(0, {"all": 8, "half": 4, "one": 1})],
    "random": [Worked(len(SILENT), {"none": 0, "loss_only": 3, "all": 8})],
    "mask": [
        Worked(
            0, {"right_gate": -0.1, "no_mask": 0.3, "lowest": -0.2},
            {"scores": [-0.1, -0.2, 0.3, -0.4]},
        ),
    ],
    "weight": [
        Worked(
            0.75,
            {"no_renormalize": 0.6, "softmax_again": e**0.6 / (e**0.6 + e**0.2), "even": 0.5,
             "other": 0.25},
            {"first": 0.6, "second": 0.2},
        ),
    ],
}  # fmt: skip


def shown() -> Drawn:
    share = float(np.mean([no_division(seed) for seed in range(3)]))
    row = {"name": "no_renormalize", "share": share, "label": f"{share:.0%}"}
    return Drawn(
        {"bugs": 8},
        {"bugs": [row]},
        (f"no_renormalize: {share:.0%}", "mask_zero: nothing"),
        ("4 of 8 mistakes", f"change is {share:.0%}"),
    )


FIGURES = {"shown": shown}
CLAIMS = [each_input_says_it]
