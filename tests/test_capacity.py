"""Who gets in: every drop policy against plain loops, and what holds for all of them."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import moe
from moe import metrics
from moe.capacity import DROP_POLICIES, Capacity
from tests.gradients import worst_error
from tests.test_contract import check_routing

REROUTABLE = [name for name, router in moe.ROUTERS.items() if router.reroutable]
SMALL = dict(steps=2, batch=64, d_model=8, d_expert=8, n_experts=8)


def made(n: int, e: int, k: int, router: str, seed: int) -> tuple[moe.Router, moe.Routing]:
    """A router and a routing with uneven load and, by coarse logits, ties."""
    rng = np.random.default_rng(seed)
    logits_NE = (2 * (rng.standard_normal((n, e)) + rng.standard_normal(e))).round(0) / 2
    takes_k = "k" in moe.make_router(router).options()
    chooser = moe.make_router(router, **({"k": k} if takes_k else {}))
    return chooser, chooser.choose(logits_NE, token_ids=np.arange(n))


# Plain loops ------------------------------------------------------------------------------------


def fill(routing: moe.Routing, order: list[int], limit: int) -> list[bool]:
    """Go through the assignments in this order; each gets in while its expert has room."""
    kept, load = [False] * routing.n_assignments, [0] * routing.n_experts
    for a in order:
        expert = int(routing.expert_A[a])
        if load[expert] < limit:
            kept[a], load[expert] = True, load[expert] + 1
    return kept


def by_position(routing: moe.Routing, limit: int) -> list[bool]:
    order = sorted(
        range(routing.n_assignments), key=lambda a: (routing.token_A[a], routing.rank_A[a])
    )
    return fill(routing, order, limit)


def by_score(routing: moe.Routing, limit: int) -> list[bool]:
    everybody = range(routing.n_assignments)
    order = sorted(everybody, key=lambda a: (-routing.weight_A[a], routing.token_A[a]))
    return fill(routing, order, limit)


def in_turns(routing: moe.Routing, limit: int, tokens: list[int]) -> list[bool]:
    """First choices of the tokens in this order, then second ones, ..."""
    where = {
        (int(t), int(r)): a
        for a, (t, r) in enumerate(zip(routing.token_A, routing.rank_A, strict=True))
    }
    turns = range(int(routing.rank_A.max(initial=-1)) + 1)
    return fill(routing, [where[t, r] for r in turns for t in tokens if (t, r) in where], limit)


def by_rank(routing: moe.Routing, limit: int) -> list[bool]:
    return in_turns(routing, limit, list(range(routing.n_tokens)))


def by_batch_priority(routing: moe.Routing, limit: int) -> list[bool]:
    assert routing.scores_NE is not None
    best = [
        -max((routing.scores_NE[t, e] for e in routing.expert_A[routing.token_A == t]), default=0.0)
        for t in range(routing.n_tokens)
    ]
    return in_turns(routing, limit, sorted(range(routing.n_tokens), key=lambda t: (best[t], t)))


def by_draw(routing: moe.Routing, limit: int) -> list[bool]:
    draw = np.random.default_rng(5).random(routing.n_assignments)
    return fill(routing, np.argsort(draw).tolist(), limit)


def by_sequence(routing: moe.Routing, limit: int) -> list[bool]:
    """Sequences of 4 tokens, every second one protected, every expert a device."""
    assert routing.scores_NE is not None
    safe = [(t // 4) % 2 == 0 for t in range(routing.n_tokens)]
    score = [
        routing.scores_NE[t, e] for t, e in zip(routing.token_A, routing.expert_A, strict=True)
    ]
    order = sorted(
        range(routing.n_assignments),
        key=lambda a: (not safe[routing.token_A[a]], -score[a], routing.token_A[a]),
    )
    kept = fill(routing, order, limit)
    return [one or safe[t] for one, t in zip(kept, routing.token_A, strict=True)]


LOOPS = {
    "order": by_position,
    "score": by_score,
    "rank": by_rank,
    "batch_priority": by_batch_priority,
    "random": by_draw,
    "sequence": by_sequence,
}


def rerouted_by_loops(routing: moe.Routing, limit: int) -> tuple[list[int], list[bool]]:
    """Rounds: each lost assignment in turn tries its token's next best expert."""
    assert routing.logits_NE is not None
    expert, kept = routing.expert_A.tolist(), by_position(routing, limit)
    load = [
        sum(k and e == x for k, e in zip(kept, expert, strict=True))
        for x in range(routing.n_experts)
    ]
    queue = {
        t: sorted(
            set(range(routing.n_experts)) - set(routing.expert_A[routing.token_A == t].tolist()),
            key=lambda e, t=t: (-routing.logits_NE[t, e], e),  # type: ignore[misc,index]
        )
        for t in range(routing.n_tokens)
    }
    for _ in range(routing.n_experts):
        for a in [a for a in range(len(expert)) if not kept[a]]:
            nexts = queue[int(routing.token_A[a])]
            if not nexts:
                continue
            want = nexts.pop(0)
            if load[want] < limit:
                expert[a], kept[a], load[want] = want, True, load[want] + 1
    return expert, kept


