"""The first page's sentence and token: every number and word worked out another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moe.app.shared.first_model import (
    ready_model,
    sentence_windows,
    settle_bias,
)
from moe.app.start.story import FULL, TENTH, SentenceRouting, TokenStory, explain, route
from moe.data import token_text

STORY = TokenStory(
    token="q", context="the ", logits_E=np.array([1.0, -2.0, 0.5]),
    scores_E=np.array([0.5, 0.125, 0.375]), bias_E=np.array([-0.25, 0.0, 0.125]),
    selection_E=np.array([0.25, 0.125, 0.5]), expert_K=np.array([2, 0]),
    weight_K=np.array([0.75, 0.25]), output_KD=np.ones((2, 4)), combined_D=np.ones(4),
    norm_K=np.array([3.0, 1.0]), share_K=np.array([0.625, 0.375]), executed_flops=4_000,
    all_flops=10_000, guesses=[("u", 0.5)],
)  # fmt: skip


def spread(load: list[int]) -> SentenceRouting:
    """A sentence of which only the loads matter."""
    share_E = np.array(load) / sum(load)
    top = sorted(share_E.tolist())
    return SentenceRouting(
        tokens=[], expert_NK=np.zeros((0, 2)), weight_NK=np.zeros((0, 2)), load_E=np.array(load),
        share_E=share_E, hottest_share=top[-1], top2_share=top[-1] + top[-2],
        fair_share=1 / len(load), idle=load.count(0),
    )  # fmt: skip


def test_a_token_is_told_in_words_and_rows() -> None:
    assert STORY.cost_words() == (
        "2 of 3 experts ran: 4,000 operations for this character instead of 10,000, 2.5 times "
        "fewer."
    )
    ticked = "The highest win; a tick marks the score without the bonus."
    assert STORY.selection_words() == ticked  # although one bonus is zero
    assert replace(STORY, bias_E=np.zeros(3)).selection_words() == "The highest win."
    keys = [
        "Expert", "1 · Logit", "2 · Score", "3 · Balancing bonus", "3 · Score with bonus",
        "4 · Weight", "5 · Part of the answer",
    ]  # fmt: skip
    assert [list(row) for row in STORY.expert_rows()] == [keys] * 3
    assert [list(row.values()) for row in STORY.expert_rows()] == [
        ["0", "+1.000", "50.00%", "-25.00%", "25.00%", "25.00%", "37.50%"],
        ["1", "-2.000", "12.50%", "+0.00%", "12.50%", "not chosen", "did not run"],
        ["2", "+0.500", "37.50%", "+12.50%", "50.00%", "75.00%", "62.50%"],
    ]


@pytest.mark.parametrize(
    ("load", "said"),
    [
        ([6, 2, 1, 1], "The two busiest of 4 experts do 80% of the work and none is idle. Fair "
         "would be 50% for any two."),
        ([6, 3, 1, 0], "do 90% of the work and 1 is idle. Fair would be 50%"),
        ([0, 5, 0, 5, 0], "of 5 experts do 100% of the work and 3 are idle. Fair would be 40%"),
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
    assert routing.top2_share == pytest.approx(sum(sorted(load_E)[-2:]) / 22)
    assert routing.idle == load_E.count(0)


@pytest.mark.parametrize("position", [0, 3, 10])
def test_each_step_of_a_token_follows_from_the_one_before(position: int) -> None:
    model = ready_model()
    trainer = model.trainer
    story = explain(model, "Hello world", position, 40)
    routing = route(model, "Hello world", 40)
    tokens, window_NC = sentence_windows(trainer, "Hello world")
    assert story.token == tokens[position]
    context = trainer.settings.context  # the character itself is the last that the model reads
    assert story.context == "".join(tokens[:position][-(context - 1) :])
    x_D = trainer.embed(window_NC)[position]
    assert np.allclose(story.logits_E, x_D @ trainer.layer.params["gate_DE"], atol=1e-5)
    assert np.allclose(story.bias_E, 0.4 * model.bias_E)
    assert np.allclose(story.selection_E, story.scores_E + story.bias_E)
    assert story.expert_K.tolist() == routing.expert_NK[position].tolist()
    assert np.allclose(story.weight_K, routing.weight_NK[position])
    answer_D = sum(w * y_D for w, y_D in zip(story.weight_K, story.output_KD, strict=True))
    assert np.allclose(story.combined_D, answer_D, atol=1e-6)
    lengths = [
        w * np.sqrt((y_D**2).sum()) for w, y_D in zip(story.weight_K, story.output_KD, strict=True)
    ]
    assert story.norm_K == pytest.approx(lengths, rel=1e-5)
    assert story.share_K == pytest.approx([one / sum(lengths) for one in lengths], rel=1e-5)
    out_V = (x_D + story.combined_D) @ trainer.params["out_DV"]
    p_V = np.exp(out_V - out_V.max()) / np.exp(out_V - out_V.max()).sum()
    best = sorted(range(256), key=lambda v: -p_V[v])[:5]
    assert [token for token, _ in story.guesses] == [token_text(v) for v in best]
    assert [p for _, p in story.guesses] == pytest.approx([p_V[v] for v in best], rel=1e-4)


def test_the_bonus_does_not_count_unless_asked_for_and_is_the_same_every_time() -> None:
    model = ready_model()
    anew = replace(model, bias_E=settle_bias(model.trainer))
    routing = route(anew, "Hello", 30)
    assert routing.expert_NK.tolist() == route(model, "Hello", 30).expert_NK.tolist()
    plain = route(replace(model, bias_E=np.zeros(8)), "Hello", FULL)
    assert plain.expert_NK.tolist() == route(model, "Hello").expert_NK.tolist()
    assert explain(anew, "Hello", 2).bias_E.any() is np.False_
    story, kept = explain(anew, "Hello", 2, 30), explain(model, "Hello", 2, 30)
    assert story.selection_E.tolist() == kept.selection_E.tolist()
    assert explain(model, "Hello", 2).bias_E.tolist() == [0.0] * 8


@pytest.mark.parametrize(
    ("character", "position"), [(1, 0), (3, 2), (5, 4), (6, 4), (99, 4), (0, 0), (-3, 0)]
)
def test_a_character_counted_from_one_is_found(character: int, position: int) -> None:
    assert route(ready_model(), "Hello").position(character) == position


@pytest.mark.parametrize(
    ("position", "percent", "message"),
    [
        (5, 0, "position: got 5"),
        (-1, 0, "position: got -1"),
        (0, 101, "percent: got 101"),
        (0, -1, "percent: got -1"),
    ],
)
def test_positions_and_percents_beyond_the_ends_are_refused(position, percent, message) -> None:
    with pytest.raises(ValueError, match=message):
        explain(ready_model(), "Hello", position, percent)
    assert explain(ready_model(), "Hello", 4, FULL).token == "o" and TENTH == 10
