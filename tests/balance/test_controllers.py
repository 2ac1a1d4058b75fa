"""Bias controllers on frozen scores: what each does to the load when nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe import metrics


def frozen_logits() -> np.ndarray:
    """2048 tokens, 16 experts of very different popularity (the experiment of the reference)."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((2048, 16)) + np.linspace(2, -2, 16)


def steps_of(balancer: moe.Balancer, steps: int, score: str = "sigmoid") -> list[float]:
    """MaxVio before and after each step, with the gate's scores held fixed."""
    router, logits_NE = moe.make_router("topk", k=2, score=score), frozen_logits()
    buffers = {"select_bias_E": np.zeros(16)} | balancer.init_state(16)
    seen = []
    for _ in range(steps + 1):
        routing = router.choose(logits_NE, **buffers)
        seen.append(metrics.max_vio(routing.load))
        balancer.update(buffers, routing)
    return seen


@pytest.mark.parametrize("score", ["sigmoid", "softmax"])
def test_quantile_balancing_needs_few_steps(score: str) -> None:
    """Under 0.05 within 20 steps, and it stays there, without a step size."""
    seen = steps_of(moe.make_balancer("quantile"), 40, score)
    print(f"quantile, {score}: " + " ".join(f"{value:.3f}" for value in seen[:21]))
    assert seen[0] > 3
    assert min(seen[:20]) < 0.05 and max(seen[20:]) < 0.05


def test_quantile_balancing_follows_the_reference_run() -> None:
    """The reference's own numbers, made by another implementation of the rule."""
    seen = steps_of(moe.make_balancer("quantile"), 5)
    assert np.allclose(seen, [3.332, 0.441, 0.195, 0.125, 0.074, 0.043], atol=5e-4)


def test_sign_control_on_frozen_scores() -> None:
    """1e-3 is slow but ends under 0.1; 1e-2 is quick, then a limit cycle; 0.1 jumps to and fro."""
    slow = steps_of(moe.make_balancer("bias", rate=1e-3), 1000)
    quick = steps_of(moe.make_balancer("bias", rate=1e-2), 1000)
    wild = steps_of(moe.make_balancer("bias", rate=0.1), 100)
    for rate, seen in (("1e-3", slow), ("1e-2", quick), ("0.1", wild)):
        at = [n for n in (0, 10, 100, 300, 1000) if n < len(seen)]
        print(f"sign, rate {rate}: " + " ".join(f"{n}: {seen[n]:.3f}" for n in at))
    assert slow[0] > 3 and slow[100] > 2
    assert slow[1000] < 0.1
    assert quick[100] < 0.3
    # It never settles: the last hundred steps still swing as those from 200 on did.
    assert max(quick[-100:]) > 0.15 and np.ptp(quick[-100:]) > 0.1
    assert max(quick[-100:]) == pytest.approx(max(quick[200:300]), rel=0.2)
    assert max(wild[50:]) > 1.5


@pytest.mark.parametrize("score", ["sigmoid", "softmax"])
@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_pi_control_settles(score: str, rate: float) -> None:
    """Fast as the quick sign control, and then it stays at balance; the same gains for both."""
    seen = steps_of(moe.make_balancer("pi", rate=rate), 300, score)
    print(
        f"pi, {score}, rate {rate}: " + " ".join(f"{n}: {seen[n]:.3f}" for n in (10, 50, 100, 300))
    )
    assert seen[50] < 0.1
    assert max(seen[100:]) < 0.03


def test_proportional_control_settles_and_sign_does_not() -> None:
    seen = steps_of(moe.make_balancer("bias", form="proportional", rate=1e-2), 300)
    print(f"proportional, rate 1e-2: 300: {seen[-1]:.3f}")
    assert max(seen[200:]) < 0.02


def test_multiplicative_control_balances_too() -> None:
    seen = steps_of(moe.make_balancer("bias", form="multiplicative", rate=1e-2), 100)
    assert seen[100] < 0.2


def test_multiplicative_bias_multiplies_the_scores() -> None:
    """Selection by s * b, weights by s; the additive bias stays as it was."""
    router = moe.make_router("deepseek_v3", k=1)
    logits_NE = np.array([[0.0, 1.0, -1.0, -2.0]])  # sigmoid .5, .73, .27, .12
    balancer = moe.make_balancer("bias", form="multiplicative", rate=0.5)
    buffers = {"select_bias_E": np.zeros(4)} | balancer.init_state(4)
    balancer.update(buffers, router.choose(logits_NE))
    assert buffers["select_factor_E"].tolist() == [1.5, 0.5, 1.5, 1.5]
    assert not buffers["select_bias_E"].any()
    routing = router.choose(logits_NE, **buffers)  # .75, .37, .40, .18
    assert routing.expert_A.tolist() == [0]
    assert routing.scores_NE is not None and routing.scores_NE[0, 0] == pytest.approx(0.5)


