"""The model of the first pages, its bonus worked out another way, and its sentences."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe.app.shared.first_model import (
    DEFAULT_SENTENCE,
    MAX_SENTENCE,
    FirstModel,
    ready_model,
    sentence_windows,
    shown_sentence,
)


def test_the_bonus_is_sixty_steps_of_its_sign_on_english() -> None:
    model = ready_model()
    trainer = model.trainer
    corpus = trainer.task.corpus
    share = corpus.domains[0].data.size / corpus.n_bytes
    inputs, _, domain_N = trainer.task.held_out(
        np.random.default_rng(0), int(1.5 * 2048 / share), with_domain=True
    )
    x_ND = trainer.embed(inputs[domain_N == 0][:2048])
    logits_NE = (x_ND @ trainer.layer.params["gate_DE"]).astype(float)
    score_NE = np.exp(logits_NE) / np.exp(logits_NE).sum(axis=1, keepdims=True)
    bias_E = np.zeros(8)
    for step in range(60):
        chosen_NK = np.argsort(-(score_NE + bias_E), axis=1)[:, :2]
        load_E = np.bincount(chosen_NK.ravel(), minlength=8)
        bias_E += 0.03 / 2 ** (step / 10) * np.sign(load_E.mean() - load_E)
    assert len(x_ND) == 2048
    assert model.bias_E == pytest.approx(bias_E, abs=2e-3)


def test_the_model_says_where_it_comes_from() -> None:
    model = ready_model()
    settings = model.trainer.settings
    assert (settings.n_experts, settings.k, settings.steps, settings.batch, settings.seed) == (
        8, 2, 60, 512, 1
    )  # fmt: skip
    assert settings == moe.TrainSettings(n_experts=8, k=2, steps=60, batch=512, seed=1)
    megabytes = sum(domain.data.size for domain in model.trainer.task.corpus.domains) / 1e6
    told = FirstModel(model.trainer, 1.25, model.bias_E).describe()
    assert f"60 steps in 1.2 s on {megabytes:.1f} MB of text" in told
    assert f"It reads {settings.context} characters" in told
    assert 0 < model.seconds < 600 and ready_model() is model


def test_a_sentence_may_have_four_hundred_bytes() -> None:
    trainer = ready_model().trainer
    longest = "a" * MAX_SENTENCE
    assert MAX_SENTENCE == 400 and shown_sentence(longest) == (longest, "")
    assert shown_sentence("a" * 401)[0] == longest
    assert "first 400 of its 401 characters" in shown_sentence("a" * 401)[1]
    assert len(sentence_windows(trainer, longest)[0]) == 400
    for text in ("", longest + "a", "語" * 134):
        with pytest.raises(ValueError, match=r"sentence: got \d+ bytes, allowed is 1..400"):
            sentence_windows(trainer, text)
    assert shown_sentence("a\udc80")[0] == "a\udc80"  # what cannot be encoded becomes a mark
    assert sentence_windows(trainer, "a\udc80")[0] == ["a", "?"]
    assert DEFAULT_SENTENCE.startswith("The quick brown fox") and len(DEFAULT_SENTENCE) < 400


def test_a_sentence_that_cannot_be_shown_is_replaced_in_a_visitors_words() -> None:
    assert shown_sentence("Hello") == ("Hello", "")
    shown, said = shown_sentence("")
    assert shown == DEFAULT_SENTENCE and said.startswith("Type at least one letter.")
    shown, said = shown_sentence("語" * 150)
    assert shown == "語" * 133 and "first 133 of its 150 characters" in said