routings = dict(
    n=st.integers(0, 40),
    e=st.integers(4, 10),
    k=st.integers(1, 4),
    factor=st.sampled_from([0.1, 0.5, 1.0, 1.25, 8.0]),
    least=st.sampled_from([0, 0, 3]),
    seed=st.integers(0, 999),
)


@pytest.mark.parametrize("drop", LOOPS)
@pytest.mark.parametrize("router", ["topk", "deepseek_v3", "gshard", "top_p", "expert_choice"])
@given(**routings)
@settings(max_examples=15, deadline=None)
def test_a_policy_keeps_whom_plain_loops_keep(
    drop: str, router: str, n: int, e: int, k: int, factor: float, least: int, seed: int
) -> None:
    _, free = made(n, e, k, router, seed)
    capacity = Capacity(factor, drop, least, sequence_length=4, protected=0.5)
    limit = max(least, math.ceil(Fraction(free.n_assignments, e) * Fraction(str(factor))))
    assert capacity.limit(free) == limit
    capped = capacity.apply(free, np.random.default_rng(5))
    check_routing(capped, n, e)
    assert capped.kept_A.tolist() == LOOPS[drop](free, limit)
    assert np.array_equal(capped.expert_A, free.expert_A)
    assert np.array_equal(capped.weight_A, free.weight_A)
    if drop != "sequence":
        assert np.array_equal(capped.load, np.minimum(free.proposed_load, limit))


@pytest.mark.parametrize("router", REROUTABLE)
@given(**routings)
@settings(max_examples=25, deadline=None)
def test_rerouting_sends_where_plain_loops_send(
    router: str, n: int, e: int, k: int, factor: float, least: int, seed: int
) -> None:
    chooser, free = made(n, e, k, router, seed)
    capacity = Capacity(factor, "reroute", least)
    limit = capacity.limit(free)
    capped = capacity.apply(free, router=chooser)
    check_routing(replace(capped, asked_A=None), n, e)
    expert, kept = rerouted_by_loops(free, limit)
    assert capped.expert_A.tolist() == expert and capped.kept_A.tolist() == kept
    assert capped.load.max(initial=0) <= limit
    assert np.array_equal(capped.proposed_load, free.proposed_load)
    assert capped.rerouted == (capped.expert_A != free.expert_A).sum()
    by_order = Capacity(factor, "order", least).apply(free)
    assert capped.kept_A[by_order.kept_A].all() and capped.dropped <= by_order.dropped
    if free.n_assignments == n and factor >= 1:
        assert capped.dropped == 0  # one expert a token: E places of N / E suffice


# The decimal that is written, as a fraction: what floating point comes near to.
FACTORS = {
    0.1: (1, 10), 0.7: (7, 10), 1.0: (1, 1), 1.1: (11, 10), 1.15: (23, 20), 1.25: (5, 4),
    1.3: (13, 10), 2.2: (11, 5), 2: (2, 1), np.float32(1.1): (11, 10), np.float64(0.3): (3, 10),
    1e-3: (1, 1000),
}  # fmt: skip


