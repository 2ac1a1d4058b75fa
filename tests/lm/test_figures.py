"""Figures of a training: what is counted of a model, and what a sweep records."""

from __future__ import annotations

import pytest

from moe.lm.config import LMConfig
from moe.lm.figures import active_params, figures, flops_per_token
from moe.lm.model import LanguageModel
from moe.sweeps.experiments import EXPERIMENTS
from tests.lm.test_training import tiny

SIZES = dict(d_model=16, n_heads=2, n_layers=3, n_experts=8, k=2, d_expert=6, context=32)


def test_active_numbers_are_those_of_one_tokens_way() -> None:
    mixture = LanguageModel.init(LMConfig(**SIZES))
    dense = LanguageModel.init(LMConfig(**SIZES | dict(n_experts=0, d_dense=12)))
    gates = 3 * 16 * 8
    assert active_params(mixture) == active_params(dense) + gates
    assert active_params(dense) == dense.n_params - 255 * 16
    tied = LanguageModel.init(LMConfig(**SIZES | dict(tied=True)))
    assert active_params(tied) == active_params(mixture) - 16


def test_operations_are_six_for_each_number_and_attention_to_half_the_context() -> None:
    mixture = LanguageModel.init(LMConfig(**SIZES))
    # Forward, a query meets 16 keys on average: a product and a sum for each of 16 columns of keys
    # and of values; back is twice as much.
    attention = 3 * 16 * (2 * 16 + 2 * 16) * 3
    assert flops_per_token(mixture) == 6 * active_params(mixture) + attention


def test_a_sweeps_figures_are_those_of_its_run(tmp_path) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(b"what goes up must come down\n" * 200)
    settings = tiny(text=str(text), steps=3)
    found = figures(settings)
    assert found == EXPERIMENTS["lm"].measure(settings)
    assert 0 < found.bits_per_byte < 9 and found.worst_max_vio > 0
    assert figures(tiny(text=str(text), steps=3, dense="active")).worst_max_vio == 0
    assert EXPERIMENTS["lm"].data(settings) != EXPERIMENTS["lm"].data(tiny())
    with pytest.raises(ValueError, match="text: got"):
        EXPERIMENTS["lm"].data(tiny(text=str(tmp_path / "nothing")))
