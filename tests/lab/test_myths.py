"""The sayings' answers on traces made so that the answer is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from moe.lab.myths import STRETCH, check_myths, same_experts_stay_hot, stretches, topic_specialists
from moe.traces import Trace, make_trace

N, E = 4096, 8


def made(logits_NE: np.ndarray, ids_N: np.ndarray, labelled: bool = True) -> Trace:
    order = np.argsort(-logits_NE, axis=1)[None, :, :2]
    label_N = np.arange(len(ids_N)) // 1024 if labelled else None
    return make_trace(
        order, np.ones(order.shape), E, ids_N,
        sequence_N=np.arange(len(ids_N)) // 512,
        domain_N=label_N, domains=("a", "b", "c", "d") if labelled else (),
    )  # fmt: skip


@pytest.fixture
def noise(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((N, E)), rng.integers(0, 20, N)


def test_random_routing_is_no_specialist_and_none_stays_hot(noise: tuple) -> None:
    trace = made(*noise)
    topics, hot = check_myths(trace)
    assert topics.verdict == "no" and topics.p_value > 0.05
    assert abs(topics.measured - topics.chance) < 0.002
    assert topics.low <= topics.measured <= topics.high
    assert hot.verdict == "no"
    assert hot.measured == pytest.approx(0.25, abs=0.03) and hot.chance == 0.25


def test_experts_of_topics_are_found(noise: tuple) -> None:
    logits_NE, ids_N = noise
    logits_NE[np.arange(N), np.arange(N) // 1024 * 2] += 4
    check = topic_specialists(made(logits_NE, ids_N))
    figures = dict(check.figures)
    assert check.verdict == "yes" and check.p_value == pytest.approx(1 / 200)
    assert figures["domain_above_chance"] > 0.1 > 0.02 > figures["token_above_chance"]
    assert figures["domain_beyond_tokens"] > 0.1
    assert figures["most_specific_expert_times_uniform"] > 3


def test_experts_of_tokens_are_not_taken_for_experts_of_topics(noise: tuple) -> None:
    logits_NE, _ = noise
    rng = np.random.default_rng(5)
    # Topics use different tokens, and experts look at tokens alone.
    ids_N = np.where(rng.random(N) < 0.3, 20 + np.arange(N) // 1024, rng.integers(0, 20, N))
    logits_NE[np.arange(N), ids_N % E] += 6
    check = topic_specialists(made(logits_NE, ids_N))
    figures = dict(check.figures)
    assert check.verdict == "a little" and "nothing more" in check.answer
    assert figures["token_above_chance"] > figures["domain_above_chance"] > 0.01
    assert figures["domain_beyond_tokens_p_value"] > 0.01
    assert figures["domain_beyond_tokens"] < figures["domain_above_chance"] / 5


def test_experts_that_drift_are_no_specialists(rng: np.random.Generator) -> None:
    """Neighbours choose alike, whatever the topic: shuffled single tokens would be fooled."""
    drift_SE = rng.standard_normal((N // STRETCH, E)) * 3
    logits_NE = np.repeat(drift_SE, STRETCH, axis=0) + rng.standard_normal((N, E))
    check = topic_specialists(made(logits_NE, rng.integers(0, 20, N)))
    assert check.verdict == "no"
    assert check.chance > 0.02


def test_fixed_popularity_stays_hot(noise: tuple) -> None:
    logits_NE, ids_N = noise
    check = same_experts_stay_hot(made(logits_NE + np.arange(E) * 0.8, ids_N))
    assert check.verdict == "yes"
    assert check.measured == pytest.approx(dict(check.figures)["same_load_everywhere"], abs=0.05)
    assert check.low <= check.measured <= check.high


def test_popularity_that_changes_with_the_text_is_partly_or_not_hot(noise: tuple) -> None:
    logits_NE, ids_N = noise
    logits_NE = logits_NE + np.arange(E) * 0.5
    logits_NE[np.arange(N), np.arange(N) // 1024 * 2] += 4
    check = same_experts_stay_hot(made(logits_NE, ids_N))
    assert check.verdict == "partly"
    assert 0.25 < check.low < check.measured < check.high
    assert check.high < dict(check.figures)["same_load_everywhere"]


def test_hot_overlap_in_plain_loops(noise: tuple) -> None:
    logits_NE, ids_N = noise
    trace = made(logits_NE + np.arange(E) * 10, ids_N)  # no ties: two experts have all
    check = same_experts_stay_hot(trace)
    assert check.measured == 1 and check.per_layer == (1.0,)


def test_stretches_keep_to_sequences_and_domains() -> None:
    experts = np.zeros((1, 300, 1), int)
    domain_N = np.repeat([0, 1, 1], [70, 30, 200])
    sequence_N = np.repeat([0, 1], [100, 200])
    trace = make_trace(
        experts, np.ones(experts.shape), 2, np.zeros(300, int),
        sequence_N=sequence_N, domain_N=domain_N, domains=("a", "b"),
    )  # fmt: skip
    stretch_N = stretches(trace, 64)
    assert np.bincount(stretch_N).tolist() == [70, 30, 64, 64, 72]
    for number in range(5):
        own = stretch_N == number
        assert len({(s, d) for s, d in zip(sequence_N[own], domain_N[own])}) == 1


def test_too_little_says_so() -> None:
    short = make_trace(np.zeros((1, 5, 1), int), np.ones((1, 5, 1)), 4, np.zeros(5, int))
    empty = make_trace(np.zeros((1, 0, 1), int), np.ones((1, 0, 1)), 4, np.zeros(0, int))
    for trace in (short, empty):
        for check in check_myths(trace):
            assert check.verdict == "cannot tell" and check.measured is None
            json.dumps(check.as_json(), allow_nan=False)


def test_the_same_seed_gives_the_same_answer(noise: tuple) -> None:
    trace = made(*noise)
    assert topic_specialists(trace, seed=1) == topic_specialists(trace, seed=1)
    assert same_experts_stay_hot(trace, seed=1) == same_experts_stay_hot(trace, seed=1)