@pytest.mark.parametrize("factor", FACTORS)
def test_room_is_rounded_up_from_the_exact_product(factor: float) -> None:
    """At every small size, for experts that are chosen and for experts that choose."""
    exact, capacity = Fraction(*FACTORS[factor]), Capacity(factor)
    router = moe.make_router("expert_choice", factor=factor)
    rounded_otherwise = 0
    for n_experts in range(1, 17):
        for n in range(120):
            limit = math.ceil(Fraction(n, n_experts) * exact)
            routing = SimpleNamespace(n_assignments=n, n_experts=n_experts)
            assert capacity.limit(routing) == limit, (n, n_experts)  # type: ignore[arg-type]
            assert router.capacity(n, n_experts) == min(n, limit)  # type: ignore[attr-defined]
            rounded_otherwise += math.ceil(n / n_experts * float(factor)) != limit
    assert rounded_otherwise or factor != 1.1  # floating point does get some of these wrong


def test_fifty_times_eleven_tenths_is_fifty_five() -> None:
    routing = moe.make_router("topk").choose(np.zeros((200, 8)))
    assert Capacity(1.1).limit(routing) == 55


@pytest.mark.parametrize("drop", DROP_POLICIES)
def test_a_policy_is_deterministic_and_conserves(drop: str) -> None:
    router, free = made(300, 8, 2, "topk", 0)
    capacity = Capacity(0.75, drop)
    one, two = (capacity.apply(free, np.random.default_rng(3), router) for _ in range(2))
    for name in ("expert_A", "kept_A", "weight_A"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert one.load.sum() + one.dropped == one.proposed_load.sum() == free.n_assignments
    assert (one.dropped == 0) == (drop == "none")
    assert free.kept_A.all() and free.asked_A is None  # what came in is left alone


# What is particular to one policy ---------------------------------------------------------------


def test_random_selection_is_by_position_without_an_rng_and_fair_with_one() -> None:
    logits_NE = np.tile([1.0, 0.0], (100, 1))
    free = moe.make_router("switch").choose(logits_NE)
    capacity = Capacity(1.0, "random")
    assert np.array_equal(capacity.apply(free).kept_A, np.arange(100) < 50)
    rng = np.random.default_rng(0)
    kept_N = np.mean([capacity.apply(free, rng).kept_A for _ in range(2000)], axis=0)
    assert np.abs(kept_N - 0.5).max() < 0.06  # five standard deviations of 2000 coin throws


def test_batch_priority_looks_at_probabilities_and_not_at_renormalised_weights() -> None:
    # Renormalised, the second token is surer (0.9 of 1.0); its probability is smaller.
    logits_NE = np.log([[0.5, 0.3, 0.1, 0.1], [0.36, 0.04, 0.3, 0.3]])
    free = moe.make_router("gshard").choose(logits_NE[:, :4])
    capped = Capacity(0.5, "batch_priority").apply(free)
    assert capped.kept_A.tolist() == [True, True, False, True]
    assert free.expert_A.tolist() == [0, 1, 0, 2]


def test_first_choices_go_before_second_ones_of_earlier_tokens() -> None:
    free = moe.make_router("topk").choose(np.array([[2.0, 1.0, 0, 0], [0, 3.0, 1.0, 0]]))
    assert free.expert_A.tolist() == [0, 1, 1, 2]
    limit_of_one = 0.5
    by_order = Capacity(limit_of_one, "order").apply(free)
    ranked = Capacity(limit_of_one, "rank").apply(free)
    assert by_order.kept_A.tolist() == [True, True, False, True]
    assert ranked.kept_A.tolist() == [True, False, True, True]


def test_rerouted_weights_are_those_of_the_experts_that_ran() -> None:
    logits_NE = np.log([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.7, 0.1, 0.2]])
    switch, topk = moe.make_router("switch"), moe.make_router("topk")
    capped = Capacity(1.0, "reroute").apply(switch.choose(logits_NE), router=switch)
    assert capped.expert_A.tolist() == [0, 1, 2]
    assert capped.weight_A == pytest.approx([0.5, 0.3, 0.2])
    probs_NE = np.array([[0.5, 0.3, 0.1, 0.1], [0.5, 0.3, 0.1, 0.1], [0.6, 0.05, 0.25, 0.1]])
    free = topk.choose(np.log(probs_NE))  # 0 1, 0 1, 0 2, two places each
    capped = Capacity(1.0, "reroute").apply(free, router=topk)
    assert capped.expert_A.tolist() == [0, 1, 0, 1, 3, 2] and capped.kept_A.all()
    assert capped.weight_A[4:] == pytest.approx([0.1 / 0.35, 0.25 / 0.35])
    assert capped.proposed_load.tolist() == [3, 2, 1, 0] and capped.rerouted == 1


