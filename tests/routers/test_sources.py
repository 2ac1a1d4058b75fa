"""Each router against plain loops written from the formula of its source, one token at a time.

A reference gets a token's logits as a list and returns {expert: weight}; those that look at the
whole batch get all rows. None of them calls the library.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import moe

Weights = dict[int, float]


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    parts = [math.exp(v - top) for v in values]
    return [p / sum(parts) for p in parts]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def best(values: list[float], k: int) -> list[int]:
    return sorted(range(len(values)), key=lambda e: (-values[e], e))[:k]


def divided(weights: Weights, factor: float = 1.0) -> Weights:
    total = sum(weights.values()) + 1e-20
    return {e: factor * w / total for e, w in weights.items()}


def mixtral(row: list[float]) -> Weights:
    """transformers modeling_mixtral.py: softmax, top-k, divide by the sum."""
    p = softmax(row)
    return divided({e: p[e] for e in best(p, 2)})


def gpt_oss(row: list[float]) -> Weights:
    """gpt-oss model.py: top-k of the logits, then softmax over these."""
    chosen = best(row, 4)
    return dict(zip(chosen, softmax([row[e] for e in chosen])))


def olmoe(row: list[float]) -> Weights:
    """OLMoE and DeepSeekMoE (arXiv 2401.06066, equations 9-11): softmax, top-k, as they are."""
    p = softmax(row)
    return {e: p[e] for e in best(p, 3)}


def lfm2(row: list[float]) -> Weights:
    """transformers modeling_lfm2_moe.py, Lfm2MoeTopKRouter: a sum plus 1e-6, here plus 0.25."""
    s = [sigmoid(v) for v in row]
    chosen = best(s, 3)
    total = sum(s[e] for e in chosen) + 0.25
    return {e: 1.5 * s[e] / total for e in chosen}


def switch(row: list[float]) -> Weights:
    """Switch, arXiv 2101.03961, section 2.1; flaxformer routing.py: raw probability of the best."""
    p = softmax(row)
    return {best(p, 1)[0]: max(p)}


def gshard(row: list[float]) -> Weights:
    """GShard, arXiv 2006.16668, algorithm 1, with rnd = 0: the second is always dispatched."""
    p = softmax(row)
    e1, e2 = best(p, 2)
    return {e1: p[e1] / (p[e1] + p[e2]), e2: p[e2] / (p[e1] + p[e2])}


def st_moe(row: list[float]) -> Weights:
    """Mesh TensorFlow moe.py, _top_2_gating, policy 'threshold' at 0.2."""
    weights = gshard(row)
    return {e: w for e, w in weights.items() if w > 0.2 or w == max(weights.values())}


def deepseek_v2(row: list[float]) -> Weights:
    """transformers modular_deepseek_v2.py, group_limited_greedy: groups by their maximum."""
    p = softmax(row)
    groups = [p[g * 4 : g * 4 + 4] for g in range(4)]
    kept = best([max(group) for group in groups], 2)
    allowed = [p[e] if e // 4 in kept else -math.inf for e in range(16)]
    return {e: 16.0 * p[e] for e in best(allowed, 3)}


BIAS = [0.03 * math.sin(3 * e) - 0.9 * (e % 5 == 0) for e in range(16)]


def deepseek_v3(row: list[float]) -> Weights:
    """DeepSeek-V3, arXiv 2412.19437, equations 12-16; groups by the sum of their two best."""
    s = [sigmoid(v) for v in row]
    biased = [v + b for v, b in zip(s, BIAS)]
    groups = [sorted(biased[g * 4 : g * 4 + 4], reverse=True) for g in range(4)]
    kept = best([group[0] + group[1] for group in groups], 2)
    allowed = [biased[e] if e // 4 in kept else -math.inf for e in range(16)]
    return divided({e: s[e] for e in best(allowed, 5)}, 2.5)


def deepseek_v4(row: list[float]) -> Weights:
    """transformers modeling_deepseek_v4.py, DeepseekV4TopKRouter: no groups, scale 1.5."""
    s = [math.sqrt(math.log1p(math.exp(v))) for v in row]
    return divided({e: s[e] for e in best([v + b for v, b in zip(s, BIAS)], 6)}, 1.5)


def longcat(row: list[float]) -> Weights:
    """transformers modular_longcat_flash.py, LongcatFlashTopkRouter: bias, then raw times 6."""
    p = softmax(row)
    return {e: 6.0 * p[e] for e in best([v + b for v, b in zip(p, BIAS)], 4)}


def moe_pp(row: list[float]) -> Weights:
    """MoE++, arXiv 2410.07348, equation 1."""
    p = softmax(row)
    return {e: p[e] for e in best(p, 2)}


def moe_pp_released(row: list[float]) -> Weights:
    """moe_plus_plus_layer.py, gating: the last expert's gate is zeroed, then divide by the sum."""
    weights = moe_pp(row)
    if len(row) - 1 in weights:
        weights[len(row) - 1] = 0.0
    return divided(weights)


