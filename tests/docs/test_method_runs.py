"""One picture's worth of each method, and the registries as rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import MISSING, fields

import numpy as np
import pytest

import moe
from docs.generator.method_runs import (
    SHORT,
    cap_common,
    common_batch,
    first_suited,
    route_common,
    short_run,
    synthetic_text,
)
from moe.capacity import Capacity
from moe.registry import method_rows

TINY = dict(steps=3, batch=16, d_model=8, d_expert=4)


def test_the_common_batch_has_a_few_kinds_common_and_rare() -> None:
    x_ND, ids_N = common_batch()
    assert x_ND.shape == (32, 16) and x_ND.dtype == np.float32
    assert ids_N.tolist() == sorted(ids_N.tolist()) and ids_N.min() == 0 and ids_N.max() <= 5
    count_I = np.bincount(ids_N, minlength=6)
    # One, a half, a third ... of 32 by chance, within three deviations.
    share_I = 1 / np.arange(1, 7) / sum(1 / n for n in range(1, 7))
    assert (abs(count_I - 32 * share_I) < 3 * np.sqrt(32 * share_I * (1 - share_I))).all()
    assert count_I[0] == count_I.max() > 2 * count_I[5]
    inside, centres = [], []
    for kind in np.unique(ids_N):
        own_ND = x_ND[ids_N == kind]
        centres.append(own_ND.mean(axis=0))
        if len(own_ND) > 1:
            inside.append(((own_ND - centres[-1]) ** 2).sum() / (len(own_ND) - 1) / 16)
    assert 0.5 < np.sqrt(np.mean(inside)) < 0.7
    assert 0.9 < np.std(centres) < 1.6
    again, _ = common_batch()
    assert np.array_equal(again, x_ND)


@pytest.mark.parametrize("router", ["topk", "noisy_topk", "hash", "switch"])
def test_the_common_batch_is_routed_as_in_training(router: str) -> None:
    """By two of eight experts where a router lets one choose, with noise where it has some."""
    x_ND, ids_N = common_batch()
    layer = moe.MoELayer.init(16, 1, 8, router=router, k=2)
    want = layer.route(x_ND, ids_N, np.random.default_rng(0))
    got = route_common(router)
    assert got.expert_A.tolist() == want.expert_A.tolist()
    assert np.array_equal(got.weight_A, want.weight_A)
    assert (got.n_tokens, got.n_experts) == (32, 8)
    assert got.kept_A.all()
    if router == "hash":  # which goes by the ids
        expert_NK = got.expert_A.reshape(32, -1)
        for kind in np.unique(ids_N):
            assert len({tuple(row) for row in expert_NK[ids_N == kind]}) == 1
    quiet = layer.route(x_ND, ids_N)
    assert (router in ("noisy_topk", "switch")) == (
        not np.array_equal(quiet.weight_A, got.weight_A)
    )


@pytest.mark.parametrize("drop", ["order", "rank", "score"])
def test_a_policy_gives_room_for_the_fair_share(drop: str) -> None:
    """32 tokens choose two of eight experts each: eight places an expert."""
    free, got = route_common("topk"), cap_common(drop)
    assert got.expert_A.tolist() == free.expert_A.tolist()
    assert got.load.tolist() == np.minimum(free.load, 8).tolist()
    assert free.load.max() > 8


def test_the_policy_by_sequence_sees_four_of_them() -> None:
    assert np.array_equal(
        cap_common("sequence").kept_A,
        route_common("topk", Capacity(1.0, "sequence", sequence_length=8)).kept_A,
    )


def test_the_made_up_text_has_words_as_frequent_as_in_a_language() -> None:
    task = synthetic_text()
    text = task.corpus.data.tobytes()
    words = text.split(b" ")
    assert len(words) == 30_000 and {len(word) for word in words} == {2, 3, 4, 5, 6, 7}
    assert set(text) == set(b" abcdefghijklmnopqrstuvwxyz")
    letters = Counter(text.replace(b" ", b""))
    assert [letter for letter, _ in letters.most_common(2)] in ([*b"et"], [*b"te"], [*b"ea"])
    assert letters[ord("e")] > 4 * letters[ord("z")]
    counts = [n for _, n in Counter(words).most_common()]
    assert 300 < len(counts) <= 400
    harmonic = sum(1 / n for n in range(1, 401))
    assert counts[0] == pytest.approx(30_000 / harmonic, rel=0.15)
    assert sum(counts[:10]) / 30_000 == pytest.approx(
        sum(1 / n for n in range(1, 11)) / harmonic, rel=0.15
    )
    assert task.draw(np.random.default_rng(0), 3)[0].shape == (3, 4) and SHORT["context"] == 4


@pytest.mark.parametrize("balance", moe.BALANCERS)
def test_the_first_router_on_which_a_balancer_acts(balance: str) -> None:
    router = first_suited(balance)
    before = list(moe.ROUTERS)[: list(moe.ROUTERS).index(router)]
    assert moe.training.suits(balance, router)
    assert not any(moe.training.suits(balance, name) for name in before)


def test_a_short_run_is_a_run_on_the_made_up_text() -> None:
    got = short_run("switch", "bias", **TINY)
    settings = moe.TrainSettings(
        router="switch",
        balance="bias",
        n_experts=8,
        context=4,
        **TINY,  # type: ignore[arg-type]
    )
    trainer = moe.Trainer(settings, synthetic_text())
    records = list(trainer.run())
    assert got.settings == settings and got.held_out_loss == trainer.evaluate()
    assert [record.loss for record in got.records] == [record.loss for record in records]


def test_short_runs_are_long_enough_to_collapse() -> None:
    """With the numbers of today: the busiest expert is then above twice its fair share."""
    run = short_run("topk", "none")
    assert run.summary().max_vio > 1
    assert len(run.records) == SHORT["steps"] and run.settings.batch == SHORT["batch"]
    assert (run.settings.n_experts, run.settings.d_model, run.settings.d_expert) == (8, 32, 32)


@pytest.mark.parametrize(
    ("registry", "claims"),
    [(moe.ROUTERS, ("causal", "batch_invariant")), (moe.BALANCERS, ())],
)
def test_rows_say_what_the_classes_say(registry, claims) -> None:
    rows = method_rows(registry, *claims)
    assert [row["name"] for row in rows] == list(registry)
    for row in rows:
        kind = registry[row["name"]]
        assert row["title"] == kind.title and row["source"] == kind.source
        assert list(row["options"]) == [field.name for field in fields(kind)]
        for field in fields(kind):
            wanted = None if field.default is MISSING else field.default
            assert row["options"][field.name] == wanted, field.name
        assert {name: row[name] for name in claims} == {
            name: getattr(kind, name) for name in claims
        }
        assert set(row) == {"name", "title", "options", "source", *claims}