def test_rounds_let_everyone_try_the_second_best_before_anyone_the_third() -> None:
    # Round one: token 2 finds expert 1 full, token 3 gets 2. Only then is 2 token 2's next.
    logits_NE = np.array([[9.0, 0, 0, 0], [0, 9, 0, 0], [9, 5, 4, 0], [9, 0, 5, 4]])
    switch = moe.make_router("switch")
    capped = Capacity(1.0, "reroute").apply(switch.choose(logits_NE), router=switch)
    assert capped.expert_A.tolist() == [0, 1, 3, 2] and capped.kept_A.all()


def test_a_device_budget_drops_the_lowest_scores_of_its_experts_together() -> None:
    rng = np.random.default_rng(1)
    logits_NE = rng.standard_normal((200, 8)) + np.array([3.0, 0, 0, 0, 0, 0, 0, 0])
    free = moe.make_router("deepseek_v2", scale=16.0).choose(logits_NE)
    capacity = Capacity(1.0, "sequence", n_devices=4, protected=0.0)
    assert capacity.limit(free) == 100
    capped = capacity.apply(free)
    device_A = free.expert_A // 2
    assert (
        np.bincount(device_A[capped.kept_A]).tolist()
        == np.minimum(np.bincount(device_A), 100).tolist()
    )
    assert capped.load[0] > 50  # an expert may exceed its share of the device
    lost, stayed = (
        free.weight_A[(device_A == 0) & flag] for flag in (~capped.kept_A, capped.kept_A)
    )
    assert lost.size and lost.max() <= stayed.min()


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.1, 4), (0.25, 10), (1.0, 40)])
def test_protected_sequences_lose_nothing(share: float, expected: int) -> None:
    _, free = made(40 * 16, 8, 2, "deepseek_v2", 0)
    capped = Capacity(0.3, "sequence", sequence_length=16, protected=share).apply(free)
    whole = [capped.kept_A[free.token_A // 16 == s].all() for s in range(40)]
    assert sum(whole) == expected
    if 0 < expected < 40:
        assert np.ptp(np.diff(np.flatnonzero(whole))) <= 1  # spread evenly


def test_soft_moe_cannot_overflow() -> None:
    routing = moe.make_router("soft").choose(np.random.default_rng(0).standard_normal((10, 4)))
    assert Capacity(0.1, "order").apply(routing) is routing


# In the layer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("drop", DROP_POLICIES)
@pytest.mark.parametrize("router", ["topk", "switch", "deepseek_v3", "longcat"])
def test_gradients_with_drops_equal_finite_differences(
    drop: str, router: str, rng: np.random.Generator
) -> None:
    capacity = Capacity(0.8, drop, n_devices=2)
    layer = moe.MoELayer.init(10, 7, 6, router, dtype="float64", capacity=capacity)
    layer.params["gate_DE"][:, 0] += 0.5  # experts overflow
    x_ND, g_ND = rng.standard_normal((2, 23, 10))

    def forward() -> tuple[np.ndarray, object]:
        return layer.forward(x_ND, rng=np.random.default_rng(7))

    _, ctx = layer.forward(x_ND, rng=np.random.default_rng(7))
    assert ctx.routing.dropped or ctx.routing.rerouted or drop == "none"
    dx_ND, grads = layer.backward(g_ND, ctx)
    error = worst_error(
        lambda: float((forward()[0] * g_ND).sum()),
        layer.params | {"x": x_ND},
        grads | {"x": dx_ND},
    )
    assert error <= 1e-6


def test_a_rerouted_layer_runs_the_experts_that_tokens_went_to(rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(6, 5, 4, "switch", dtype="float64", capacity=Capacity(1.0, "reroute"))
    layer.params["gate_DE"][:] = 0
    layer.params["gate_DE"][:, 0] = 1
    x_ND = np.abs(rng.standard_normal((12, 6)))  # all want expert 0, then 1, 2, 3
    y_ND, ctx = layer.forward(x_ND)
    assert ctx.routing.proposed_load.tolist() == [12, 0, 0, 0]
    assert ctx.routing.load.tolist() == [3, 3, 3, 3] and ctx.executed_rows == 12
    up_EDH, down_EFD = layer.params["w_gate_up_ED2F"], layer.params["w_down_EFD"]
    for n, expert in enumerate(ctx.routing.expert_A):
        dense = moe.DenseFFN(
            "swiglu", {"w_gate_up_D2F": up_EDH[expert], "w_down_FD": down_EFD[expert]}
        )
        logit = x_ND[n].sum()
        p = np.exp(logit if expert == 0 else 0) / (np.exp(logit) + 3)
        assert np.allclose(y_ND[n], p * dense(x_ND[n : n + 1])[0])


@pytest.mark.parametrize("drop", [d for d in DROP_POLICIES if d != "none"])
def test_training_takes_every_policy(drop: str) -> None:
    records = list(moe.train(moe.TrainSettings(drop=drop, capacity_factor=0.5, **SMALL)))
    assert all(record.dropped > 0 and np.isfinite(record.loss) for record in records)


# Errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("router", [name for name in moe.ROUTERS if name not in REROUTABLE])
def test_rerouting_says_which_routers_it_can_take(router: str) -> None:
    words = f"drop: got 'reroute' with router '{router}', allowed is it with one of topk, switch"
    with pytest.raises(ValueError, match=words):
        moe.MoELayer.init(8, 4, 8, router, capacity=Capacity(drop="reroute"))
    with pytest.raises(ValueError, match=words):
        moe.TrainSettings(router=router, drop="reroute", capacity_factor=1.0)


BAD = {
    "policy": (dict(drop="luck"), "drop: got 'luck', allowed is one of none, order, score"),
    "min_capacity": (dict(min_capacity=-1), "min_capacity: got -1"),
    "n_devices": (dict(n_devices=-2), "n_devices: got -2"),
    "sequence_length": (dict(sequence_length=0), "sequence_length: got 0"),
    "protected": (dict(protected=1.5), "protected: got 1.5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options_are_named(case: str) -> None:
    options, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        Capacity(**options)  # type: ignore[arg-type]


def test_what_fits_no_routing_is_named() -> None:
    _, free = made(5, 8, 2, "topk", 0)
    with pytest.raises(ValueError, match=r"n_devices: got 3, allowed is 0 or a divisor"):
        Capacity(1.0, "sequence", n_devices=3).apply(free)
    with pytest.raises(ValueError, match="drop: got 'reroute' with no router"):
        Capacity(1.0, "reroute").apply(free)


def test_padding_waste() -> None:
    load_E = np.array([4, 2, 0, 2])
    assert metrics.padding_waste(load_E, 5) == pytest.approx(1 - 8 / 20)
    assert metrics.padding_waste(load_E) == pytest.approx(0.5)  # C = 4, nothing dropped
    assert metrics.padding_waste(np.zeros(4)) == 0
    assert metrics.padding_waste(np.full(4, 3), 3) == 0
    router, free = made(64, 8, 2, "topk", 3)
    capacity = Capacity(1.0, "order")
    capped = capacity.apply(free, router=router)
    assert metrics.padding_waste(capped.load, capacity.limit(free)) == pytest.approx(
        capped.dropped / free.n_assignments
    )  # with factor 1 every dropped row leaves a padded one