def top_p(row: list[float]) -> Weights:
    """Dynamic_MoE modeling_moe.py: keep up to the first whose cumulative sum exceeds 0.4."""
    p = softmax(row)
    held, weights = 0.0, {}
    for e in best(p, len(p)):
        weights[e] = p[e]
        held += p[e]
        if held > 0.4:
            break
    return weights


def relu(row: list[float]) -> Weights:
    """ReMoE, arXiv 2412.14711, equation 6: the positive logits are the weights."""
    return {e: v for e, v in enumerate(row) if v > 0}


def dynmoe(row: list[float]) -> Weights:
    """DynMoE's sharded_moe.py, GAMoEGateT in evaluation: all that pass, else the best; 1 / K."""
    passed = [e for e, v in enumerate(row) if sigmoid(v) > sigmoid(BIAS[e])]
    passed = passed or best([sigmoid(v) for v in row], 1)
    return {e: 1 / len(passed) for e in passed}


def expert_threshold(row: list[float]) -> Weights:
    """Expert Threshold, arXiv 2603.11535, equation 6 and section 4.1: r > c, weight sigmoid(r)."""
    return {e: sigmoid(v) for e, v in enumerate(row) if v > BIAS[e]}


ONE_TOKEN: list[tuple[str, dict[str, object], Callable[[list[float]], Weights]]] = [
    ("topk", {"k": 2}, mixtral),
    ("topk", {"k": 4, "softmax_order": "after"}, gpt_oss),
    ("topk", {"k": 3, "renormalize": False}, olmoe),
    ("topk", {"k": 3, "score": "sigmoid", "norm_eps": 0.25, "scale": 1.5}, lfm2),
    ("noisy_topk", {"k": 4}, gpt_oss),  # without noise: softmax of KeepTopK
    ("deepseek_moe", {"k": 3}, olmoe),
    ("switch", {}, switch),
    ("gshard", {}, gshard),
    ("st_moe", {}, st_moe),
    ("deepseek_v2", {"k": 3, "n_group": 4, "topk_group": 2, "scale": 16.0}, deepseek_v2),
    ("deepseek_v3", {"k": 5, "n_group": 4, "topk_group": 2}, deepseek_v3),
    ("deepseek_v4", {"k": 6}, deepseek_v4),
    ("longcat", {"k": 4}, longcat),
    ("moe_pp", {}, moe_pp),
    ("moe_pp", {"renormalize": True}, moe_pp_released),
    ("top_p", {}, top_p),
    ("relu", {}, relu),
    ("dynmoe", {}, dynmoe),
    ("expert_threshold", {}, expert_threshold),
]


@pytest.mark.parametrize(
    ("name", "options", "reference"), ONE_TOKEN, ids=lambda value: getattr(value, "__name__", None)
)
def test_router_equals_its_source(
    name: str, options: dict[str, object], reference: Callable[[list[float]], Weights]
) -> None:
    router = moe.make_router(name, **options)
    logits_NE = 1.5 * np.random.default_rng(5).standard_normal((200, 16)) - 0.5
    logits_NE[:20] -= 4.0  # some tokens that no expert suits
    steered = reference in (deepseek_v3, deepseek_v4, longcat)
    state = {"select_bias_E": np.array(BIAS)} if steered else {"threshold_E": np.array(BIAS)}
    routing = router.choose(logits_NE, **state)
    expected_NE = np.zeros((200, 16))
    listed_NE = np.zeros((200, 16), bool)
    for token, row in enumerate(logits_NE.tolist()):
        for expert, weight in reference(row).items():
            expected_NE[token, expert], listed_NE[token, expert] = weight, True
    mine_NE = np.zeros((200, 16), bool)
    mine_NE[routing.token_A, routing.expert_A] = True
    assert np.array_equal(mine_NE, listed_NE)
    assert np.allclose(routing.combine(), expected_NE, rtol=1e-12, atol=1e-14)


def test_noisy_topk_equals_its_source_with_noise() -> None:
    """davidmrau moe.py, noisy_top_k_gating: clean + randn * (softplus(x W_n) + 1e-2)."""
    logits_NE, noise_NE = np.random.default_rng(2).standard_normal((2, 50, 8))
    draw_NE = np.random.default_rng(9).standard_normal((50, 8))
    routing = moe.make_router("noisy_topk", k=4).choose(
        logits_NE, noise_NE=noise_NE, rng=np.random.default_rng(9)
    )
    for token in range(50):
        noisy = [
            float(logits_NE[token, e])
            + float(draw_NE[token, e]) * (math.log1p(math.exp(noise_NE[token, e])) + 1e-2)
            for e in range(8)
        ]
        expected = gpt_oss(noisy)
        assert routing.expert_A[token * 4 : token * 4 + 4].tolist() == list(expected)
        assert routing.weight_A[token * 4 : token * 4 + 4] == pytest.approx([*expected.values()])


