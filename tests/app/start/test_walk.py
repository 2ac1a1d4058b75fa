"""The way of a sentence through the layer, computed again with every expert and plain numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moe.app.shared.first_model import DEFAULT_SENTENCE, ready_model, sentence_windows
from moe.app.start.story import FULL, route
from moe.app.start.walk import GUESSES, SentenceWalk, walk

SENTENCE = "Hello wörld, every letter."


def softmax(x: np.ndarray) -> np.ndarray:
    exp = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=-1, keepdims=True))


def all_experts(x_ND: np.ndarray) -> np.ndarray:
    """Answer of every expert to every token, (N, E, D)."""
    params = ready_model().trainer.layer.params
    hidden = np.einsum("nd,edf->nef", x_ND, params["w_gate_up_ED2F"].astype(float))
    gate, up = np.split(hidden, 2, axis=-1)
    gated = gate / (1 + np.exp(-gate)) * up
    return np.einsum("nef,efd->ned", gated, params["w_down_EFD"].astype(float))


@pytest.mark.parametrize("percent", [0, 40, FULL])
@pytest.mark.parametrize("case", range(9))
def test_each_step_follows_from_the_one_before(percent: int, case: int) -> None:
    model = ready_model()
    trainer = model.trainer
    walked = walk(model, SENTENCE, percent)
    x_ND = trainer.embed(sentence_windows(trainer, SENTENCE)[1]).astype(float)
    n = np.arange(len(x_ND))[:, None]
    assert np.allclose(walked.logits_NE, x_ND @ trainer.layer.params["gate_DE"], atol=1e-5)
    score_NE = softmax(walked.logits_NE.astype(float))
    assert np.allclose(walked.scores_NE, score_NE, atol=1e-6)
    assert np.allclose(walked.bias_E, model.bias_E * percent / 100)
    sum_NE = score_NE + walked.bias_E
    if case:
        sum_NE[:, case - 1] = -np.inf  # never chosen
    expert_NK = np.argsort(-sum_NE, axis=1)[:, :2]
    assert walked.expert_ONK[case].tolist() == expert_NK.tolist()
    weight_NK = score_NE[n, expert_NK] / score_NE[n, expert_NK].sum(axis=1, keepdims=True)
    assert np.allclose(walked.weight_ONK[case], weight_NK, atol=1e-6)
    answer_NKD = weight_NK[..., None] * all_experts(x_ND)[n, expert_NK]
    length_NK = np.linalg.norm(answer_NKD, axis=-1)
    part_NK = length_NK / length_NK.sum(axis=1, keepdims=True)
    assert np.allclose(walked.part_ONK[case], part_NK, atol=1e-5)
    p_NV = softmax((x_ND + answer_NKD.sum(axis=1)) @ trainer.params["out_DV"])
    best_NG = np.argsort(-p_NV, axis=1)[:, :GUESSES]
    assert np.allclose(walked.probability_ONG[case], p_NV[n, best_NG], atol=1e-5)
    assert (walked.guess_ONG[case] == best_NG).mean() > 0.99  # but for equals
    load_NE = np.array([np.bincount(experts_K, minlength=8) for experts_K in expert_NK])
    assert walked.load_OE[case].tolist() == load_NE.sum(axis=0).tolist()
    assert walked.so_far_ONE[case].tolist() == np.cumsum(load_NE, axis=0).tolist()


def test_a_walk_is_the_layers_own_and_begins_like_the_slider() -> None:
    model = ready_model()
    for percent in (0, FULL):
        walked, routing = walk(model, SENTENCE, percent), route(model, SENTENCE, percent)
        assert walked.tokens == routing.tokens
        assert walked.expert_ONK[0].tolist() == routing.expert_NK.tolist()
        assert walked.weight_ONK[0].tolist() == routing.weight_NK.tolist()
        assert walked.load_OE[0].tolist() == routing.load_E.tolist()
    walked = walk(model, SENTENCE)
    x_ND = model.trainer.embed(sentence_windows(model.trainer, SENTENCE)[1])
    _, ctx = model.trainer.layer.forward(x_ND)
    assert walked.executed_flops * len(x_ND) == ctx.executed_flops
    assert walked.logits_NE.tolist() == ctx.routing.logits_NE.tolist()
    d, f, e = 64, 64, 8
    assert walked.executed_flops == 2 * 6 * d * f + 2 * d * e
    assert walked.all_flops == e * 6 * d * f + 2 * d * e
    assert walked.next_N.tolist() == [*SENTENCE.encode()[1:], -1]


def test_only_characters_of_the_switched_off_expert_change() -> None:
    walked = walk(ready_model(), DEFAULT_SENTENCE)
    for e in range(8):
        had_N = (walked.expert_ONK[0] == e).any(axis=1)
        same_N = (walked.expert_ONK[1 + e] == walked.expert_ONK[0]).all(axis=1)
        assert (had_N == ~same_N).all() and not (walked.expert_ONK[1 + e] == e).any()
        p_OG = walked.probability_ONG[[0, 1 + e]][:, ~had_N]
        assert np.array_equal(p_OG[0], p_OG[1])


def small(right: str = "b", **changed: object) -> SentenceWalk:
    """Three characters, three experts, one for each character; the last expert switches off."""
    guess_ONG = np.full((4, 3, 1), ord("x"))
    guess_ONG[:3, 0] = ord(right)
    return replace(
        SentenceWalk(
            tokens=list("abc"), logits_NE=np.zeros((3, 3)), scores_NE=np.zeros((3, 3)),
            bias_E=np.zeros(3), expert_ONK=np.zeros((4, 3, 1), int),
            weight_ONK=np.ones((4, 3, 1)), part_ONK=np.ones((4, 3, 1)),
            load_OE=np.array([[0, 1, 2], [0, 1, 2], [1, 0, 2], [1, 2, 0]]),
            so_far_ONE=np.zeros((4, 3, 3), int), guess_ONG=guess_ONG,
            probability_ONG=np.array([[[0.5], [0.9], [0.7]]] * 4),
            next_N=np.array([ord("b"), ord("c"), -1]), executed_flops=4_000, all_flops=10_000,
        ),
        **changed,
    )  # fmt: skip


def test_what_a_switched_off_expert_changes_is_told_in_words() -> None:
    assert [small().words(case) for case in range(4)] == [
        "The model guesses 1 of 2 next characters right.",
        "No character goes to A, so nothing changes without it.",
        "Without B, its character goes to others: A takes 1. The model guesses 1 of 2 next "
        "characters right; with B it was 1.",
        "Without C, its 2 characters go to others: A takes 1, B takes 1. The model guesses 0 of 2 "
        "next characters right; with C it was 1.",
    ]
    alone = small(tokens=["a"])  # nothing follows that could be guessed
    assert alone.words(0) == "" and alone.words(2) == (
        "Without B, its character goes to others: A takes 1."
    )
    assert small().cost_words() == (
        "1 of 3 experts run: 4,000 operations for each character instead of 10,000, 2.5 times "
        "fewer."
    )


def test_the_first_character_is_the_surest_right_guess_of_a_letter() -> None:
    assert small().start == 0  # right, though another guess is surer
    assert small("y").start == 1  # none is right
    space = small(" ", next_N=np.array([ord(" "), ord("x"), -1]))
    assert space.start == 1 and space.right_ON[0].tolist() == [True, True, False]
    only_space = small(" ", next_N=np.array([ord(" "), ord("c"), -1]))
    assert only_space.start == 0
    walked = walk(ready_model(), DEFAULT_SENTENCE)
    sure = {
        float(p): i
        for i, (p, byte) in enumerate(
            zip(walked.probability_ONG[0, :, 0], walked.guess_ONG[0, :, 0], strict=True)
        )
        if DEFAULT_SENTENCE[i + 1 : i + 2] == chr(byte) and chr(byte).isalpha()
    }
    assert walked.start == sure[max(sure)]


@pytest.mark.parametrize("sentence", ["a", "日本語", "🙂", "x" * 400])
def test_any_sentence_finds_its_way(sentence: str) -> None:
    walked = walk(ready_model(), sentence, 30)
    assert walked.expert_ONK.shape == (9, len(sentence.encode()), 2)
    assert 0 <= walked.start < len(walked.tokens)
    assert all(np.isfinite(array).all() for array in (walked.part_ONK, walked.probability_ONG))


def test_what_is_not_allowed_is_refused() -> None:
    with pytest.raises(ValueError, match="percent: got 101"):
        walk(ready_model(), "Hello", 101)
    with pytest.raises(ValueError, match="sentence: got 0 bytes"):
        walk(ready_model(), "")
