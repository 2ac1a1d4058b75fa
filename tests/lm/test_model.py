"""The language model: gradients, the same bits on every way, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe import kernels
from moe.lm.config import LMConfig
from moe.lm.model import LanguageModel
from moe.lm.sampling import sample

SMALL = dict(n_vocab=11, d_model=16, n_heads=4, d_expert=6, n_experts=4, norm_eps=1e-5)
KINDS = {
    "heads": {},
    "gqa, norm over the width": dict(n_kv_heads=2, qk_norm="width", tied=True),
    "one key head, no norm": dict(n_kv_heads=1, qk_norm="none", head_size=4, rope_size=2),
    "shared, first layer dense": dict(n_shared=1, n_dense=1, router="deepseek_v3", n_layers=3),
    "latent": dict(kv_rank=5, head_size=6, rope_size=2, value_size=3, interleaved=True),
    "both latents": dict(kv_rank=5, q_rank=7, head_size=6, rope_size=4, value_size=8),
    "dense": dict(n_experts=0, d_dense=10),
    "gating residual": dict(router="moe_pp", n_experts=8),
}


def model_of(kind: str, dtype: str = "float64", **more: object) -> LanguageModel:
    """A model of a kind, its zeros and ones moved so that no gradient is zero by accident."""
    model = LanguageModel.init(LMConfig(**SMALL | KINDS[kind] | more), seed=1, dtype=dtype)
    rng = np.random.default_rng(2)
    for array in model.arrays().values():
        array += 0.3 * rng.standard_normal(array.shape).astype(dtype)
    return model


def batch(n_sequences: int = 3, n_positions: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return tuple(rng.integers(0, 11, (n_sequences, n_positions)) for _ in range(2))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_slopes_of_the_loss(kind: str) -> None:
    model, (tokens_BT, target_BT) = model_of(kind), batch()
    rng = np.random.default_rng(4)
    weight_BT = rng.standard_normal(tokens_BT.shape)
    grads = model.gradients(tokens_BT, target_BT, weight_BT).arrays
    assert list(grads) == list(model.arrays())
    for name, array in model.arrays().items():
        assert grads[name].shape == array.shape
        way, here = rng.standard_normal(array.shape), array.copy()
        slopes = []
        for step in (1e-6, -1e-6):
            array[...] = here + step * way
            slopes.append((weight_BT * model.token_losses(tokens_BT, target_BT)).sum() / 1e-6 / 2)
        array[...] = here
        slope = slopes[0] - slopes[1]
        assert np.isclose((grads[name] * way).sum(), slope, rtol=2e-5, atol=2e-7), name


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_agree_with_their_oracles(kind: str) -> None:
    model, (tokens_BT, target_BT) = model_of(kind), batch()
    found = model.gradients(tokens_BT, target_BT)
    with kernels.using("numpy"):
        expected = model.gradients(tokens_BT, target_BT)
    assert np.isclose(found.loss, expected.loss, rtol=1e-12)
    for name, grad in found.arrays.items():
        assert np.allclose(grad, expected.arrays[name], rtol=1e-9, atol=1e-12), name


def test_two_models_of_one_seed_are_the_same_and_of_two_are_not() -> None:
    one, same, other = (LanguageModel.init(LMConfig(), seed=seed) for seed in (0, 0, 1))
    for name, array in one.arrays().items():
        assert np.array_equal(array, same.arrays()[name])
    assert not np.array_equal(one.params["embed_VD"], other.params["embed_VD"])


def test_a_balancer_steers_every_layer() -> None:
    config = LMConfig(n_layers=3)
    model = LanguageModel.init(config, balancer=moe.make_balancer("bias", rate=0.1))
    rng = np.random.default_rng(0)
    grads = model.gradients(*rng.integers(0, 256, (2, 4, 32)))
    assert len(grads.routings) == 3
    model.steer(grads.routings)
    assert len(model.state()) == 3
    for routing, bias_E in zip(grads.routings, model.state().values()):
        assert set(np.sign(bias_E)) == set(np.sign(routing.load.mean() - routing.load))


def test_a_balance_loss_adds_its_gradient_at_every_gate() -> None:
    model = model_of("heads")
    tokens_BT, target_BT = batch()
    plain = model.gradients(tokens_BT, target_BT)
    model.balance_by(moe.make_balancer("aux", coefficient=1.0))
    found = model.gradients(tokens_BT, target_BT)
    assert plain.balance_loss == 0 and found.balance_loss > 0
    assert not np.allclose(
        plain.arrays["blocks.0.ffn.gate_DE"], found.arrays["blocks.0.ffn.gate_DE"]
    )
    way = np.random.default_rng(5).standard_normal(model.params["embed_VD"].shape)
    here, values = model.params["embed_VD"].copy(), []
    for step in (1e-6, -1e-6):
        model.params["embed_VD"][...] = here + step * way
        both = model.gradients(tokens_BT, target_BT)
        values.append(both.loss + both.balance_loss)
    slope = (values[0] - values[1]) / 2e-6
    # Which tokens choose which expert does not change with so small a step.
    assert np.isclose((found.arrays["embed_VD"] * way).sum(), slope, rtol=1e-5)


def test_samples_follow_the_chances_and_stop_at_the_end() -> None:
    model = model_of("heads")
    prompt_BT = np.array([[1, 2, 3]])
    rng = np.random.default_rng(0)
    first = next(sample(model, prompt_BT, 1, rng, times=20_000))
    chance_V = np.exp(first.logits_BV[0] - first.logits_BV[0].max())
    seen_V = np.bincount(first.token_B, minlength=11) / 20_000
    assert np.allclose(seen_V, chance_V / chance_V.sum(), atol=0.015)
    drawn = list(sample(model, np.repeat(prompt_BT, 50, axis=0), 40, rng, end=4, fill=9))
    token_BT = np.stack([one.token_B for one in drawn], axis=1)
    for row in token_BT:
        ends = np.flatnonzero(row == 4)
        assert not len(ends) or (row[ends[0] + 1 :] == 9).all()
    greedy = [list(sample(model, prompt_BT, 5, rng, temperature=0.0)) for _ in range(2)]
    assert [s.token_B[0] for s in greedy[0]] == [s.token_B[0] for s in greedy[1]]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (np.zeros((2, 3)), "tokens_BT: got float64 of shape"),
        (np.zeros(3, int), "allowed are integers of shape (B, T)"),
        (np.zeros((2, 0), int), "allowed are integers of shape (B, T)"),
        (np.full((1, 2), 11), "got the token 11, allowed are 0 to 10"),
        (np.full((1, 2), -1), "got the token -1, allowed are 0 to 10"),
    ],
)
def test_tokens_are_checked(tokens: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        model_of("heads").logits(tokens)
    assert words in str(caught.value)


def test_weights_of_a_loss_are_checked() -> None:
    model, (tokens_BT, target_BT) = model_of("heads"), batch()
    for wrong in (np.ones(3), np.ones((3, 7), int), np.full((3, 7), np.nan)):
        with pytest.raises(ValueError, match="weight_BT: got"):
            model.gradients(tokens_BT, target_BT, wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(d_model=10, n_heads=4), "n_heads: got 4, allowed is a divisor of d_model"),
        (dict(n_kv_heads=3), "n_kv_heads: got 3, allowed is a divisor of n_heads"),
        (dict(n_kv_heads=8), "n_kv_heads: got 8"),
        (dict(head_size=7), "rope_size: got 7, allowed is an even number"),
        (dict(kv_rank=8), "kv_rank: got 8, allowed is it with rope_size"),
        (dict(q_rank=8), "q_rank: got 8"),
        (dict(n_dense=3), "n_dense: got 3"),
        (dict(k=17), "k: got 17"),
        (dict(router="nobody"), "router: got 'nobody'"),
        (dict(qk_norm="wide"), "qk_norm: got 'wide'"),
        (dict(d_model=0), "d_model: got 0"),
        (dict(rope_theta=0.5), "rope_theta: got 0.5"),
    ],
)
def test_options_are_checked(options: dict, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        LMConfig(**options)
    assert words in str(caught.value)