def test_the_bias_moves_toward_the_starved() -> None:
    """Algorithm 1: e_i = mean - c_i, b_i += u sign(e_i); idle experts go up."""
    layer = moe.MoELayer.init(4, 4, 4)
    logits_NE = np.tile([3.0, 2.0, 0.0, 0.0], (10, 1))
    routing = layer.router.choose(logits_NE)
    moe.make_balancer("bias", rate=0.01).update(layer.buffers, routing)
    assert np.allclose(layer.buffers["select_bias_E"], [-0.01, -0.01, 0.01, 0.01])


def test_zero_mean_keeps_the_sum() -> None:
    """One busy expert of four: plain steps add up to +2 u, zero-mean ones to nothing."""
    routing = moe.make_router("topk", k=1).choose(np.tile([3.0, 0, 0, 0], (8, 1)))
    for zero_mean, total in ((False, 0.02), (True, 0.0)):
        buffers = {"select_bias_E": np.zeros(4)}
        moe.make_balancer("bias", rate=0.01, zero_mean=zero_mean).update(buffers, routing)
        assert buffers["select_bias_E"].sum() == pytest.approx(total)
        assert buffers["select_bias_E"].argmin() == 0


def test_deepseek_v3_schedule_freezes_the_bias() -> None:
    """u for `freeze_after` updates, then 0."""
    routing = moe.make_router("topk", k=1).choose(np.tile([3.0, 0, 0, 0], (8, 1)))
    balancer = moe.make_balancer("bias", rate=0.01, freeze_after=3)
    buffers = {"select_bias_E": np.zeros(4)} | balancer.init_state(4)
    seen = []
    for _ in range(6):
        balancer.update(buffers, routing)
        seen.append(float(buffers["select_bias_E"][1]))
    assert np.allclose(seen, [0.01, 0.02, 0.03, 0.03, 0.03, 0.03])


def test_pi_integral_does_not_wind_up() -> None:
    """An expert that nothing can feed: the integral stops at its limit, and comes back at once."""
    router, balancer = moe.make_router("topk", k=1), moe.make_balancer("pi", rate=0.5, limit=0.2)
    logits_NE = np.stack([np.linspace(5, 4, 40), np.linspace(-5, -4, 40)], axis=1)
    buffers = {"select_bias_E": np.zeros(2)} | balancer.init_state(2)
    for _ in range(500):
        balancer.update(buffers, router.choose(logits_NE))
    assert np.abs(buffers["pi_integral_E"]).max() <= 0.2
    assert np.abs(buffers["select_bias_E"]).max() < 0.3


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_quantile_balancing_solves_the_linear_programme(k: int, seed: int) -> None:
    """max sum x s, each token k, each expert q: its dual's value, and nearly its choices' sum."""
    from scipy.optimize import linprog

    n, e = 60, 6
    q = k * n // e
    logits_NE = np.random.default_rng(seed).standard_normal((n, e)) + np.linspace(1, -1, e)
    router, balancer = moe.make_router("topk", k=k, score="sigmoid"), moe.make_balancer("quantile")
    buffers = {"select_bias_E": np.zeros(e)}
    s_NE = router.choose(logits_NE).scores_NE
    assert s_NE is not None
    tokens, experts = np.kron(np.eye(n), np.ones(e)), np.kron(np.ones(n), np.eye(e))
    best = linprog(
        -s_NE.ravel(),
        A_eq=np.vstack([tokens, experts]),
        b_eq=np.concatenate([np.full(n, k), np.full(e, q)]),
        bounds=(0, 1),
    )
    assert best.status == 0
    optimum = -best.fun
    duals, sums, loads = [], [], []
    for _ in range(60):
        routing = router.choose(logits_NE, **buffers)
        biased_NE = s_NE + buffers["select_bias_E"]
        top_N = np.sort(biased_NE, axis=1)[:, -k:].sum()
        duals.append(top_N - q * buffers["select_bias_E"].sum())
        sums.append(float((s_NE * (routing.combine() > 0)).sum()))
        loads.append(metrics.max_vio(routing.load))
        balancer.update(buffers, routing)
    greedy, found = sums[0], min(duals)
    print(
        f"LP optimum {optimum:.4f}; Quantile Balancing: dual {found:.4f}, chosen {sums[-1]:.4f}, "
        f"MaxVio {loads[-1]:.3f}; greedy {greedy:.4f}"
    )
    assert min(duals) >= optimum - 1e-9  # weak duality
    assert found - optimum < 0.02 * (greedy - optimum)
    assert loads[0] > 1 and min(loads[20:]) <= 0.2  # one token of ten or twenty too many


