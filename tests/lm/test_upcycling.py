"""Upcycling of a language model in training: what is copied, and how the run goes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import moe
from moe.lm.config import LMConfig
from moe.lm.model import LanguageModel
from moe.lm.settings import LMTrainSettings
from moe.lm.training import LMTrainer
from moe.lm.upcycling import go_on_with, upcycle_dense, upcycle_model, utilities

CONFIG = LMConfig(
    d_model=16, d_expert=8, n_experts=4, n_layers=2, context=16, k=1,
    router="topk", router_options="score=sigmoid,renormalize=False",
)  # fmt: skip
WINDOWS = np.random.default_rng(0).integers(0, 256, (8, 17))


def shuffled(config: LMConfig) -> LanguageModel:
    model = LanguageModel.init(config, seed=3, dtype="float64")
    model.params["out_DV"][:] = np.random.default_rng(1).standard_normal((16, 256)) / 4
    return model


def test_one_expert_a_token_and_no_noise_is_the_same_model_to_the_bit() -> None:
    model = shuffled(CONFIG)
    more = upcycle_model(model, 3, noise=0.0)
    assert more.config.n_experts == 12
    assert more.logits(WINDOWS).tobytes() == model.logits(WINDOWS).tobytes()


def test_noise_differs_by_layer_and_touches_copies_only() -> None:
    model = shuffled(replace(CONFIG, k=2, router="deepseek_v3", router_options="scale=1.0"))
    one, two = (layer.buffers["select_bias_E"] for layer in upcycle_model(model, 2, 0.1).moe_layers)
    for bias_E in (one, two):
        assert (bias_E[:4] == 0).all() and bias_E[4:].all()
        assert np.abs(bias_E).max() <= 0.1
    assert not np.array_equal(one, two)


def test_utility_is_the_squared_length_of_the_mean_gradient() -> None:
    model = shuffled(CONFIG)
    found = utilities(model, [WINDOWS[:4], WINDOWS[4:]])
    whole = model.gradients(WINDOWS[:, :-1], WINDOWS[:, 1:]).arrays
    for number, utility_E in enumerate(found):
        for expert in range(4):
            wanted = sum(
                float((whole[f"blocks.{number}.ffn.{name}"][expert] ** 2).sum())
                for name in ("w_gate_up_ED2F", "w_down_EFD")
            )
            assert utility_E[expert] == pytest.approx(wanted)


def test_useful_experts_get_the_new_places() -> None:
    model = shuffled(CONFIG)
    by = [np.array([0.0, 3.0, 1.0, 2.0])] * 2
    grown = upcycle_model(model, 2, by=by)
    down_EFD = grown.moe_layers[0].params["w_down_EFD"]
    old_EFD = model.moe_layers[0].params["w_down_EFD"]
    assert len(down_EFD) == 8
    assert np.array_equal(down_EFD[4:], old_EFD[[1, 3, 1, 1]])


def test_a_run_goes_on_with_the_batches_and_rates_that_would_have_come() -> None:
    settings = LMTrainSettings(**vars(CONFIG) | dict(steps=6, batch=4, balance="bias"))
    straight, turned = LMTrainer(settings), LMTrainer(settings)
    for _ in range(3):
        straight.step(), turned.step()
    following = go_on_with(turned, upcycle_model(turned.model, 2), replace(settings, n_experts=8))
    assert (following.step_number, following.settings.n_experts) == (3, 8)
    assert following.optimizer.steps == 0  # type: ignore[attr-defined]
    one, two = (trainer.windows.draw(trainer.data_rng, 4) for trainer in (straight, following))
    assert np.array_equal(one, two)
    records = list(following.run())
    assert [record.step for record in records] == [3, 4, 5] and records[-1].held_out


@pytest.mark.parametrize(
    ("balance", "name"), [("pi", "pi_integral_E"), ("smebu", "smebu_momentum_E")]
)
def test_a_balancer_goes_on_from_what_it_remembers(balance: str, name: str) -> None:
    config = replace(CONFIG, router="deepseek_v3", router_options="", k=2)
    settings = LMTrainSettings(**vars(config) | dict(steps=6, batch=4, balance=balance))
    trainer = LMTrainer(settings)
    for _ in range(3):
        trainer.step()
    before_E = trainer.model.moe_layers[0].buffers[name].copy()
    assert before_E.any()
    more = upcycle_model(trainer.model, 2, noise=0.0)
    following = go_on_with(trainer, more, replace(settings, n_experts=8))
    assert np.array_equal(following.model.moe_layers[0].buffers[name], np.tile(before_E, 2))
    with pytest.raises(ValueError, match=r"settings: got those of .*n_experts=4.*n_experts=8"):
        go_on_with(trainer, more, settings)


def test_a_dense_model_becomes_a_mixture_of_its_networks() -> None:
    dense = shuffled(replace(CONFIG, n_experts=0, d_dense=8, k=1))
    more = upcycle_dense(dense, replace(CONFIG, router_options="", k=2))
    assert np.allclose(more.logits(WINDOWS), dense.logits(WINDOWS))
    other = upcycle_dense(dense, replace(CONFIG, router_options="", k=2), drop=0.5)
    assert not np.allclose(other.logits(WINDOWS), dense.logits(WINDOWS))
    assert other.moe_layers[0] == moe.upcycle(
        dense.blocks[0].ffn, 4, moe.make_router("topk", k=2), exact=False, drop=0.5,
        seed=int(np.random.SeedSequence(0).generate_state(2)[0]),
    )  # fmt: skip
    with pytest.raises(ValueError, match="allowed is a dense model as wide as an expert"):
        upcycle_dense(dense, replace(CONFIG, d_expert=9))
    with pytest.raises(ValueError, match="allowed is a dense model as wide as an expert"):
        upcycle_dense(shuffled(CONFIG), CONFIG)
    for name, config in (
        ("n_shared", replace(CONFIG, n_shared=1)),
        ("n_dense", replace(CONFIG, n_dense=1)),
        ("context", replace(CONFIG, context=32)),
        ("activation", replace(CONFIG, activation="gelu")),
    ):
        with pytest.raises(ValueError, match=f"{name}: got .*, allowed is .* here"):
            upcycle_dense(dense, config)


def test_wrong_arguments_are_refused_in_words() -> None:
    model = shuffled(CONFIG)
    for given, why in (
        (dict(copies=0), "copies: got 0, allowed is a whole number >= 1"),
        (dict(copies=1.5), "copies: got 1.5"),
        (dict(seed=-1), "seed: got -1"),
        (dict(by=[np.ones(4)]), "by: got utilities of 1 layers, allowed are those of 2"),
        (dict(by=[np.ones(3)] * 2), "copies: got .*, allowed is a whole number from 1 for each"),
    ):
        with pytest.raises(ValueError, match=why):
            upcycle_model(model, **given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batches: got none"):
        utilities(model, [])
    with pytest.raises(ValueError, match=r"batches: got shape \(17,\), allowed is \(B, T \+ 1\)"):
        utilities(model, [WINDOWS[0]])
