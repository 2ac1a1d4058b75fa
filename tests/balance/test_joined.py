"""Joined balancers, zero-computation weighting, and the loss on the gate itself."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe.balance import Sum, balancer_title, make_balancer_for_run
from moe.training import suits
from tests.gradients import worst_error


def test_a_sum_adds_values_and_gradients(rng: np.random.Generator) -> None:
    routing = moe.make_router("noisy_topk").choose(rng.standard_normal((20, 6)), rng=rng)
    parts = [moe.make_balancer(name) for name in ("aux", "importance_load", "z")]
    losses = [part.loss(routing) for part in parts]
    both = Sum(tuple(parts)).loss(routing)
    assert both.value == pytest.approx(sum(loss.value for loss in losses))
    assert both.dlogits_NE == pytest.approx(sum(loss.dlogits_NE for loss in losses))  # type: ignore[arg-type]
    for name in ("weight_A", "noise_NE"):
        assert np.array_equal(both.extra[name], losses[1].extra[name])


def test_a_sum_steps_every_part(rng: np.random.Generator) -> None:
    """DeepSeek-V3's pair: the bias moves, and the sequence loss has a gradient."""
    balancer = moe.make_balancer("bias(rate=0.01)+aux(scope=global, window=2)")
    layer = moe.MoELayer.init(4, 4, 8, router="deepseek_v3")
    layer.buffers |= balancer.init_state(8)
    routing = layer.route(rng.standard_normal((30, 4)))
    assert balancer.loss(routing, layer.buffers).dlogits_NE is not None
    balancer.update(layer.buffers, routing)
    assert np.abs(layer.buffers["select_bias_E"]).max() == pytest.approx(0.01)
    assert layer.buffers["aux_count_WE"].sum() == 60


def test_names_carry_options() -> None:
    both = moe.make_balancer("bias(form=proportional, freeze_after=10) + aux(scale=switch)")
    assert isinstance(both, Sum)
    options = both.options()
    assert options["bias.form"] == "proportional" and options["bias.freeze_after"] == 10
    assert options["aux.scale"] == "switch" and options["aux.coefficient"] == 0.01
    shared = moe.make_balancer("aux+z(coefficient=0.5)", coefficient=0.25).options()
    assert (shared["aux.coefficient"], shared["z.coefficient"]) == (0.25, 0.5)
    assert balancer_title("bias+z") == "Bias (auxiliary-loss-free) + Router z-loss"


def test_the_rate_of_a_run_is_the_first_ones() -> None:
    run = {"k": 4, "sequence_length": 32}
    both = make_balancer_for_run("bias+aux(scope=sequence)", 0.5, run).options()
    assert both["bias.rate"] == 0.5
    assert both["aux.coefficient"] == moe.BALANCERS["aux"].short_run_rate
    assert (both["aux.scope"], both["aux.sequence_length"]) == ("sequence", 32)
    assert make_balancer_for_run("l1", None, run).options()["k"] == 4


