"""Learning from rewards: gradients of the expected reward, advantages, replayed routing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moe.balance import make_balancer
from moe.lm.config import LMConfig
from moe.lm.logits import divergence, entropy, log_chances, logits_backward
from moe.lm.model import LanguageModel
from moe.lm.reinforce import advantages, has_variance, imitate, learn, policy_gradients
from moe.lm.replay import replaying, rounded_gates
from moe.lm.rollouts import Rollouts, Written, roll_out
from moe.lm.tasks import END, FILL, SIGNS, TASKS, Problems
from moe.optim import SGD

TASK = TASKS["mod5"]
TINY = LMConfig(
    n_vocab=len(SIGNS), context=24, d_model=8, n_heads=2, d_expert=4, n_experts=4, norm_eps=1e-5
)


def policy(dtype: str = "float64", seed: int = 1, spread: float = 0.3) -> LanguageModel:
    """A tiny model with an opinion: a fresh one gives every sign the same chance."""
    model = LanguageModel.init(TINY, seed, dtype, make_balancer("bias", rate=0.01))
    rng = np.random.default_rng(seed)
    for array in model.arrays().values():
        array += spread * rng.standard_normal(array.shape).astype(dtype)
    return model


def rollouts(model: LanguageModel, seed: int = 0, n: int = 6, times: int = 4) -> Rollouts:
    rng = np.random.default_rng(seed)
    rolled = roll_out(model, TASK, TASK.draw(rng, n), rng, times)
    reward_B = rng.integers(0, 2, n * times).astype(float)  # a tiny model is hardly ever right
    reward_B[:times] = 1
    return replace(rolled, reward_B=reward_B)


def slope(model: LanguageModel, way: dict[str, np.ndarray], value: object) -> float:
    """Slope of a function of the model along a way through its parameters."""
    arrays, found = model.arrays(), []
    before = {name: array.copy() for name, array in arrays.items()}
    for step in (1e-6, -1e-6):
        for name, array in arrays.items():
            array[...] = before[name] + step * way[name]
        found.append(value())
    for name, array in arrays.items():
        array[...] = before[name]
    return (found[0] - found[1]) / 2e-6


def some_way(model: LanguageModel) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {name: rng.standard_normal(array.shape) for name, array in model.arrays().items()}


def along(grads: dict[str, np.ndarray], way: dict[str, np.ndarray]) -> float:
    return sum(float((grads[name] * way[name]).sum()) for name in way)


# Rewards ---------------------------------------------------------------------------------------


def test_advantages_are_rewards_in_units_of_their_group() -> None:
    reward_GT = np.array([[1.0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    for reward_T, advantage_T in zip(reward_GT, advantages(reward_GT)):
        mean = sum(reward_T) / 4
        deviation = (sum((one - mean) ** 2 for one in reward_T) / 4) ** 0.5
        expected = [(one - mean) / deviation if deviation else 0 for one in reward_T]
        assert np.allclose(advantage_T, expected)
    assert has_variance(reward_GT).tolist() == [True, True, False, False]


def everything_written(n_signs: int) -> np.ndarray:
    """Every answer of at most two signs: one ends with its first, or has any second one."""
    pairs = np.stack(np.meshgrid(*[np.arange(n_signs)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    pairs = pairs[pairs[:, 0] != END]
    return np.concatenate([[[END, FILL]], pairs])


def test_weights_give_the_gradient_of_the_expected_reward() -> None:
    model, way = policy(), some_way(policy())
    written_BS = everything_written(len(SIGNS))
    problems = TASK.draw(np.random.default_rng(0), 1).repeat(len(written_BS))
    answers = Written(problems, written_BS)
    reward_B = np.random.default_rng(5).random(len(written_BS))

    def chances() -> np.ndarray:
        losses_BT = model.token_losses(answers.tokens_BT, answers.target_BT)
        return np.exp(-(losses_BT[:, -2:] * answers.counts_BS).sum(axis=1))

    chance_B = chances()
    assert np.isclose(chance_B.sum(), 1)  # so these are all outcomes, and what counts is masked
    weight_BT = answers.weights(chance_B * reward_B * answers.counts_BS.sum())
    grads = model.gradients(answers.tokens_BT, answers.target_BT, weight_BT).arrays
    expected = slope(model, way, lambda: float(chances() @ reward_B))
    assert np.isclose(-along(grads, way), expected, rtol=1e-5)


@pytest.mark.parametrize("bonus", [0.0, 0.1])
def test_gradients_are_those_of_the_surrogate(bonus: float) -> None:
    model = policy()
    rolled, way = rollouts(model), some_way(model)
    _, arrays, _ = policy_gradients(model, rolled, bonus)
    advantage_B = advantages(rolled.reward_GT).reshape(-1)

    def loss() -> float:
        logits_BTV = model.logits(rolled.tokens_BT)[:, -rolled.counts_BS.shape[1] :]
        log_NV = log_chances(logits_BTV.reshape(-1, len(SIGNS)))
        counts_N = rolled.counts_BS.reshape(-1)
        log_N = log_NV[np.arange(len(log_NV)), rolled.written_BS.reshape(-1)]
        factor_N = np.repeat(advantage_B, rolled.counts_BS.shape[1])
        entropy_N = -(np.exp(log_NV) * log_NV).sum(axis=1)
        return float(((-factor_N * log_N - bonus * entropy_N) * counts_N).sum() / counts_N.sum())

    assert np.isclose(along(arrays, way), slope(model, way, loss), rtol=1e-5)


def test_both_ways_to_the_gradient_agree() -> None:
    model = policy()
    rolled = rollouts(model)
    loss_BT, plain, _ = policy_gradients(model, rolled)
    other_BT, with_bonus, _ = policy_gradients(model, rolled, 1e-12)
    assert np.allclose(loss_BT, other_BT)
    for name, grad in plain.items():
        assert np.allclose(grad, with_bonus[name], atol=1e-9), name


def test_a_step_makes_rewarded_answers_likelier() -> None:
    model = replace(policy(), balancer=None)  # whose step would change the routing
    rolled = rollouts(model)

    def chance_of_right() -> float:
        losses_BT = model.token_losses(rolled.tokens_BT, rolled.target_BT)
        total_B = (losses_BT[:, -rolled.counts_BS.shape[1] :] * rolled.counts_BS).sum(axis=1)
        return float(advantages(rolled.reward_GT).reshape(-1) @ -total_B)

    before = chance_of_right()
    learn(model, SGD(0.01), rolled)
    assert chance_of_right() > before


def test_supervised_steps_learn_the_answers_and_nothing_else() -> None:
    model, rng = policy("float64"), np.random.default_rng(0)
    problems = TASK.draw(rng, 8)
    shown = Written(problems, TASK.demonstrate(problems, rng, 0.5))
    weight_BT = shown.weights(np.ones(8))
    assert np.isclose(weight_BT.sum(), 1)
    counted = [int(n) for n in (weight_BT > 0).sum(axis=1)]
    assert counted == [int(n) + 1 for n in shown.length_B]  # the end sign counts, and is the last
    losses = [imitate(model, SGD(0.3), shown) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


# Sampling --------------------------------------------------------------------------------------


def test_what_was_sampled_is_what_training_sees() -> None:
    for dtype, tolerance in (("float32", 2e-6), ("float64", 1e-12)):
        model = policy(dtype)
        rolled = rollouts(model)
        ctx = model.forward(rolled.tokens_BT)
        for routing, expert_BTK in zip(ctx.routings, rolled.expert_LBTK):
            assert np.array_equal(routing.expert_A.reshape(expert_BTK.shape), expert_BTK)
        losses_BT = model.token_losses(rolled.tokens_BT, rolled.target_BT)
        losses_BS = losses_BT[:, -rolled.counts_BS.shape[1] :] * rolled.counts_BS
        assert np.allclose(losses_BS, rolled.loss_BS, atol=tolerance)
        assert rolled.reads_BT[:, :7].all()
        ends_B = rolled.length_B + 7
        for reads_T, end in zip(rolled.reads_BT, ends_B):
            assert reads_T[:end].all() and not reads_T[end:].any()


def test_entropy_and_load_of_rollouts() -> None:
    model = policy()
    rolled = rollouts(model)
    log_BTV = model.logits(rolled.tokens_BT)[:, -rolled.counts_BS.shape[1] :]
    found = [
        -sum(np.exp(one) * one for one in log_chances(log_V[None])[0])
        for log_TV, counts_S in zip(log_BTV, rolled.counts_BS)
        for log_V, counts in zip(log_TV, counts_S)
        if counts
    ]
    assert np.isclose(rolled.entropy, np.mean(found))
    routings = model.forward(rolled.tokens_BT).routings
    for max_vio, routing in zip(rolled.max_vio(4), routings):
        load_E = routing.only(rolled.reads_BT.reshape(-1)).load
        assert np.isclose(max_vio, load_E.max() / load_E.mean() - 1)


def test_groups_are_taken_whole() -> None:
    rolled = rollouts(policy())
    some = rolled.groups(np.array([True, False, False, True, False, False]))
    assert np.array_equal(some.reward_GT, rolled.reward_GT[[0, 3]])
    assert np.array_equal(some.tokens_BT, rolled.tokens_BT[[0, 1, 2, 3, 12, 13, 14, 15]])
    assert len(some.texts(2)) == 2 and some.texts(2)[0].endswith("right")


# Replay ----------------------------------------------------------------------------------------


def test_a_replayed_pass_routes_as_the_sampler_did_bit_for_bit() -> None:
    model = policy("float32")
    rolled = rollouts(rounded_gates(model, 2))
    own = model.forward(rolled.tokens_BT).routings
    choices = [expert_BTK.reshape(-1, expert_BTK.shape[2]) for expert_BTK in rolled.expert_LBTK]
    replayed = replaying(model, choices).forward(rolled.tokens_BT).routings
    for routing, mine, expert_NK in zip(replayed, own, choices):
        assert np.array_equal(routing.expert_A, expert_NK.reshape(-1))
        assert not np.array_equal(mine.expert_A, routing.expert_A)
    assert learn(model, SGD(1e-9), rolled, replay=True).routing > 0  # what it would have chosen


def test_replaying_what_a_model_chose_changes_no_bit() -> None:
    model = policy("float32")
    tokens_BT = rollouts(model).tokens_BT
    ctx = model.forward(tokens_BT)
    choices = [routing.expert_A.reshape(-1, 2) for routing in ctx.routings]
    again = replaying(model, choices).forward(tokens_BT)
    assert np.array_equal(ctx.h_ND, again.h_ND)
    for one, other in zip(ctx.routings, again.routings):
        assert np.array_equal(one.weight_A, other.weight_A)


def test_gradients_stay_exact_where_experts_are_given() -> None:
    model, way = policy(), some_way(policy())
    rolled = rollouts(model)
    rng = np.random.default_rng(3)
    n_rows = rolled.tokens_BT.size
    choices = [rng.permuted(np.tile(np.arange(4), (n_rows, 1)), axis=1)[:, :2] for _ in range(2)]
    forced = replaying(model, choices)
    weight_BT = rolled.weights(rng.standard_normal(len(rolled.written_BS)))
    grads = forced.gradients(rolled.tokens_BT, rolled.target_BT, weight_BT).arrays

    def loss() -> float:
        return float((weight_BT * forced.token_losses(rolled.tokens_BT, rolled.target_BT)).sum())

    assert np.isclose(along(grads, way), slope(model, way, loss), rtol=1e-5)


def test_replay_refuses_what_it_cannot_do() -> None:
    model = policy()
    with pytest.raises(ValueError, match="expert_NK: got 4 choices, allowed are 14"):
        replaying(model, [np.zeros((2, 2), int)] * 2).forward(np.zeros((1, 7), int))
    odd = LanguageModel.init(replace(TINY, router="sinkhorn"))
    with pytest.raises(ValueError, match="expert_NK: got choices with router 'sinkhorn'"):
        replaying(odd, [np.zeros((7, 2), int)] * 2).forward(np.zeros((1, 7), int))


def test_a_rounded_gate_is_that_of_bfloat16() -> None:
    model = policy("float32")
    gate_DE = model.moe_layers[0].params["gate_DE"]
    bits_DE = gate_DE.view(np.uint32).astype(np.uint64)
    up_DE = 0x7FFF + ((bits_DE >> 16) & 1)  # to nearest, ties to even
    expected_DE = ((bits_DE + up_DE) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    rounded = rounded_gates(model, 7)
    found_DE = rounded.moe_layers[0].params["gate_DE"]
    assert np.array_equal(found_DE, expected_DE) and not np.array_equal(found_DE, gate_DE)
    assert rounded.moe_layers[0].buffers is model.moe_layers[0].buffers
    same = rounded_gates(model, 23).moe_layers[0].params["gate_DE"]
    assert np.array_equal(same, gate_DE)


# Losses at the logits --------------------------------------------------------------------------


def test_slopes_of_entropy_and_divergence() -> None:
    rng = np.random.default_rng(0)
    logits_NV, teacher_NV, way_NV = rng.standard_normal((3, 5, 7))
    losses = {
        "entropy": entropy,
        "divergence": lambda at_NV: divergence(teacher_NV, at_NV),
        "softened divergence": lambda at_NV: divergence(teacher_NV, at_NV, 2.5),
    }
    for name, loss in losses.items():
        up, down = (loss(logits_NV + step * way_NV)[0] for step in (1e-6, -1e-6))
        found = (loss(logits_NV)[1] * way_NV).sum(axis=1)
        assert np.allclose(found, (up - down) / 2e-6, rtol=1e-6, atol=1e-8), name


def test_a_divergence_is_zero_between_equals_and_counted_by_hand_elsewhere() -> None:
    teacher_NV, student_NV = np.log([[0.5, 0.25, 0.25]]), np.log([[0.25, 0.25, 0.5]])
    loss_N, slope_NV = divergence(teacher_NV, student_NV)
    assert np.isclose(loss_N[0], 0.5 * np.log(2) - 0.25 * np.log(2))
    assert np.allclose(slope_NV, [[-0.25, 0, 0.25]])
    assert np.allclose(divergence(teacher_NV, teacher_NV, 3.0)[0], 0)


def test_gradients_from_the_logits_are_those_of_the_model() -> None:
    model, rng = policy(), np.random.default_rng(0)
    tokens_BT, target_BT = rng.integers(0, 16, (2, 3, 5))
    ctx = model.forward(tokens_BT)
    dlogits_NV = np.exp(log_chances(model.output(ctx.h_ND)))
    dlogits_NV[np.arange(15), target_BT.reshape(-1)] -= 1
    _, arrays = logits_backward(model, dlogits_NV / 15, ctx)
    for name, grad in model.gradients(tokens_BT, target_BT).arrays.items():
        assert np.allclose(arrays[name], grad, atol=1e-12), name


def test_problems_can_be_joined() -> None:
    one, other = (TASK.draw(np.random.default_rng(seed), 3) for seed in (0, 1))
    both = Problems.join([one, other])
    assert np.array_equal(both.number_B, [*one.number_B, *other.number_B])
    assert np.array_equal(both.select(np.arange(3, 6)).prompt_BP, other.prompt_BP)
