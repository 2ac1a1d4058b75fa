"""The sayings' answers on traces made so that the answer is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from moe import metrics
from moe.lab import myths
from moe.lab.myths import STRETCH, check_myths, same_experts_stay_hot, stretches, topic_specialists
from moe.lab.samples import SAMPLES
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


@pytest.mark.parametrize(
    ("lean", "verdict", "least", "most"),
    [(0.2, "hardly", 0, 0), (0.7, "a little", 0.01, 0.02), (1.5, "a little", 0.05, 0.09),
     (4, "yes", 0.1, 0.3)],
)  # fmt: skip
def test_the_word_goes_by_the_share_that_topics_explain(
    lean: float, verdict: str, least: float, most: float, noise: tuple
) -> None:
    logits_NE, ids_N = noise
    logits_NE[np.arange(N), np.arange(N) // 1024 * 2] += lean
    check = topic_specialists(made(logits_NE, ids_N))
    share = round(dict(check.figures)["domain_above_chance"], 2)
    assert check.verdict == verdict and least <= share <= most and check.p_value < 0.05
    assert check.answer.startswith(f"{verdict.capitalize()}: topics explain {share:.0%} of")


def test_what_topics_tell_is_their_share_of_all_there_is_to_know(noise: tuple) -> None:
    trace = made(*noise)
    check, routing = topic_specialists(trace), trace.routing(0)
    told = metrics.label_information(routing, trace.domain_N)
    assert check.measured == pytest.approx(told / metrics.load_entropy(routing.load))
    label_N, found = np.random.default_rng(7), []
    for _ in range(300):
        order = label_N.permutation(N // STRETCH)
        found.append(
            metrics.label_information(routing, trace.domain_N[order.repeat(STRETCH) * STRETCH])
        )
    mean = np.mean(found) / metrics.load_entropy(routing.load)
    assert check.chance == pytest.approx(mean, rel=0.1)


@pytest.mark.parametrize("repeated", [0, 0.4, 0.6])
def test_tokens_that_do_not_repeat_cannot_explain(repeated: float, noise: tuple) -> None:
    logits_NE, _ = noise
    logits_NE[np.arange(N), np.arange(N) // 1024 * 2] += 4
    ids_N = np.arange(N)
    ids_N[: int(repeated * N)] //= 2
    for trace in (made(logits_NE, ids_N), replace(made(logits_NE, ids_N), token_ids_N=None)):
        check, told = topic_specialists(trace), trace.token_ids_N is not None and repeated > 0.5
        assert ("token_above_chance" in dict(check.figures)) == told
        assert ("domain_beyond_tokens" in dict(check.figures)) == told
        assert ("of the tokens themselves it cannot tell" in check.answer) == (not told)
        why = "no token ids" if trace.token_ids_N is None else "too few tokens occur twice"
        assert (why in check.answer) == (not told)
        assert check.verdict == "yes" and "domain_above_chance" in dict(check.figures)


@pytest.mark.parametrize("context", [None, 1, 6, 63, 64, 4096])
def test_beside_the_answer_stands_how_much_the_model_sees(
    context: int | None, noise: tuple
) -> None:
    check = topic_specialists(replace(made(*noise), context=context))
    short = context is not None and context < STRETCH
    many = "1 token" if context == 1 else f"{context} tokens"
    assert (f"sees {many} at a time" in check.note) == short
    assert ("This model" in check.note) == short
    for source in ("2401.04088", "2409.02060", "2412.19437"):
        assert source in check.note
    assert same_experts_stay_hot(made(*noise)).note == ""


def test_samples_say_how_much_their_model_sees() -> None:
    for sample in SAMPLES:
        assert sample.load().context == sample.settings.context == 6


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


def test_overlap_of_stretches_pair_by_pair(noise: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    logits_NE, ids_N = noise
    hot = [rng.choice(E, 2, replace=False, p=np.arange(1, 9) / 36) for _ in range(N // STRETCH)]
    for number, experts in enumerate(hot):
        logits_NE[number * STRETCH : (number + 1) * STRETCH, experts] += 50
    trace = made(logits_NE, ids_N)
    shared = [[len({*a} & {*b}) / 2 for b in hot] for a in hot]
    apart = [shared[a][b] for a in range(len(hot)) for b in range(len(hot)) if a != b]
    check = same_experts_stay_hot(trace)
    assert check.measured == pytest.approx(np.mean(apart))
    drawn = []
    for _ in range(400):
        picked = rng.integers(0, len(hot), len(hot))
        drawn.append(np.mean([shared[a][b] for a in picked for b in picked if a != b]))
    assert (check.low, check.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.015)
    # Of too many stretches some are taken, evenly apart.
    monkeypatch.setattr(myths, "MAX_HOT_CELLS", 16 * myths.N_DRAWS)
    few = same_experts_stay_hot(trace)
    places = np.linspace(0, len(hot) - 1, 16).astype(int)
    some = [shared[a][b] for a in places for b in places if a != b]
    assert few.measured == pytest.approx(np.mean(some))
    assert dict(few.figures)["stretches"] == 16


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
