"""Two routers on the same sentence: figures counted another way, for every router there is."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from moe.app.routers import share as routers_share
from moe.app.routers import story as side_by_side
from moe.app.routers.story import (
    Choice,
    Side,
    SideBySide,
    SideSettings,
    dials,
    put_side_by_side,
    router_titles,
)
from moe.app.shared.first_model import DEFAULT_SENTENCE, ready_model, sentence_windows
from moe.routers import ROUTERS, make_router
from moe.routers.topk import TopK
from moe.routing import Routing

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
    assert both.b.unserved == N - len({n for n, _ in b})


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
    assert f"B leaves {both.b.unserved} characters without any expert." in both.words()


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
        (dict(room=0.0), "room: got 0.0"),
        (dict(room=1.0, drop="dice"), "drop: got 'dice'"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        put(**change)


def test_the_longest_sentence_stays_within_the_charts_budget():
    from moe.app.routers import chart as charts

    both = put_side_by_side(ready_model(), "x" * 400, SideSettings(b=Choice("soft")))
    for figure in (charts.differences(both), charts.weights("B", both.tokens, both.b)):
        assert 3000 < sum(len(rows) for rows in figure.data.values()) <= 4000


def test_the_export_holds_every_choice():
    settings = SideSettings(room=1.0)
    document = json.loads(routers_share.document(ready_model(), "Hello", settings))
    side = document["sides"]["A"]
    assert document["kind"] == "routers" and document["sentence"] == "Hello"
    assert len(side["token"]) == len(side["expert"]) == len(side["weight"]) == 10
    assert np.bincount(np.array(side["expert"])[side["kept"]], minlength=8).tolist() == side["load"]
    assert (
        routers_share.as_json(put_side_by_side(ready_model(), "Hello", settings))["words"]
        in document["words"]
    )


def by_hand(choices: list[tuple[int, int, float, bool]], n_tokens: int = 4, **about) -> Side:
    """A side whose choices (character, expert, weight, kept) are given, of three experts."""
    token_A, expert_A, weight_A, kept_A = map(np.array, zip(*choices, strict=True))
    routing = Routing(
        n_tokens, 3, token_A, expert_A, weight_A, np.zeros(len(choices), int), kept_A.astype(bool)
    )
    weight_NE = np.zeros((n_tokens, 3))
    for n, e, weight, kept in choices:
        weight_NE[n, e] += weight if kept else 0
    given = dict(router=make_router("topk"), fresh=(), looks_ahead=False) | about
    return Side(routing=routing, weight_NE=weight_NE, **given)


def compared(a: Side, b: Side) -> SideBySide:
    """Two sides, with what differs counted as sets of pairs."""
    pairs = [set(map(tuple, np.argwhere(side.chosen_NE).tolist())) for side in (a, b)]
    changed_N = np.array([any(n == at for at, _ in pairs[0] ^ pairs[1]) for n in range(4)])
    counts = {"only A": len(pairs[0] - pairs[1]), "only B": len(pairs[1] - pairs[0]),
              "both": len(pairs[0] & pairs[1])}  # fmt: skip
    return SideBySide(SideSettings(), list("abcd"), a, b, changed_N, counts)


FULL = [(0, 0, 0.75, True), (0, 1, 0.25, True), (1, 0, 1.0, True), (2, 0, 0.5, True),
        (3, 1, 0.5, True)]  # fmt: skip
LOST = [(0, 0, 0.75, True), (0, 2, 0.5, False), (1, 0, 1.0, True), (2, 2, 0.125, False),
        (3, 0, 0.5, False)]  # fmt: skip


def test_shares_are_of_all_that_was_asked_for():
    side = by_hand(LOST)
    assert side.share_E.tolist() == [0.4, 0, 0] and side.asked_E.tolist() == [0.6, 0, 0.4]
    assert (side.dropped, side.unserved) == (3, 2)
    assert side.chosen_NE.tolist() == [[True, False, False]] * 2 + [[False] * 3] * 2
    assert side.experts_words() == [
        "A (0.75), C (0.50, dropped)", "A (1.00)", "C (0.12, dropped)", "A (0.50, dropped)"
    ]  # fmt: skip
    assert by_hand(FULL[:2]).experts_words() == ["A (0.75), B (0.25)", "none", "none", "none"]


def test_words_tell_what_changed_and_what_was_lost():
    words = compared(by_hand(FULL), by_hand(LOST)).words()
    assert words == (
        "3 of 4 characters go to other experts. A's busiest expert has 60.0% of the work, B's "
        "busiest expert has 40.0%; fair would be 33.3%. B drops 3 choices. B leaves 2 characters "
        "without any expert."
    )
    one = [*FULL[:-1], (3, 1, 0.5, False)]
    words = compared(by_hand(one), by_hand(FULL)).words()
    assert words.startswith("1 of 4 characters goes to other experts.")
    assert words.endswith("A drops 1 choice. A leaves 1 character without any expert.")
    same = compared(by_hand(FULL), by_hand(FULL)).words()
    assert same.startswith("Both do just the same: the same experts with the same weights. A's")
    for change, start in ((1e-3, "All 4 characters go to the same experts; only"),
                          (1e-7, "Both do just the same")):  # fmt: skip
        other = by_hand([*FULL[:-1], (3, 1, 0.5 + change, True)])
        assert compared(by_hand(FULL), other).words().startswith(start)
        assert compared(other, by_hand(FULL)).words().startswith(start)


def test_differences_name_every_choice_of_either():
    assert compared(by_hand(FULL), by_hand(LOST)).differences() == [
        (0, 0, "both"), (0, 1, "only A"), (1, 0, "both"), (2, 0, "only A"), (3, 1, "only A")
    ]  # fmt: skip
    assert (2, 0, "only B") in compared(by_hand(LOST), by_hand(FULL)).differences()


def test_the_table_of_both_is_counted_by_hand():
    a, b = by_hand(FULL), by_hand(LOST, looks_ahead=True)
    rows = {row[""]: (row["A"], row["B"]) for row in compared(a, b).rows()}
    assert rows == {
        "Experts per character": ("1 to 2, mean 1.25", "0 to 1, mean 0.50"),
        "A character's weights add up to": ("0.50 to 1.00, mean 0.75", "0.00 to 1.00, mean 0.44"),
        "Busiest expert's share of the work": ("60.0%", "40.0%"),
        "Idle experts": ("1", "2"),
        "Characters without any expert": ("0", "2"),
        "Choices dropped": ("0 of 5", "3 of 5"),
        "May look at later characters": ("no", "yes"),
    }
    even = by_hand([(n, n % 3, 1.0, True) for n in range(4)])
    rows = {row[""]: row["A"] for row in compared(even, even).rows()}
    assert rows["Experts per character"] == "1"
    assert rows["A character's weights add up to"] == "1.00"
    special = by_hand(FULL, router=make_router("longcat"))
    both = (compared(a, special), compared(special, a))
    n_special = str(len(special.router.specials))
    assert int(n_special) > 0
    label = "Experts that compute nothing (the last ones)"
    assert [one.rows()[-1] for one in both] == [
        {"": label, "A": "0", "B": n_special},
        {"": label, "A": n_special, "B": "0"},
    ]


def test_each_kind_of_router_says_what_it_sees_and_what_was_trained():
    causal, ahead = make_router("topk"), make_router("expert_choice")
    assert causal.causal and not ahead.causal
    told = [
        by_hand(FULL, router=router, looks_ahead=looks).sight_words()
        for router, looks in ((causal, False), (causal, True), (ahead, True))
    ]
    assert told[0].startswith("It looks back only: no later character changes")
    assert told[1].startswith("Its rule looks back only, but with this limit a later character")
    assert told[2].startswith("It may look at later characters")
    fresh = [((), ""), (("noise_DE",), "; what else it learns is untrained")]
    for names, rest in fresh:
        assert by_hand(FULL, fresh=names).origin_words() == f"Its gate is the trained one{rest}."
    assert "of another shape" in by_hand(FULL, fresh=("gate_DE",)).origin_words()


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("k", "Experts per character", range(1, 9)),
        ("factor", "Experts per character, on average", np.arange(1, 17) / 4),
        ("p", "Share of the probability to reach", np.arange(1, 21) / 20),
        ("threshold", "Least share that lets an expert in", np.arange(21) / 20),
    ],
)
def test_a_dial_turns_through_all_that_is_allowed(name, label, values):
    dial = side_by_side.DIALS[name]
    steps = np.arange(dial.low, dial.high + dial.step / 2, dial.step)
    assert dial.label == label and steps == pytest.approx(list(values))
    assert (dial.step == 1) == isinstance(dial.step, int)
    routers = [router for router in ROUTERS if name in dials(router)]
    assert routers and set(side_by_side.DIALS) >= set(dials(routers[0]))
    for value in (dial.low, dial.high):
        assert dict(make_router(routers[0], **{name: value}).options())[name] == value


def test_what_both_share_makes_the_limit():
    assert SideSettings().capacity() is side_by_side.NO_LIMIT
    assert "none" not in side_by_side.POLICIES and "order" in side_by_side.POLICIES
    assert SideSettings() == SideSettings(TOPK, EXPERT_CHOICE, None, "order", False, 0)
    limit = SideSettings(room=1.5, drop="score").capacity()
    assert (limit.factor, limit.drop) == (1.5, "score")


def test_an_export_of_both_is_plain_and_whole():
    both = put(Choice("topk", (("k", 1),)), Choice("noisy_topk"), room=0.5, drop="score")
    plain = routers_share.as_json(both)
    assert json.loads(json.dumps(plain)) == plain
    assert list(plain["sides"]) == ["A", "B"]
    assert "".join(plain["tokens"]) == DEFAULT_SENTENCE.replace(" ", both.tokens[3])
    for one, side in zip(plain["sides"].values(), (both.a, both.b), strict=True):
        assert one["router"] == side.router.name and one["source"] == side.router.source
        assert one["options"]["k"] == side.router.k and set(one["options"]) >= set(
            side.router.options()
        )
        assert one["fresh_parameters"] == list(side.fresh)
        assert one["looks_ahead"] is True
        choices = list(zip(one["token"], one["expert"], one["kept"], strict=True))
        assert one["asked"] == [sum(e == at for _, e, _ in choices) for at in range(8)]
        assert one["load"] == [sum(e == at and kept for _, e, kept in choices) for at in range(8)]
        assert one["weight"] == side.routing.weight_A.tolist()
    pairs = [
        {(n, e) for n, e, kept in zip(one["token"], one["expert"], one["kept"]) if kept}
        for one in plain["sides"].values()
    ]
    changed = {n for n, _ in pairs[0] ^ pairs[1]}
    assert plain["changed"] == [n in changed for n in range(N)]
    assert plain["counts"]["only A"] == len(pairs[0] - pairs[1]) and plain["words"] == both.words()
