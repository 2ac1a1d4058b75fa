"""Where a language model sends its tokens: figures are those of its own traces."""

from __future__ import annotations

import numpy as np
import pytest

from moe.lm.settings import LMTrainSettings
from moe.lm.tracing import held_out_documents, record_model
from moe.lm.training import LMTrainer
from moe.studies.lm_tokens import BYTES, LMTokensFigures, LMTokensSettings, lm_tokens, one_layer
from moe.traces import Trace
from moe.traces.myths import topic_specialists

SMALL = dict(d_model=16, d_expert=8, n_experts=4, n_layers=3, batch=4, context=16, steps=10)


@pytest.fixture(scope="module")
def figures() -> LMTokensFigures:
    return lm_tokens(LMTokensSettings(**SMALL))


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    """After one step of ten, and at the end."""
    trainer = LMTrainer(LMTrainSettings(**SMALL))
    documents = held_out_documents(trainer.windows, BYTES)
    found = []
    for record in trainer.run():
        if record.step + 1 in (1, SMALL["steps"]):
            found.append(record_model(trainer.model, documents))
    return found


def test_saturation_counts_a_tokens_experts(figures: LMTokensFigures, traces: list[Trace]) -> None:
    early, end = traces
    for name, at in (("first", 0), ("last", 2)):
        kept = [
            len(set(before) & set(after)) / 2
            for before, after in zip(early.expert_LNK[at], end.expert_LNK[at], strict=True)
        ]
        assert getattr(figures, f"tenth_{name}") == pytest.approx(np.mean(kept))
    assert figures.chance == 2 / 4


def test_shares_are_those_of_one_layers_trace(
    figures: LMTokensFigures, traces: list[Trace]
) -> None:
    for name, at in (("first", 0), ("last", 2)):
        layer = one_layer(traces[-1], at)
        assert layer.layers == (at,)
        assert np.array_equal(layer.routing(0).expert_A, traces[-1].routing(at).expert_A)
        said = dict(topic_specialists(layer).figures)
        assert getattr(figures, f"topic_{name}") == said["domain_above_chance"]
        assert getattr(figures, f"token_{name}") == said["token_above_chance"]
        assert getattr(figures, f"beyond_p_{name}") == said["domain_beyond_tokens_p_value"]
    assert 0 < figures.token_first <= 1


def test_a_dense_model_has_no_experts_to_look_at() -> None:
    with pytest.raises(ValueError, match="n_experts: got a dense model, allowed is one with exp"):
        LMTokensSettings(n_experts=0)
    with pytest.raises(ValueError, match="n_experts: got a dense model, allowed is one with exp"):
        LMTokensSettings(dense="active")
