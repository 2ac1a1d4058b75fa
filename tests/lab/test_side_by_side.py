"""Two routers on the same sentence: figures counted another way, for every router there is."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from moe.lab import side_by_side
from moe.lab.export import routers_json
from moe.lab.side_by_side import Choice, SideSettings, dials, put_side_by_side, router_titles
from moe.lab.token import DEFAULT_SENTENCE, ready_model, sentence_windows
from moe.routers import ROUTERS
from moe.routers.topk import TopK

TOPK, EXPERT_CHOICE = Choice("topk"), Choice("expert_choice")
N = len(DEFAULT_SENTENCE)


def put(a: Choice = TOPK, b: Choice = EXPERT_CHOICE, **shared):
    return put_side_by_side(ready_model(), DEFAULT_SENTENCE, SideSettings(a, b, **shared))


@pytest.mark.parametrize("name", ROUTERS)
def test_counts_of_every_router_agree_with_sets_of_pairs(name):
    both = put(b=Choice(name), room=1.0)
    sets = []
    for side in (both.a, both.b):
        r = side.routing
        kept = zip(r.token_A[r.kept_A].tolist(), r.expert_A[r.kept_A].tolist())
        sets.append(set(kept))
        assert side.share_E.sum() == pytest.approx(len(sets[-1]) / r.n_assignments)
    a, b = sets
    assert both.counts == {"only A": len(a - b), "only B": len(b - a), "both": len(a & b)}
    changed = {n for n, _ in a ^ b}
    assert set(np.flatnonzero(both.changed_N).tolist()) == changed
    assert (f"{len(changed)} of {N} characters go" in both.words()) == bool(changed)
    assert len(both.differences()) == len(a | b)
    assert both.b.alone == N - len({n for n, _ in b})


def test_the_default_pair_tells_the_story():
    both = put()
    load_E = np.bincount(np.argsort(-both.a.routing.logits_NE, axis=1)[:, :2].ravel(), minlength=8)
    share = load_E.max() / load_E.sum()
    assert share > 0.3 and f"A's busiest expert has {share:.1%}" in both.words()
    assert (
        len(set(both.b.routing.load.tolist())) == 1
        and "B's busiest expert has 12.5%" in both.words()
    )
    assert not both.a.looks_ahead and both.b.looks_ahead
    assert f"B leaves {both.b.alone} characters without any expert." in both.words()


def test_both_sides_use_the_trained_gate_and_say_what_is_not_trained():
    trainer = ready_model().trainer
    _, window_NC = sentence_windows(trainer, DEFAULT_SENTENCE)
    x_ND, gate_DE = trainer.embed(window_NC), trainer.layer.params["gate_DE"]
    both = put(Choice("topk"), Choice("noisy_topk"))
    for side in (both.a, both.b):
        assert np.allclose(side.routing.logits_NE, x_ND @ gate_DE, atol=1e-5)
    assert both.a.fresh == () and both.b.fresh == ("noise_DE",)
    assert "untrained" not in both.a.origin_words() and "untrained" in both.b.origin_words()
    assert put(b=Choice("hash")).b.origin_words() == "It has no gate: a fixed table decides."
    wide = put(b=Choice("soft", (("slots", 2),))).b
    assert "gate_DE" in wide.fresh and "another shape" in wide.origin_words()


def test_a_router_against_itself_changes_nothing():
    both = put(Choice("switch"), Choice("switch"))
    assert both.words().startswith("Both do just the same")
    assert (
        put(Choice("topk"), Choice("deepseek_v3"))
        .words()
        .startswith(f"All {N} characters go to the same experts; only the weights differ.")
    )


def test_dice_follow_the_seed():
    def experts(seed, noise=True):
        return put(b=Choice("noisy_topk"), noise=noise, seed=seed).b.routing.expert_A.tolist()

    assert experts(1) == experts(1) != experts(2)
    assert experts(1, noise=False) == experts(2, noise=False)


def test_a_full_expert_turns_choices_away_and_scores_leak():
    both = put(room=0.5, drop="score")
    limit = int(np.ceil(both.a.routing.n_assignments / 8 * 0.5))
    assert both.a.routing.load.max() == limit
    assert both.a.dropped == both.a.routing.proposed_load.sum() - both.a.routing.load.sum() > 0
    assert f"A drops {both.a.dropped} choices." in both.words()
    assert "take an earlier one's place" in both.a.sight_words()
    assert both.a.looks_ahead and not put(room=0.5, drop="order").a.looks_ahead
    assert put(b=Choice("soft"), room=0.25).b.dropped == 0
    told = both.a.experts_words()
    assert len(told) == N and sum(line.count("dropped") for line in told) == both.a.dropped


def test_dials_start_at_the_defaults():
    assert dials("topk")["k"][1] == 2 and dials("hash")["k"][1] == 1 and dials("base") == {}
    for name, (dial, default) in itertools.chain(*(dials(r).items() for r in ROUTERS)):
        assert dial.low <= default <= dial.high, name
        assert type(default) is type(dial.step) or isinstance(default, int), name


def test_a_new_router_appears_by_itself(monkeypatch):
    @dataclass(frozen=True)
    class Mine(TopK):
        name: ClassVar[str] = "mine"
        title: ClassVar[str] = "My own router"

    monkeypatch.setitem(ROUTERS, "mine", Mine)
    assert router_titles()["My own router"] == "mine" and "k" in dials("mine")
    assert put(b=Choice("mine", (("k", 1),))).b.routing.n_assignments == N


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(a=Choice("topk", (("k", 9),))), "k: got 9"),
        (dict(a=Choice("nobody")), "router: got 'nobody'"),
        (dict(room=-1.0), "room: got -1.0"),
        (dict(room=1.0, drop="dice"), "drop: got 'dice'"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        put(**change)


def test_the_longest_sentence_stays_within_the_charts_budget():
    from moe.charts import routers as charts

    both = put_side_by_side(ready_model(), "x" * 400, SideSettings(b=Choice("soft")))
    for figure in (charts.differences(both), charts.weights("B", both.tokens, both.b)):
        assert 3000 < sum(len(rows) for rows in figure.data.values()) <= 4000


def test_the_export_holds_every_choice():
    settings = SideSettings(room=1.0)
    document = json.loads(routers_json(ready_model(), "Hello", settings))
    side = document["sides"]["A"]
    assert document["kind"] == "routers" and document["sentence"] == "Hello"
    assert len(side["token"]) == len(side["expert"]) == len(side["weight"]) == 10
    assert np.bincount(np.array(side["expert"])[side["kept"]], minlength=8).tolist() == side["load"]
    assert (
        side_by_side.as_json(put_side_by_side(ready_model(), "Hello", settings))["words"]
        in document["words"]
    )
