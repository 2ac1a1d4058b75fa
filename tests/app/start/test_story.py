"""Where a sentence's characters go: every number and word worked out another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moe.app.shared.first_model import (
    DEFAULT_SENTENCE,
    ready_model,
    sentence_windows,
    settle_bias,
)
from moe.app.start.story import FULL, SentenceRouting, route, routes
from moe.data import token_text


def spread(load: list[int]) -> SentenceRouting:
    """A sentence of which only the loads matter."""
    share_E = np.array(load) / sum(load)
    top = sorted(share_E.tolist())
    return SentenceRouting(
        tokens=[], expert_NK=np.zeros((0, 2)), weight_NK=np.zeros((0, 2)), load_E=np.array(load),
        share_E=share_E, hottest_share=top[-1],
        fair_share=1 / len(load), idle=load.count(0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("load", "said"),
    [
        ([6, 2, 1, 1], "The busiest of 4 experts does 60% of the work and none is idle. Fair would "
         "be 25%."),
        ([6, 3, 1, 0], "does 60% of the work and 1 is idle. Fair would be 25%"),
        ([0, 5, 0, 5, 0], "of 5 experts does 50% of the work and 3 are idle. Fair would be 20%"),
    ],
)  # fmt: skip
def test_a_sentence_is_told_in_words(load, said) -> None:
    assert said in spread(load).words()


@pytest.mark.parametrize("percent", [0, 50, FULL])
def test_a_sentence_is_routed_by_score_and_bonus(percent: int) -> None:
    model = ready_model()
    trainer = model.trainer
    routing = route(model, "Hello world", percent)
    assert routing.tokens == [token_text(byte) for byte in b"Hello world"]
    context = trainer.settings.context
    padded = b"\n" * context + b"Hello world"
    window_NC = np.array([list(padded[i + 1 : i + 1 + context]) for i in range(11)], np.uint8)
    assert (sentence_windows(trainer, "Hello world")[1] == window_NC).all()
    logits_NE = trainer.embed(window_NC) @ trainer.layer.params["gate_DE"]
    exp_NE = np.exp(logits_NE - logits_NE.max(axis=1, keepdims=True))
    score_NE = exp_NE / exp_NE.sum(axis=1, keepdims=True)
    expert_NK = np.argsort(-(score_NE + model.bias_E * percent / 100), axis=1)[:, :2]
    assert routing.expert_NK.tolist() == expert_NK.tolist()
    chosen_NK = np.take_along_axis(score_NE, expert_NK, axis=1)
    assert np.allclose(routing.weight_NK, chosen_NK / chosen_NK.sum(axis=1, keepdims=True))
    load_E = [int((expert_NK == e).sum()) for e in range(8)]
    assert routing.load_E.tolist() == load_E and routing.fair_share == 1 / 8
    assert routing.share_E == pytest.approx([n / 22 for n in load_E])
    assert routing.hottest_share == pytest.approx(max(load_E) / 22)
    assert routing.idle == load_E.count(0)


def test_all_positions_of_the_slider_are_those_of_each() -> None:
    model = ready_model()
    together = routes(model, DEFAULT_SENTENCE)
    assert len(together) == FULL + 1
    for percent in (0, 1, 37, 99, FULL):
        alone = route(model, DEFAULT_SENTENCE, percent)
        assert together[percent].expert_NK.tolist() == alone.expert_NK.tolist()
        assert together[percent].words() == alone.words()


def test_the_busiest_has_ever_less_the_further_the_slider() -> None:
    shares = [one.hottest_share for one in routes(ready_model(), DEFAULT_SENTENCE)]
    one_choice = 1 / (2 * len(DEFAULT_SENTENCE))
    rises = np.diff(shares)
    # Rounding, which differs between processors, may send one character elsewhere.
    assert rises.max() < 1.5 * one_choice and (rises > 0).sum() <= 2
    assert shares[-1] < 0.5 * shares[0]


def test_the_bonus_does_not_count_unless_asked_for_and_is_the_same_every_time() -> None:
    model = ready_model()
    anew = replace(model, bias_E=settle_bias(model.trainer))
    routing = route(anew, "Hello", 30)
    assert routing.expert_NK.tolist() == route(model, "Hello", 30).expert_NK.tolist()
    plain = route(replace(model, bias_E=np.zeros(8)), "Hello", FULL)
    assert plain.expert_NK.tolist() == route(model, "Hello").expert_NK.tolist()


@pytest.mark.parametrize("percent", [101, -1])
def test_percents_beyond_the_ends_are_refused(percent: int) -> None:
    with pytest.raises(ValueError, match=f"percent: got {percent}"):
        route(ready_model(), "Hello", percent)
