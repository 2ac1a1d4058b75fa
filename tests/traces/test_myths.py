"""The sayings' answers on traces made so that the answer is known."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from moe import metrics
from moe.traces import Trace, make_trace, myths
from moe.traces.myths import (
    STRETCH,
    check_myths,
    same_experts_stay_hot,
    stretches,
    topic_specialists,
)
from moe.traces.samples import SAMPLES

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
    assert check.answer.startswith(f"{verdict.capitalize()}. The topic explains {share:.0%} of")


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
        assert ("what the token itself explains cannot be told" in check.answer) == (not told)
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


# The verdicts at their thresholds, and every figure in plain loops ------------------------------


def told(share: float, p_value: float, chance: float = 0.25) -> myths._Information:
    return myths._Information(chance + share, chance, chance - 0.01, chance + 0.02, p_value, (0.5,))


@pytest.mark.parametrize(
    ("share", "p_value", "verdict", "per_cent"),
    [
        (0.2, 0.005, "yes", "20%"), (0.1, 0.05, "yes", "10%"), (0.096, 0.01, "yes", "10%"),
        (0.094, 0.01, "a little", "9%"), (0.01, 0.01, "a little", "1%"),
        (0.006, 0.01, "a little", "1%"), (0.004, 0.01, "hardly", "0%"),
        (-0.2, 0.01, "hardly", "0%"), (0.5, 0.051, "no", "50%"), (-0.1, 1.0, "no", "0%"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("within", [0.05, 0.06])
def test_a_verdict_on_topics_goes_by_share_and_chance(
    share: float, p_value: float, verdict: str, per_cent: str, within: float,
    noise: tuple, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    domain, inside, token = told(share, p_value), told(0.03, within), told(0.17, 1.0)
    monkeypatch.setattr(myths, "_domain_information", lambda *_: domain)
    monkeypatch.setattr(myths, "_domain_information_within", lambda *_: inside)
    monkeypatch.setattr(myths, "_token_information", lambda *_: token)
    trace = made(*noise)
    check = topic_specialists(trace)
    assert check.name == "topic_specialists" and "topic specialists" in check.claim
    assert check.verdict == verdict and check.note.startswith(
        f"That shuffled topics explain as much: p = {p_value:.3f}. Models differ: "
    )
    found = (check.measured, check.chance, check.low, check.high, check.p_value, check.per_layer)
    assert found == (0.25 + share, 0.25, 0.24, 0.27, p_value, (0.5,))
    said = f"The topic explains {per_cent} of who gets a token"
    if verdict == "no":
        assert check.answer == (
            f"No. {said}, and shuffled topics as much; the token itself explains 17%."
        )
    else:
        rest = (
            " Of one and the same token, the topic explains nothing more." if within > 0.05 else ""
        )
        assert check.answer == (
            f"{verdict.capitalize()}. {said}; the token itself explains 17%.{rest}"
        )
    figures = dict(check.figures)
    strongest = 8 * max(
        (trace.expert_LNK[0][trace.domain_N == d] == e).mean() for d in range(4) for e in range(8)
    )
    assert figures.pop("most_specific_expert_times_uniform") == pytest.approx(strongest)
    assert figures == pytest.approx({
        "domain_above_chance": share, "token_above_chance": 0.17, "domain_beyond_tokens": 0.03,
        "domain_beyond_tokens_p_value": within,
    })  # fmt: skip
    monkeypatch.setattr(myths, "_token_information", lambda *_: told(-0.1, 1.0))
    assert "the token itself explains 0%" in topic_specialists(trace).answer


@pytest.mark.parametrize(
    ("measured", "low", "high", "same", "verdict", "begin"),
    [
        (0.3, 0.2, 0.4, 0.35, "no", "No. No expert is busy all the time"),
        (0.3, 0.2, 0.355, 0.36, "no", "No"),
        (0.5, 0.25, 0.6, 0.6, "cannot tell", "Too little text to tell"),
        (0.5, 0.25, 0.59, 0.6, "no", "No"),
        (0.5, 0.26, 0.6, 0.6, "yes", "Yes"),
        (0.5, 0.26, 0.59, 0.6, "partly", "Partly"),
        (0.5, 0.2, 0.8, 0.7, "cannot tell", "Too little text to tell"),
    ],
)
def test_a_verdict_on_hot_experts_goes_by_both_baselines(
    measured: float, low: float, high: float, same: float, verdict: str, begin: str,
    noise: tuple, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    drawn = np.linspace(low, high, 199)

    def overlap(trace: Trace, stretch_N: np.ndarray, n_hot: int, rng: object, times_RS: np.ndarray):
        assert n_hot == 2 and (times_RS[0] == 1).all() and times_RS.shape[1] == 64
        assert (times_RS.sum(axis=1) == 64).all()
        if len(times_RS) == 1:
            return np.array([[same]])
        return np.array([[measured, *drawn]])

    def ends(values: np.ndarray, shares: list[float]) -> np.ndarray:
        assert values == pytest.approx(drawn) and shares == [0.025, 0.975]
        return np.array([low, high])

    monkeypatch.setattr(myths, "_hot_overlap", overlap)
    monkeypatch.setattr(myths.np, "nanquantile", ends)
    check = same_experts_stay_hot(made(*noise))
    assert (check.low, check.high) == (low, high)
    shared = f"{begin}: two passages share {measured:.0%} of their busiest experts"
    rest = f"; chance alone gives 25%, and a popularity that never changes would give {same:.0%}."
    if "all the time" in begin:
        rest = ", and chance alone gives 25%."
    assert check.verdict == verdict and check.answer == shared + rest
    assert (check.name, check.claim) == ("same_experts_stay_hot", "The same experts stay hot.")
    assert (check.measured, check.chance, check.p_value) == (measured, 0.25, None)
    assert check.per_layer == (measured,)
    assert dict(check.figures) == pytest.approx({"same_load_everywhere": same, "stretches": 64})


def small(rng: np.random.Generator, n_layers: int = 2) -> Trace:
    """A trace of 24 stretches of 64 tokens, in which topics and tokens both tell something."""
    n, label_N, ids_N = 1536, np.arange(1536) // 384, rng.integers(0, 6, 1536)
    logits_LNE = rng.standard_normal((n_layers, n, 6))
    logits_LNE[:, np.arange(n), label_N] += 0.6
    logits_LNE[:, np.arange(n), ids_N] += 0.9
    order = np.argsort(-logits_LNE, axis=2)[:, :, :2]
    return make_trace(
        order, np.ones(order.shape), 6, ids_N, sequence_N=label_N, domain_N=label_N, domains="abcd"
    )


def explained(trace: Trace, label_N: np.ndarray) -> float:
    """Share of the choices that labels explain, mean over layers."""
    routings = [trace.routing(i) for i in range(trace.n_layers)]
    return float(np.mean([
        metrics.label_information(one, label_N) / metrics.load_entropy(one.load) for one in routings
    ]))  # fmt: skip


def test_every_figure_of_topics_by_shuffles_of_ones_own(rng: np.random.Generator) -> None:
    trace = small(rng)
    check, figures = topic_specialists(trace), dict(topic_specialists(trace).figures)
    label_N, ids_N, own = trace.domain_N, trace.token_ids_N, np.random.default_rng(99)
    assert check.measured == pytest.approx(explained(trace, label_N))
    per_layer = [
        metrics.label_information(trace.routing(i), label_N)
        / metrics.load_entropy(trace.routing(i).load)
        for i in range(2)
    ]
    assert check.per_layer == pytest.approx(per_layer)

    def stretched() -> np.ndarray:
        return np.repeat(own.permutation(np.arange(24) // 6), STRETCH)

    def within() -> np.ndarray:
        labels_N = label_N.copy()
        for one in range(6):
            labels_N[ids_N == one] = own.permutation(labels_N[ids_N == one])
        return labels_N

    by_stretch = [explained(trace, stretched()) for _ in range(200)]
    inside = [explained(trace, within()) for _ in range(60)]
    tokens = [explained(trace, own.permutation(ids_N)) for _ in range(60)]
    assert check.chance == pytest.approx(np.mean(by_stretch), rel=0.1)
    ends = np.quantile(by_stretch, [0.025, 0.975])
    assert (check.low, check.high) == pytest.approx(ends, rel=0.2)
    assert figures["domain_above_chance"] == pytest.approx(check.measured - check.chance)
    beyond = explained(trace, label_N) - np.mean(inside)
    assert figures["domain_beyond_tokens"] == pytest.approx(beyond, abs=2e-3)
    above = explained(trace, ids_N) - np.mean(tokens)
    assert figures["token_above_chance"] == pytest.approx(above, abs=2e-3)
    assert figures["domain_beyond_tokens_p_value"] == 1 / 200
    assert check.as_json()["figures"] == figures


def test_p_values_count_the_shuffles_that_reach_as_much(rng: np.random.Generator) -> None:
    trace = small(rng, n_layers=1)
    entropy = metrics.load_entropy(trace.routing(0).load)

    def at(*drawn: float) -> myths._Information:
        def told(n: int) -> np.ndarray:
            return np.array([drawn if n else [0.4]])

        return myths._compared(trace, told, len(drawn))

    found = at(0.1, 0.2, 0.4, 0.5)
    assert found.p_value == pytest.approx((1 + 2) / (1 + 4))  # as much counts, and the real one
    assert found.chance == pytest.approx(0.3 / entropy)
    assert found.excess == pytest.approx(0.1 / entropy)
    assert (found.low, found.high) == pytest.approx(
        np.quantile([0.1, 0.2, 0.4, 0.5], [0.025, 0.975]) / entropy
    )
    assert at(*[0.1] * 9).p_value == pytest.approx(0.1)
    # A layer whose load has no entropy explains nothing, and divides by nothing.
    lone = make_trace(np.zeros((1, 8, 1), int), np.ones((1, 8, 1)), 2)
    assert myths._compared(lone, lambda n: np.zeros((1, max(n, 1))), 3).measured == 0


def test_shuffles_done_in_parts_are_the_same(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = small(rng)
    stretch_N = stretches(trace)
    label_S = trace.domain_N[np.unique(stretch_N, return_index=True)[1]]

    def found() -> myths._Information:
        return myths._domain_information(trace, label_S, stretch_N, np.random.default_rng(1))

    whole, sizes = found(), []
    shuffled = myths._shuffled
    monkeypatch.setattr(
        myths,
        "_shuffled",
        lambda s, n, r: sizes.append(len(shuffled(s, n, r))) or shuffled(s, n, r),
    )
    n_cells = max(
        len({(s, e) for s, row in zip(stretch_N, layer) for e in row.tolist()})
        for layer in trace.expert_LNK
    )
    monkeypatch.setattr(myths, "CHUNK", 80 * n_cells)
    parts = found()
    assert parts.measured == whole.measured and parts.chance == pytest.approx(whole.chance, rel=0.1)
    assert sizes == [1, 80, 80, 39]
    monkeypatch.setattr(myths, "CHUNK", 1)
    sizes.clear()
    found()
    assert sizes == [1] * 200


def test_hot_experts_of_each_layer_and_draw_in_plain_loops(rng: np.random.Generator) -> None:
    hot_SE = np.array([rng.permutation([9, 9, 0, 0, 0, 0]) for _ in range(12)])
    logits_LNE = rng.standard_normal((2, 1536, 6)) + np.repeat(hot_SE, 128, axis=0) / 6
    order = np.argsort(-logits_LNE, axis=2)[:, :, :2]
    trace = make_trace(order, np.ones(order.shape), 6)
    stretch_N = np.where(np.arange(1536) % 7 == 0, -1, np.arange(1536) // 128)
    drawn_RS = [np.bincount(rng.integers(0, 12, 12), minlength=12) for _ in range(3)]
    times_RS = np.vstack([np.ones(12), *drawn_RS, [12, *[0] * 11]])
    found = myths._hot_overlap(trace, stretch_N, 2, rng, times_RS)
    for layer in range(2):
        hot = []
        for s in range(12):
            load = np.bincount(trace.expert_LNK[layer, stretch_N == s].ravel(), minlength=6)
            assert np.sort(load)[-2] > np.sort(load)[-3]  # no tie at the edge
            hot.append({*np.argsort(-load)[:2].tolist()})
        for times, value in zip(times_RS[:-1], found[layer]):
            picked = [s for s, n in enumerate(times.astype(int)) for _ in range(n)]
            pairs = [len(hot[a] & hot[b]) / 2 for a in picked for b in picked if a != b]
            assert value == pytest.approx(np.mean(pairs))
        assert np.isnan(found[layer, -1])  # one stretch alone has no pair


def test_ties_for_a_place_among_the_hot_go_by_lot() -> None:
    """Equally busy experts: hot by index they would overlap wholly, by lot as random sets do."""
    experts = np.tile(np.arange(8), 8 * 100)[None, :, None]
    trace = make_trace(experts, np.ones(experts.shape), 8)
    check = same_experts_stay_hot(trace)
    assert check.chance == 0.25 and check.measured == pytest.approx(0.25, abs=0.05)
    assert dict(check.figures)["same_load_everywhere"] == pytest.approx(0.25, abs=0.1)


@pytest.mark.parametrize(
    ("n_experts", "n_hot"), [(2, 1), (3, 1), (5, 1), (6, 2), (10, 2), (14, 4), (16, 4)]
)
def test_a_quarter_of_the_experts_is_hot_and_at_least_one(n_experts: int, n_hot: int) -> None:
    experts = np.arange(640)[None, :, None] % n_experts
    trace = make_trace(experts, np.ones(experts.shape), n_experts)
    assert same_experts_stay_hot(trace).chance == pytest.approx(n_hot / n_experts)


@pytest.mark.parametrize(
    ("n_tokens", "n_experts", "told"),
    [(255, 4, True), (223, 4, False), (256, 2, True), (256, 1, False)],
)
def test_it_takes_four_stretches_and_two_experts(n_tokens: int, n_experts: int, told: bool) -> None:
    experts = np.arange(n_tokens)[None, :, None] % n_experts
    check = same_experts_stay_hot(make_trace(experts, np.ones(experts.shape), n_experts))
    assert (check.measured is not None) == told
    if not told:
        assert check.answer == "It takes 4 stretches of 64 tokens and two experts."
        assert check.verdict == "cannot tell"


@pytest.mark.parametrize(
    ("of_a", "of_b", "told"), [(2, 2, True), (2, 1, False), (1, 5, False), (3, 2, True)]
)
def test_it_takes_two_domains_with_two_stretches(of_a: int, of_b: int, told: bool) -> None:
    label_N = np.repeat([0, 1], [of_a * 10, of_b * 10])
    experts = np.arange(len(label_N))[None, :, None] % 4
    trace = make_trace(
        experts, np.ones(experts.shape), 4, sequence_N=label_N, domain_N=label_N, domains="ab"
    )
    check = topic_specialists(trace, length=10)
    assert (check.measured is not None) == told
    if not told:
        assert check.answer == "It takes two domains with two stretches of 10 tokens each."
    unnamed = topic_specialists(replace(trace, domain_N=None, domains=()))
    assert unnamed.answer == "The trace names no domains." and unnamed.verdict == "cannot tell"
    for check in (topic_specialists, same_experts_stay_hot):
        with pytest.raises(ValueError, match="length: got 0"):
            check(trace, length=0)
        with pytest.raises(ValueError, match="seed: got -1"):
            check(trace, seed=-1, length=4)
        assert check(trace, length=1).name == check.__name__


def test_ids_of_which_half_occur_twice_can_explain(noise: tuple) -> None:
    trace = made(*noise)
    for again, told in ((2048, True), (2046, False)):
        ids_N = np.arange(N)
        ids_N[:again] //= 2
        why = myths._ids_tell_nothing(replace(trace, token_ids_N=ids_N))
        assert (why == "") == told
        assert why in ("", "too few tokens occur twice")


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_stretches_in_plain_loops(length: int, rng: np.random.Generator) -> None:
    sequence_N = np.sort(rng.integers(0, 6, 90))
    domain_N = np.sort(rng.integers(0, 2, 90))
    experts = np.zeros((1, 90, 1), int)
    trace = make_trace(
        experts, np.ones(experts.shape), 2, sequence_N=sequence_N, domain_N=domain_N, domains="ab"
    )
    want, number = [], 0
    for _, group in itertools.groupby(zip(sequence_N.tolist(), domain_N.tolist())):
        size = len([*group])
        parts = [length] * (size // length)
        rest = size % length
        # The rest joins the one before if it is less than half; of halves, the even number stays.
        if not parts or rest > length / 2 or (2 * rest == length and len(parts) % 2):
            parts.append(rest)
        elif rest:
            parts[-1] += rest
        for part in parts:
            want += [number] * part
            number += part > 0
    assert stretches(trace, length).tolist() == want
