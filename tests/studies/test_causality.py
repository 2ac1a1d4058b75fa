"""The causality probe: every claim is true, and a leak that is there is found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

import moe
from moe.capacity import DROP_POLICIES, Capacity
from moe.routers.switch import Switch
from moe.studies.causality import (
    ProbeSettings,
    causality_rows,
    futures,
    probe,
    probe_capacity,
    probe_router,
)


@pytest.mark.parametrize("name", moe.ROUTERS)
def test_a_router_is_as_causal_as_it_claims(name: str) -> None:
    row = probe_router(moe.make_router(name))
    assert (row.name, row.kind) == (name, "router")
    assert row.claims == row.found == (row.changed == 0) == moe.ROUTERS[name].causal


@pytest.mark.parametrize("drop", DROP_POLICIES)
def test_a_drop_policy_is_as_causal_as_it_claims(drop: str) -> None:
    row = probe_capacity(Capacity(drop=drop))
    assert (row.name, row.kind) == (drop, "drop policy")
    assert row.claims == row.found == (row.changed == 0)


def test_the_rows_cover_both_registries() -> None:
    rows = causality_rows(ProbeSettings(trials=2))
    assert [row.name for row in rows] == [*moe.ROUTERS, *DROP_POLICIES]
    assert {row.kind for row in rows} == {"router", "drop policy"}


@dataclass(frozen=True)
class Peeping(Switch):
    """Claims to be causal; in a batch that ends in a very sure token, the first one moves."""

    name: ClassVar[str] = "peeping"

    def choose(self, logits_NE: np.ndarray, **state: Any) -> moe.Routing:
        """Switch, with a peep at the last token."""
        if logits_NE[-1].max() > 6:
            logits_NE = np.concatenate([-logits_NE[:1], logits_NE[1:]])
        return super().choose(logits_NE, **state)


def test_a_rare_leak_of_one_token_is_found() -> None:
    row = probe_router(Peeping())
    assert row.claims and not row.found
    assert 0 < row.changed < 1 / 16


def test_random_futures_alone_would_miss_it() -> None:
    rng = np.random.default_rng(0)
    early_NE = rng.standard_normal((16, 8))
    plain, *harmful = futures(rng, early_NE, 16)
    assert plain.max() < 6 < max(future.max() for future in harmful)
    assert all(future.shape == (16, 8) for future in harmful)


def test_a_later_first_choice_displaces_an_earlier_second_one() -> None:
    """Why 'rank' leaks with two choices, and does not with one."""
    settings = ProbeSettings()
    assert not probe_capacity(Capacity(drop="rank"), settings).found
    router, capacity = moe.make_router("switch"), Capacity(0.5, "rank")
    rng = np.random.default_rng(0)
    early_NE = rng.standard_normal((16, 8))
    kept = [
        capacity.apply(router.choose(np.concatenate([early_NE, f]))).kept_A[:16]
        for f in futures(rng, early_NE, 16)
    ]
    assert all(np.array_equal(kept[0], other) for other in kept)


def test_appending_tokens_widens_the_limit_that_order_has() -> None:
    """What the probe leaves out, as its page says: the number of tokens."""
    router, capacity = moe.make_router("switch"), Capacity(1.0, "order")
    short_NE = np.tile([1.0, 0.0], (4, 1))
    long_NE = np.tile([1.0, 0.0], (8, 1))
    kept = [
        capacity.apply(router.choose(logits)).kept_A[:4].tolist() for logits in (short_NE, long_NE)
    ]
    assert kept == [[True, True, False, False], [True, True, True, True]]


# The probe itself ------------------------------------------------------------------------------


def test_five_futures_are_what_they_say() -> None:
    early_NE = np.random.default_rng(1).standard_normal((3, 6))
    early_NE[:, 4] += (2, 0, 0)
    drawn, same, reverse, wanted, any_one = futures(np.random.default_rng(2), early_NE, 5)
    around_NE = early_NE[[0, 1, 2, 0, 1]]
    np.testing.assert_allclose(same, 3 * around_NE)
    np.testing.assert_allclose(reverse, -3 * around_NE)
    assert abs(drawn).max() < 4
    favourite = early_NE.sum(axis=0).argmax()
    assert (wanted.argmax(axis=1) == favourite).all()
    assert len(set(any_one.argmax(axis=1))) == 1
    for crowd_NE, column in ((wanted, favourite), (any_one, any_one[0].argmax())):
        assert crowd_NE[:, column].mean() == pytest.approx(9, abs=1.5)
        assert abs(np.delete(crowd_NE, column, axis=1)).max() < 4


def test_the_future_changes_and_nothing_else_and_all_changes_count() -> None:
    """A route that writes down what it gets, and moves one early token at one exchange."""
    settings = ProbeSettings(n_early=4, n_future=3, n_experts=5, trials=6, seed=9)
    calls: list[tuple[np.ndarray, np.ndarray, int, float]] = []
    router = moe.make_router("switch")

    def route(logits_NE: np.ndarray, ids_N: np.ndarray, seed: int, room: float) -> moe.Routing:
        calls.append((logits_NE, ids_N, seed, room))
        moved_NE = logits_NE.copy()
        if len(calls) % 5 == 0:  # the last future of each prefix
            moved_NE[2] *= -1
        return router.choose(moved_NE)

    row = probe("mine", "router", True, route, settings)
    assert len(calls) == 6 * 5
    for number, (logits_NE, ids_N, seed, room) in enumerate(calls):
        trial = number // 5
        assert logits_NE.shape == (7, 5) and ids_N.shape == (7,)
        assert (seed, room) == (trial, 0.5 if trial % 2 == 0 else 1.0)
        first = calls[5 * trial]
        assert np.array_equal(logits_NE[:4], first[0][:4])
        assert np.array_equal(ids_N[:4], first[1][:4])
        if number % 5:
            assert not np.array_equal(logits_NE[4:], first[0][4:])
    assert len({logits_NE[0, 0] for logits_NE, *_ in calls}) == 6
    ids = np.concatenate([ids_N for _, ids_N, *_ in calls])
    assert 0 <= ids.min() < 20 and 236 < ids.max() < 256
    # One of four early tokens in one of the four exchanges of each prefix.
    assert (row.changed, row.found, row.claims) == (1 / 16, False, True)
    assert (row.name, row.kind) == ("mine", "router")
    loads = [logits_NE[:4].mean(axis=0).std() for logits_NE, *_ in calls]
    assert np.mean(loads) > 0.7  # uneven: without a common part it would be about a half


def changed_by(moved: str) -> float:
    """What the probe finds if the future changes only one thing that a routing says."""
    calls = 0

    def route(logits_NE: np.ndarray, ids_N: np.ndarray, seed: int, room: float) -> moe.Routing:
        nonlocal calls
        calls += 1
        odd, scale = calls % 2 == 1, np.ones(len(logits_NE))
        routing = moe.make_router("switch").choose(np.tile([2.0, 1.0], (len(logits_NE), 1)))
        if moved == "kept" and odd:
            return routing.with_kept(np.arange(len(logits_NE)) != 1)
        if moved == "weight" and odd:
            return replace(routing, weight_A=routing.weight_A * 0.5)
        if moved in ("dispatch_NS", "combine_NS"):
            scale[1] = 2 if odd else 1
            slots = dict(dispatch_NS=np.ones((len(scale), 2)), combine_NS=np.ones((len(scale), 2)))
            return replace(routing, **slots | {moved: scale[:, None] * np.ones(2)})
        return routing

    settings = ProbeSettings(n_early=4, n_future=4, n_experts=2, trials=1)
    return probe("mine", "router", True, route, settings).changed


@pytest.mark.parametrize(
    ("moved", "share"),
    [("", 0), ("kept", 0.25), ("weight", 1), ("dispatch_NS", 0.25), ("combine_NS", 0.25)],
)
def test_all_that_a_routing_says_of_a_token_is_compared(moved: str, share: float) -> None:
    assert changed_by(moved) == share


def test_a_policy_is_probed_after_top_two_at_both_factors_of_room() -> None:
    settings = ProbeSettings(trials=4)
    router = moe.make_router("topk", k=2)

    def route(logits_NE: np.ndarray, ids_N: np.ndarray, seed: int, room: float) -> moe.Routing:
        capacity = Capacity(room, "random")
        return capacity.apply(router.choose(logits_NE), np.random.default_rng(seed), router)

    wanted = probe("random", "drop policy", False, route, settings)
    assert probe_capacity(Capacity(7.0, "random"), settings) == wanted
    assert wanted.changed > 0
    assert probe_capacity(Capacity(drop="random")) == probe_capacity(
        Capacity(drop="random"), ProbeSettings(16, 16, 8, 12, 0)
    )


def test_a_routers_noise_is_the_same_for_every_future() -> None:
    """Else noise would pass for a leak; and another prefix has other noise."""
    seen: list[float] = []

    class Listening(Switch):
        name, causal = "listening", True

        def choose(self, logits_NE: np.ndarray, **state: Any) -> moe.Routing:
            seen.append(state["rng"].random())
            assert state["token_ids"].shape == (len(logits_NE),)
            return super().choose(logits_NE, **state)

    row = probe_router(Listening(), ProbeSettings(trials=2))
    assert row.found and seen == [
        np.random.default_rng(trial).random() for trial in (0, 1) for _ in range(5)
    ]
    rows = causality_rows(ProbeSettings(trials=1))
    assert rows[0] == probe_router(moe.make_router("topk"), ProbeSettings(trials=1))
