"""The page Start without a browser, and its numbers computed again."""

from __future__ import annotations

import numpy as np
import pytest

from moe.app.shared.first_model import (
    DEFAULT_SENTENCE,
    ready_model,
    sentence_windows,
)
from moe.app.start.story import FULL, TENTH, explain, route
from tests.app.visit import open_page, words


def test_start_tells_its_story_without_a_click_and_the_slider_mends_it() -> None:
    page = open_page("start")
    assert not page.exception and not page.error
    routing = route(ready_model(), DEFAULT_SENTENCE)
    load_E = np.bincount(routing.expert_NK.reshape(-1), minlength=8)  # counted another way
    top_two = np.sort(load_E)[-2:].sum() / load_E.sum()
    assert top_two > 0.5 and (load_E == 0).any()
    assert f"do {top_two:.0%} of the work" in words(page)
    page.slider(key="balance").set_value(FULL).run()
    assert "none is idle" in words(page) and not page.exception


def test_each_step_of_the_balancing_slider_spreads_the_work() -> None:
    model = ready_model()
    shares, held_back = [], []
    for percent in range(0, FULL + 1, TENTH):
        routing = route(model, DEFAULT_SENTENCE, percent)
        chosen = routing.expert_NK.reshape(-1)
        load_E = np.bincount(chosen, minlength=8)  # counted another way
        shares.append(np.sort(load_E)[-2:].sum())
        held_back.append(model.bias_E[chosen].sum(dtype=float))
    assert all(np.diff(shares) < 0) and shares[-1] < 0.5 * shares[0]
    assert all(np.diff(held_back) >= -1e-6)


@pytest.mark.parametrize("sentence", ["Hello world", "aaaa", "日本語", "import numpy as np"])
def test_more_bonus_never_means_more_work_for_those_it_holds_back(sentence: str) -> None:
    model = ready_model()
    weighted = [
        model.bias_E[route(model, sentence, percent).expert_NK].sum(dtype=float)
        for percent in range(FULL + 1)
    ]
    assert all(np.diff(weighted) >= -1e-6)


def test_start_numbers_are_the_layers_own() -> None:
    model = ready_model()
    story = explain(model, DEFAULT_SENTENCE, 10)
    _, window_NC = sentence_windows(model.trainer, DEFAULT_SENTENCE)
    x_ND = model.trainer.embed(window_NC[10:11])
    y_ND, ctx = model.trainer.layer.forward(x_ND)
    assert np.allclose(story.combined_D, y_ND[0])
    by_hand_D = (story.weight_K[:, None] * story.output_KD).sum(axis=0)
    assert np.allclose(by_hand_D, y_ND[0], atol=1e-6)
    exp_E = np.exp(story.logits_E - story.logits_E.max())
    assert np.allclose(story.scores_E, exp_E / exp_E.sum(), atol=1e-6)
    assert story.expert_K.tolist() == np.argsort(-story.logits_E)[:2].tolist()
    d, f, e = 64, 64, 8
    assert story.executed_flops == 2 * 6 * d * f + 2 * d * e == ctx.executed_flops
    assert story.all_flops == e * 6 * d * f + 2 * d * e


@pytest.mark.parametrize("query", [{"balance": "9999"}, {"character": "x"}, {"balance": "-1"}])
def test_a_bad_link_falls_back_to_what_is_allowed(query: dict[str, str]) -> None:
    page = open_page("start", **query)
    assert not page.exception
    assert page.slider(key="balance").value == 0


def test_a_link_carries_the_controls() -> None:
    page = open_page("start", balance="30", text="Hello")
    assert page.slider(key="balance").value == 30
    assert page.text_input(key="text").value == "Hello"