def test_quantile_step_leaves_q_tokens_above_the_old_bars(rng: np.random.Generator) -> None:
    """What the rule says of itself: at most q margins are positive, and q + 1 are not negative."""
    router, balancer = moe.make_router("topk", k=2, score="sigmoid"), moe.make_balancer("quantile")
    logits_NE = rng.standard_normal((80, 8)) + np.linspace(1, -1, 8)
    buffers = {"select_bias_E": np.zeros(8)}
    routing = router.choose(logits_NE)
    balancer.update(buffers, routing)
    assert routing.scores_NE is not None
    bar_N = np.sort(routing.scores_NE, axis=1)[:, -3]
    margin_NE = routing.scores_NE + buffers["select_bias_E"] - bar_N[:, None]
    q = 2 * 80 // 8
    assert ((margin_NE > 1e-12).sum(axis=0) <= q).all()
    assert ((margin_NE > -1e-12).sum(axis=0) >= q + 1).all()


def longcat_after(steps: int, computing: float, rate: float) -> tuple[float, np.ndarray]:
    """Mean number of computing experts per token and the bias, on frozen scores."""
    router = moe.make_router("longcat", k=4, n_identity=4)
    logits_NE = np.random.default_rng(0).standard_normal((4096, 12))
    balancer = moe.make_balancer("zero_computation", computing=computing, rate=rate)
    buffers = {"select_bias_E": np.zeros(12)}
    for _ in range(steps):
        balancer.update(buffers, router.choose(logits_NE, **buffers))
    load_E = router.choose(logits_NE, **buffers).load
    return float(load_E[:8].sum() / 4096), np.append(buffers["select_bias_E"], load_E)


@pytest.mark.parametrize("computing", [0.5, 0.75])
def test_longcat_reaches_its_number_of_computing_experts(computing: float) -> None:
    """K_e of K experts compute on average, evenly; the identity experts' bias never moves."""
    before, _ = longcat_after(0, computing, 0.2)
    after, told = longcat_after(1000, computing, 0.2)
    print(f"LongCat, K = 4, K_e = {4 * computing}: {before:.3f} at first, {after:.3f} at last")
    assert abs(before - 4 * computing) > 0.2
    assert after == pytest.approx(4 * computing, rel=0.01)
    assert not told[8:12].any()
    assert metrics.max_vio(told[12:20]) < 0.02


def test_remoe_reaches_its_sparsity() -> None:
    """Lambda rises until the share of zero gates is 1 - k / E, then swings around it."""
    settings = moe.TrainSettings(
        router="relu",
        balance="l1",
        balance_rate=1e-8,
        steps=400,
        batch=256,
        d_model=32,
        d_expert=32,
    )
    trainer = moe.Trainer(settings)
    sparsity = [1 - r.proposed.sum() / (256 * 16) for r in trainer.run()]
    wanted = 1 - 2 / 16
    print(
        f"ReMoE: zero gates {sparsity[0]:.3f} at first, {np.mean(sparsity[-100:]):.3f} at last, "
        f"{wanted} wanted; lambda {trainer.layer.buffers['l1_strength_1'][0]:.2e}"
    )
    assert sparsity[0] < 0.6
    assert np.mean(sparsity[-100:]) == pytest.approx(wanted, abs=0.02)


def test_remoe_penalty_without_balance_is_the_plain_norm() -> None:
    routing = moe.make_router("relu").choose(np.array([[1.0, 2.0, -1.0], [1.0, -1.0, -1.0]]))
    balancer = moe.make_balancer("l1", strength=0.5, k=1, balanced=False)
    loss = balancer.loss(routing)
    assert loss.value == pytest.approx(0.5 * (3 + 1) / 2)
    assert loss.dlogits_NE == pytest.approx(np.array([[0.25, 0.25, 0], [0.25, 0, 0]]))