def test_second_expert_policies_draw_as_their_sources_do() -> None:
    """GShard: 2 g2 > rnd. Mesh TensorFlow, policy 'random': rnd < g2 / 0.2."""
    logits_NE = 2 * np.random.default_rng(3).standard_normal((300, 6))
    draw_N = np.random.default_rng(8).random(300)
    second_N = [min(gshard(row).values()) for row in logits_NE.tolist()]
    for name, taken in (
        ("gshard", [2 * g > rnd for g, rnd in zip(second_N, draw_N)]),
        ("st_moe", [rnd < g / 0.2 for g, rnd in zip(second_N, draw_N)]),
    ):
        routing = moe.make_router(name).choose(logits_NE, rng=np.random.default_rng(8))
        assert np.bincount(routing.token_A).tolist() == [1 + t for t in taken]
        assert 0 < sum(taken) < 300


def test_switch_jitters_the_input_of_the_gate_only() -> None:
    """flaxformer routing.py: token_inputs *= U(1 - 0.01, 1 + 0.01) before the router's weights."""
    layer = moe.MoELayer.init(5, 4, 6, router="switch", dtype="float64")
    x_ND = np.random.default_rng(0).standard_normal((7, 5))
    _, ctx = layer.forward(x_ND, rng=np.random.default_rng(4))
    jittered_ND = x_ND * np.random.default_rng(4).uniform(0.99, 1.01, (7, 5))
    for token in range(7):
        row = [
            sum(float(jittered_ND[token, d] * layer.params["gate_DE"][d, e]) for d in range(5))
            for e in range(6)
        ]
        ((expert, weight),) = switch(row).items()
        assert ctx.routing.expert_A[token] == expert
        assert ctx.routing.weight_A[token] == pytest.approx(weight, rel=1e-12)
    assert ctx.rows_ND is ctx.x_ND and np.array_equal(ctx.x_ND, x_ND)


@pytest.mark.parametrize("k", [1, 3])
def test_sinkhorn_equals_megatrons(k: int) -> None:
    """megatron/core/transformer/moe: moe_utils.sinkhorn and router.sinkhorn_load_balancing."""
    logits_NE = np.random.default_rng(1).standard_normal((24, 6)) + np.linspace(1, -1, 6)
    rows = logits_NE.tolist()
    cost = [[math.exp(v) for v in row] for row in rows]
    d0, d1, eps, error = [1.0] * 24, [1.0] * 6, 1e-8, 1e9
    while error > 1e-4:
        before = d1
        d0 = [1 / 24 / (sum(c * d for c, d in zip(row, d1)) + eps) for row in cost]
        d1 = [1 / 6 / (sum(d0[t] * cost[t][e] for t in range(24)) + eps) for e in range(6)]
        error = sum(abs(a - b) for a, b in zip(d1, before)) / 6
    routing = moe.make_router("sinkhorn", k=k).choose(logits_NE)
    for token, row in enumerate(rows):
        chosen = best([cost[token][e] * d0[token] * d1[e] for e in range(6)], k)
        weights = [sigmoid(v) for v in row] if k == 1 else softmax(row)
        mine = slice(token * k, token * k + k)
        assert routing.expert_A[mine].tolist() == chosen
        assert routing.weight_A[mine] == pytest.approx([weights[e] for e in chosen])


def test_base_adds_the_weighted_expert_to_the_residual_path() -> None:
    """fairseq base_layer.py: alpha (x + f(x)) + (1 - alpha) x with alpha = sigmoid(x w_a)."""
    layer = moe.MoELayer.init(6, 5, 4, router="base", dtype="float64")
    x_ND = np.random.default_rng(0).standard_normal((16, 6))
    y_ND, ctx = layer.forward(x_ND)
    assert ctx.routing.load.tolist() == [4, 4, 4, 4]
    for token, expert in zip(ctx.routing.token_A, ctx.routing.expert_A):
        alpha = sigmoid(float(x_ND[token] @ layer.params["gate_DE"][:, expert]))
        _, f_KD = layer.expert_outputs(ctx, int(token))
        mixed_D = alpha * (x_ND[token] + f_KD[0]) + (1 - alpha) * x_ND[token]
        assert np.allclose(x_ND[token] + y_ND[token], mixed_D, rtol=1e-12)


def test_hash_balances_greedily() -> None:
    """Hash Layers, arXiv 2106.04426, section 3.1: frequent words first, to the emptiest bucket."""
    counts = [7, 3, 3, 9, 1, 4, 6]
    filled, expected = [0, 0, 0], [0] * 7
    for word in sorted(range(7), key=lambda w: (-counts[w], w)):
        bucket = filled.index(min(filled))
        expected[word] = bucket
        filled[bucket] += counts[word]
    routing = moe.make_router("hash", counts=tuple(counts)).choose(
        np.zeros((7, 3)), token_ids=np.arange(7)
    )
    assert routing.expert_A.tolist() == expected and filled == [12, 11, 10]


def test_constant_experts_start_as_in_the_released_code() -> None:
    """moe_plus_plus_layer.py, ConstantExpert: the vector is N(0, 1)."""
    layer = moe.MoELayer.init(2000, 2, 6, router="moe_pp")
    assert layer.params["constant_ZD"].std() == pytest.approx(1, abs=0.08)
