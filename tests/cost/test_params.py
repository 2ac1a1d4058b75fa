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


def test_every_type_that_is_counted_exactly_is_compared():
    """What `make parity` and the test below compare; a row says in `uncounted` what it lacks."""
    without_a_file = {"deepseek"}  # never in the library
    exactly = {name for name, family in COUNTABLE.items() if not family.uncounted}
    assert set(COUNTS) == exactly - without_a_file


@pytest.mark.parametrize("model_type", COUNTS)
def test_every_parameter_is_counted(model_type):
    """counts.json is made by count_with_transformers.py beside this file."""
    model = model_from_config(COUNTS[model_type]["config"])
    assert model.total_params == COUNTS[model_type]["total"]
    assert model.active("with_input") == COUNTS[model_type]["active"]


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
