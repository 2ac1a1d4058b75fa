"""Parameters by formula against what transformers builds, and against sums written by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe.checkpoints.families import COUNTABLE
from moe.cost import CONVENTIONS, MODELS, ModelConfig, model_from_config

COUNTS = json.loads(Path(__file__).with_name("counts.json").read_text("utf-8"))
PUBLISHED = json.loads(Path(__file__).with_name("published_counts.json").read_text("utf-8"))


def test_every_type_that_is_counted_exactly_is_compared():
    """What `make parity` and the test below compare; a row says in `uncounted` what it lacks."""
    without_a_file = {"deepseek", "grok"}  # never in the library
    exactly = {name for name, family in COUNTABLE.items() if not family.uncounted}
    assert set(COUNTS) == exactly - without_a_file


@pytest.mark.parametrize("model_type", COUNTS)
def test_every_parameter_is_counted(model_type):
    """counts.json is made by count_with_transformers.py beside this file."""
    model = model_from_config(COUNTS[model_type]["config"])
    assert model.total_params == COUNTS[model_type]["total"]
    assert model.active("with_input") == COUNTS[model_type]["active"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_has_the_parameters_that_the_library_gives_its_configuration(name):
    """Tensor by tensor on the meta device: see count_with_transformers.py beside this file."""
    model = MODELS[name.lower()]
    assert (model.total_params, model.active("with_input")) == tuple(PUBLISHED[name].values())


def test_every_published_model_is_counted_once_more():
    by_hand = {"DeepSeekMoE-16B", "Grok-1", "Kimi-K3"}  # below; the library lacks their types
    assert set(PUBLISHED) | by_hand == {model.name for model in MODELS.values()}


def _counted(model, attention, network, expert, others=0, latent=0):
    """All of a model's tensors, and those of one token, where every part is given by hand."""
    d, moe = model.d_model, model.layers - model.dense_layers
    body = attention + model.dense_layers * network + (2 * model.layers + 1) * d + others
    body += moe * (model.experts * d + latent) + (1 if model.tied else 2) * model.vocab * d
    return body + moe * model.experts * expert, body + moe * model.top_k * expert


def test_models_that_the_library_lacks_by_hand():
    deepseek, grok = MODELS["deepseekmoe-16b"], MODELS["grok-1"]
    mha = 28 * 4 * 2048**2
    expert = 3 * 2048 * 1408
    theirs = _counted(deepseek, mha, 3 * 2048 * 10944, expert, 27 * 2 * expert)
    assert (deepseek.total_params, deepseek.active("with_input")) == theirs
    gqa = 64 * (2 * 6144 * 48 * 128 + 2 * 6144 * 8 * 128)
    theirs = _counted(grok, gqa, 0, 3 * 6144 * 32768)
    assert (grok.total_params, grok.active("with_input")) == theirs


def test_kimi_k3_by_the_tensors_of_its_published_layers():
    """Names as in Megatron-Bridge's kimi_k3_layers.py and kimi_k3_bridge.py."""
    k3, d, inner = MODELS["kimi-k3"], 7168, 96 * 128
    delta = sum((
        3 * d * inner,  # q_proj, k_proj, v_proj
        3 * inner * 4,  # q_conv1d, k_conv1d, v_conv1d
        d * 128 + 128 * inner,  # f_a_proj, f_b_proj
        d * 96,  # b_proj
        d * inner,  # g_proj
        96 + inner,  # A_log without its padding, dt_bias
        128,  # o_norm
        inner * d,  # o_proj
    ))  # fmt: skip
    latent = sum((
        d * 1536 + 1536 + 1536 * 96 * 192,  # q_a_proj, its norm, q_b_proj
        d * 576 + 512 + 512 * 96 * 256,  # kv_a_proj_with_mqa, its norm, kv_b_proj
        d * inner,  # g_proj
        inner * d,  # o_proj
    ))  # fmt: skip
    residual = 93 * 4 * d + 2 * d  # two norms and two projections a layer; those of the output
    shared = 3 * d * 2 * 3072
    routed = 3 * 3584 * 3072
    around = 2 * d * 3584 + 3584 + 896 + shared  # there and back, norm, biases of the choice
    theirs = _counted(k3, 69 * delta + 24 * latent, 3 * d * 33792, routed, residual, around)
    assert (k3.total_params, k3.active("with_input")) == theirs


def test_a_small_model_by_hand():
    config = ModelConfig(
        name="small", model_type="mixtral", layers=3, dense_layers=1, d_model=4, d_ff_dense=10,
        d_ff_expert=5, experts=6, shared_experts=1, d_ff_shared=7, top_k=2, heads=2, kv_heads=1,
        head_dim=3, vocab=11,
    )  # fmt: skip
    attention = 2 * 4 * 6 + 2 * 4 * 3
    body = 3 * attention + 3 * 4 * 10 + 2 * (3 * 4 * 7) + 2 * 4 * 6 + 3 * 2 * 4 + 4
    assert config.total_params == body + 2 * 6 * 3 * 4 * 5 + 2 * 44
    assert config.active("neither") == body + 2 * 2 * 3 * 4 * 5
    assert config.active("head_only") == config.active("neither") + 44
    assert config.active("with_input") == config.active("head_only") + 44
    tied = replace(config, tied=True)
    assert tied.active("with_input") == tied.active("head_only") == config.active("head_only")
    assert tied.total_params == config.total_params - 44


@given(
    name=st.sampled_from(sorted(MODELS)),
    layers=st.integers(0, 9),
    experts=st.integers(0, 9),
    chosen=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_more_of_anything_is_never_less(name, layers, experts, chosen):
    small = MODELS[name]
    if not small.experts:
        experts = chosen = 0
    large = replace(
        small,
        layers=small.layers + layers,
        dense_layers=small.dense_layers + (layers if not small.experts else 0),
        experts=small.experts + experts + chosen,
        top_k=small.top_k + chosen,
    )
    assert large.total_params >= small.total_params
    for convention in CONVENTIONS:
        assert small.active(convention) <= large.active(convention) <= large.total_params
    assert small.active("neither") < small.active("head_only") <= small.active("with_input")
    if experts and not layers and not chosen:  # further experts only widen the gate of a token
        grown = large.active("neither") - small.active("neither")
        assert grown <= small.moe_layers * experts * (small.d_model + 2)


def test_multi_token_prediction_is_in_no_total():
    v3 = MODELS["deepseek-v3"]
    assert replace(v3, mtp_layers=0).total_params == v3.total_params
    assert replace(v3, mtp_layers=2).mtp_params == 2 * v3.mtp_params
    assert MODELS["kimi-k2"].mtp_params == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("layers", 0), ("top_k", 300), ("vocab", 0), ("attention", "linear"), ("model_type", "rnn"),
     ("kv_lora", 0), ("dense_layers", 62), ("published_total", -1.0), ("active_convention", "all")],
)  # fmt: skip
def test_a_wrong_field_is_named(field, value):
    with pytest.raises(ValueError, match=field):
        replace(MODELS["deepseek-v3"], **{field: value})


def test_an_unknown_convention_is_named():
    with pytest.raises(ValueError, match="head_only"):
        MODELS["deepseek-v3"].active("all")
