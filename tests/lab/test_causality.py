"""The causality probe: every claim is true, and a leak that is there is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

import moe
from moe.capacity import DROP_POLICIES, Capacity
from moe.lab.causality import (
    ProbeSettings,
    causality_rows,
    futures,
    probe_capacity,
    probe_router,
)
from moe.routers.switch import Switch


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