BAD = {
    "unknown": ("bias+magic", "balance: got 'magic', allowed is one of none, aux"),
    "twice": ("aux+aux", "balance: got 'aux+aux', allowed are different methods"),
    "empty": ("aux+", "balance: got 'aux+', allowed are names joined by"),
    "brackets": ("aux(scale", "balance: got 'aux(scale', allowed are names joined by"),
    "no value": ("aux(scale)", "balance: got 'aux(scale)', allowed are names joined by"),
    "option": ("bias(speed=1)", "option of balancer bias: got 'speed', allowed is one of rate"),
    "none": ("none(speed=1)", "option of balancer none: got 'speed', allowed is none"),
    "value": ("aux(scope=planet)", "scope: got 'planet', allowed is one of batch, sequence"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_names_are_named(case: str) -> None:
    words, message = BAD[case]
    with pytest.raises(ValueError) as caught:
        moe.make_balancer(words)
    assert message in str(caught.value)
    with pytest.raises(ValueError):
        moe.TrainSettings(balance=words)


def test_an_option_that_no_part_has_is_refused() -> None:
    with pytest.raises(ValueError, match="option of balancer bias: got 'speed', allowed is one"):
        moe.make_balancer("bias", speed=1)
    with pytest.raises(ValueError, match=r"option of balancer bias\+z: got 'scope', allowed is"):
        moe.make_balancer("bias+z", scope="batch")


def test_a_sum_suits_what_all_its_parts_suit() -> None:
    assert suits("bias+aux", "deepseek_v3")
    assert not suits("bias+aux", "noisy_topk")  # no bias
    assert not suits("bias+aux", "hash") and not suits("aux+l1", "topk")
    assert suits("zero_computation+zero_weighted", "longcat")
    assert not suits("zero_computation", "deepseek_v3") and not suits("l1", "top_p")
    assert suits("simple_diverse", "dynmoe") and not suits("simple_diverse", "hash")


def test_a_run_with_joined_balancers() -> None:
    settings = moe.TrainSettings(
        router="deepseek_v3", balance="bias+aux(scope=sequence)", sequence_length=16, steps=60,
        batch=512,
    )  # fmt: skip
    records = list(moe.train(settings))
    assert records[0].balance_loss > 0
    assert records[-1].max_vio < 1.0 < records[5].max_vio + 1
    with pytest.raises(ValueError, match="sequence_length: got 3, allowed is a divisor of batch"):
        moe.TrainSettings(sequence_length=3)


def test_tau_moves_choices_to_experts_that_compute_nothing() -> None:
    """MoE++: a smaller tau, fewer computing experts per token."""
    shares = []
    for tau in (0.25, 1.0):
        settings = moe.TrainSettings(
            router="moe_pp", balance=f"zero_weighted(tau={tau})", steps=120, batch=512
        )
        load_E = np.sum([r.proposed for r in list(moe.train(settings))[-20:]], axis=0)
        shares.append(load_E[:-3].sum() / load_E.sum())
    print(f"MoE++, share of choices that compute: tau 0.25 {shares[0]:.2f}, tau 1 {shares[1]:.2f}")
    assert shares[0] < shares[1] - 0.1


def test_the_gates_own_loss_is_exact(rng: np.random.Generator) -> None:
    gate_DE = rng.standard_normal((5, 4))
    balancer = moe.make_balancer("simple_diverse", coefficient=1.0)
    value, grads = balancer.param_loss({"gate_DE": gate_DE})
    unit_DE = gate_DE / np.linalg.norm(gate_DE, axis=0)
    expected = np.linalg.norm(unit_DE.T @ unit_DE - np.eye(4))
    assert value == pytest.approx(expected + np.linalg.norm(gate_DE, axis=0).mean())
    error = worst_error(
        lambda: balancer.param_loss({"gate_DE": gate_DE})[0], {"g": gate_DE},
        {"g": grads["gate_DE"]}, probes=20,
    )  # fmt: skip
    assert error < 1e-8


def test_orthogonal_vectors_are_left_alone() -> None:
    """Only their length pulls; a gate of zeros is no division by zero."""
    balancer = moe.make_balancer("simple_diverse", coefficient=1.0)
    value, grads = balancer.param_loss({"gate_DE": 2 * np.eye(3)})
    assert value == pytest.approx(2.0) and grads["gate_DE"] == pytest.approx(np.eye(3) / 3)
    value, grads = balancer.param_loss({"gate_DE": np.zeros((3, 3))})
    assert np.isfinite(value) and np.isfinite(grads["gate_DE"]).all()


def test_training_makes_the_gate_diverse() -> None:
    cosines = []
    for balance in ("none", "simple_diverse"):
        trainer = moe.Trainer(
            moe.TrainSettings(router="dynmoe", balance=balance, steps=60, batch=256)
        )
        records = list(trainer.run())
        unit_DE = trainer.layer.params["gate_DE"]
        unit_DE = unit_DE / np.linalg.norm(unit_DE, axis=0)
        cosines.append(float(np.linalg.norm(unit_DE.T @ unit_DE - np.eye(16))))
        assert (records[-1].balance_loss > 0) == (balance != "none")
    print(f"DynMoE, norm of the cosines between experts: {cosines[0]:.2f}, {cosines[1]:.2f} with")
    assert cosines[1] < 0.5 * cosines[0]
