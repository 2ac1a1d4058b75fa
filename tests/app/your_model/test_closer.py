"""What one looks closer at, counted another way."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from moe import kernels
from moe.app.your_model import closer, upload
from moe.app.your_model import story as your_model
from moe.app.your_model.story import Line, YourModel
from moe.cluster import homes
from moe.kernels.residence import Visits
from moe.traces import Trace, make_trace
from tests.app.your_model.ragged import chosen, loads, ragged
from tests.app.your_model.test_story import made


@pytest.fixture(scope="module")
def model() -> YourModel:
    return YourModel.of(ragged())


def test_lines_over_the_layers(model: YourModel) -> None:
    report = model.report.layers
    for title, field in (("MaxVio", "max_vio"), ("Experts without work", "dead_share")):
        line = closer.line(model, title, field)
        assert (line.title, line.layers, line.chance_L) == (title, (3, 5, 7, 9), ())
        assert line.value_L == tuple(getattr(layer, field) for layer in report)
    assert closer.line(model, "Mutual information", "router_information").layers == ()
    with_logits = YourModel.of(made())
    line = closer.line(with_logits, "Mutual information", "router_information")
    assert line.value_L == tuple(one.router_information for one in with_logits.report.layers)
    assert line.title == "Mutual information" and line.layers == (1, 2, 3)
    assert f"; {math.log(8):.2f} if each is sure" in closer.information_words(model)
    first, both = closer.repetition(model)
    for line, name in ((first, "first"), (both, "any")):
        assert line.value_L == tuple(getattr(one, f"repeat_{name}") for one in report)
        assert line.chance_L == tuple(getattr(one, f"chance_repeat_{name}") for one in report)
    assert (first.title, both.title) == ("Same first choice", "Any choice in common")
    (alone,) = closer.repetition(YourModel.of(made(k=1)))
    assert alone.title == "Same first choice"
    line = Line("It", (1, 2), (0.25, 0.5), (0.1, 0.2))
    assert line.words() == "It: 37.5% on average, by chance 15.0%."
    assert line.words(percent=False) == "It: 0.38 on average, by chance 0.15."
    assert Line("It", (1,), (0.25,)).words() == "It: 25.0%."


@pytest.mark.parametrize("most", [2, 8])
def test_only_the_busiest_of_many_are_shown(
    model: YourModel, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(your_model, "MAX_BARS", most)
    for name in ("MAX_PAIRED", "MAX_COLUMNS"):
        monkeypatch.setattr(closer, name, most)
    trace, load = model.trace, loads(model.trace, 1)
    shown = sorted(sorted(range(8), key=lambda e: (-load[e], e))[:most])
    drawn, pairs, domains = model.loads(1), closer.pairs(model, 1, False), closer.domains(model, 1)
    assert drawn.experts == pairs.experts == domains.experts == tuple(shown)
    assert drawn.value_RE[0] == pytest.approx([load[e] / (sum(load) / 8) for e in shown])
    assert (f" Shown are the busiest {most}." in drawn.words) == (most < 8)
    assert (f" Shown are the {most} busiest." in pairs.words) == (most < 8)
    rows = chosen(trace, 1)
    for adjacent in (False, True):
        value = closer.pairs(model, 1, adjacent).value_RE
        for (i, a), (j, b) in itertools.product(enumerate(shown), repeat=2):
            if a == b:
                want = 0 if adjacent else float(load[a] > 0)
            elif adjacent:
                want = sum({a, b} == {*p} for row in rows for p in itertools.pairwise(row))
                want /= max(load[a], 1)
            else:
                want = sum(a in row and b in row for row in rows) / max(load[a], 1)
            assert value[i, j] == pytest.approx(want)
    for d, label in enumerate("abc"):
        own = [e for t, row in enumerate(rows) for e in row if trace.domain_N[t] == d]
        want = [8 * own.count(e) / len(own) for e in shown]
        assert domains.rows[d] == label and domains.value_RE[d] == pytest.approx(want)


def test_kinds_of_text_in_words(model: YourModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, domain_N, layer = chosen(model.trace, 2), model.trace.domain_N, model.report.layers[2]
    shares = {}
    for d, e in itertools.product(range(3), range(8)):
        own = [x for t, row in enumerate(rows) for x in row if domain_N[t] == d]
        shares[d, e] = own.count(e) / len(own)
    d, e = max(shares, key=lambda cell: shares[cell])
    assert closer.domains(model, 2).words == (
        f"Strongest: expert {e} gets {8 * shares[d, e]:.1f} times its fair share of “{'abc'[d]}”; "
        f"with tokens shuffled the strongest would have {layer.chance_strongest_domain:.1f} times. "
        f"Knowing the expert tells {layer.domain_information:.3f} nats about the kind of text; "
        f"with tokens shuffled {layer.chance_domain_information:.3f}."
    )
    monkeypatch.setattr(closer, "MAX_MARKS", 6)
    assert len(closer.domains(model, 2).experts) == 2
    monkeypatch.setattr(closer, "MAX_MARKS", 2)
    few = closer.domains(model, 2)
    assert few.rows == ("a", "b") and len(few.experts) == 1
    unnamed = replace(model.trace, domain_N=None, domains=())
    assert (
        closer.domains(YourModel.of(unnamed), 0) is None
        and closer.repetition_rows(YourModel.of(unnamed)) == []
    )
    idle = make_trace(
        np.full((1, 2, 1), -1), np.zeros((1, 2, 1)), 4, domain_N=np.zeros(2, int), domains=["a"]
    )
    assert closer.domains(YourModel.of(idle), 0) is None


def test_firm_tokens_are_listed(model: YourModel, monkeypatch: pytest.MonkeyPatch) -> None:
    trace, at = model.trace, 1
    firsts: dict[int, list[int]] = {}
    for token, row in zip(trace.token_ids_N.tolist(), chosen(trace, at)):
        if row:
            firsts.setdefault(token, []).append(row[0])
    listed = []
    for token, experts in firsts.items():
        if len(experts) >= 10:
            expert, n = min(Counter(experts).items(), key=lambda item: (-item[1], item[0]))
            listed.append((-n / len(experts), -len(experts), token, expert))
    listed.sort()
    assert 5 < len(listed) <= 14
    found = closer.vocabulary(model, at)
    assert found.rows == [
        {
            "Token": f"“t{token}'”", "Seen": f"{-seen:,} times", "Its expert": str(expert),
            "Goes there": f"{-share:.0%}",
        }
        for share, seen, token, expert in listed[:12]
    ]  # fmt: skip
    mean = -sum(row[0] for row in listed) / len(listed)
    chance = model.report.layers[at].chance_vocabulary
    assert chance > 0.1 and found.words == (
        f"The {len(listed)} tokens that occur ten times or more go to their favourite expert "
        f"{mean:.0%} of the time; with tokens shuffled it is {chance:.0%}. "
        f"The firmest {min(len(listed), 12)} are these:"
    )
    monkeypatch.setattr(closer, "LISTED", 3)
    assert len(closer.vocabulary(model, at).rows) == 3
    few = closer.vocabulary(YourModel.of(trace.part(np.arange(12))), at)
    assert few.rows == [] and few.words.startswith("No token occurs ten times")
    none = closer.vocabulary(YourModel.of(replace(trace, token_ids_N=None)), at)
    assert none.rows == [] and none.words.endswith("cannot tell.")


def test_repeats_by_kind_of_text(model: YourModel) -> None:
    trace = model.trace
    rows = closer.repetition_rows(model)
    assert [list(row) for row in rows] == [["Text", "Layer 3", "Layer 5", "Layer 9"]] * 3
    for at in (0, 1, 3):
        own = chosen(trace, at)
        for d, label in enumerate("abc"):
            near = [
                own[t][0] == own[t + 1][0]
                for t in range(299)
                if own[t] and own[t + 1] and trace.sequence_N[t] == trace.sequence_N[t + 1]
                and trace.domain_N[t] == trace.domain_N[t + 1] == d
            ]  # fmt: skip
            assert rows[d]["Text"] == label
            assert rows[d][f"Layer {trace.layers[at]}"] == f"{np.mean(near):.1%}"
    alone = trace.part(np.array([0, 60, 120, 200, 280]))
    assert {row["Layer 3"] for row in closer.repetition_rows(YourModel.of(alone))} == {"-"}


@pytest.mark.parametrize("adjacent", [False, True])
def test_closest_pairs_in_words(model: YourModel, adjacent: bool) -> None:
    layer = model.report.layers[0]
    best = (layer.top_adjacent_pairs if adjacent else layer.top_pairs)[0]
    chance = layer.chance_adjacent_pair if adjacent else layer.chance_pair
    drawn = closer.pairs(model, 0, adjacent)
    assert drawn.value_RE[best.expert, best.other] == pytest.approx(
        drawn.value_RE[~np.eye(8, dtype=bool)].max()
    )
    assert drawn.rows == tuple("01234567") and drawn.words == (
        f"Closest: {best.share:.0%} of the tokens of expert {best.expert} also go to expert "
        f"{best.other}; the mean pair, if experts were dealt at random, would have {chance:.1%}."
    )
    single = closer.pairs(YourModel.of(made(k=1)), 0, adjacent)
    assert single.words.startswith(
        "The mean pair, if experts were dealt at random, would have 0.0%"
    )


@pytest.mark.parametrize("n_tokens", [1, 2, 5, 300])
def test_devices_are_measured_on_the_other_stretches(n_tokens: int) -> None:
    model = YourModel.of(ragged().part(np.arange(n_tokens)))
    stretch = max(1, min(64, n_tokens // 2))
    rows = chosen(model.trace, 1)
    parts = [Counter(), Counter()]
    for t, row in enumerate(rows):
        parts[t // stretch % 2].update(row)
    seen, other = ([part[e] for e in range(8)] for part in parts)
    for kind, text, device in (
        (homes.IN_ORDER, "", [0, 0, 0, 0, 1, 1, 1, 1]),
        (homes.BALANCED, "", homes.balanced(np.array(seen), 2).tolist()),
        (homes.WRITTEN, "1 0 2 0 1 0 2 1", [1, 0, 2, 0, 1, 0, 2, 1]),
    ):
        drawn = closer.devices(model, 1, kind, 2, text)
        load = [sum(n for n, d in zip(other, device) if d == one) for one in range(max(device) + 1)]
        mean = sum(load) / len(load)
        factor = max(load) / mean if mean else 1
        assert drawn.rows == ("load",) and drawn.experts == tuple(range(len(load)))
        assert drawn.value_RE[0] == pytest.approx([n / mean if mean else 0 for n in load])
        assert drawn.words.startswith(
            f"Overload factor {factor:.2f}: the busiest device, number {load.index(max(load))}, "
            f"has {factor:.2f} times the mean load"
        )
        assert f"every second stretch of {stretch} tokens" in drawn.words


def test_saturation_against_an_earlier_trace(model: YourModel) -> None:
    late = model.trace
    rng = np.random.default_rng(4)
    order = rng.permutation(300)
    early = replace(
        late, expert_LNK=late.expert_LNK[:, order], weight_LNK=late.weight_LNK[:, order]
    )
    line = closer.saturation(model, YourModel.of(early))
    assert line.title == "Already chosen" and line.layers == late.layers
    for at in range(4):
        pairs = [(set(a), set(b)) for a, b in zip(chosen(early, at), chosen(late, at)) if b]
        assert line.value_L[at] == pytest.approx(np.mean([len(a & b) / len(b) for a, b in pairs]))
        assert line.chance_L[at] == pytest.approx(np.mean([len(a) / 8 for a, _ in pairs]))


def kept_by_hand(trace: Trace, slots: int, pinned: bool) -> float:
    """Share of requests that a cache meets: each kind of text's second half, layer by layer."""
    hits = requests = 0
    for at in range(trace.n_layers):
        rows = chosen(trace, at)
        for label in set(trace.domain_N.tolist()):
            own = [row for row, of in zip(rows, trace.domain_N.tolist()) if of == label]
            past = Counter(itertools.chain(*own[: len(own) // 2]))
            there: list[int] = []
            for expert in itertools.chain(*own[len(own) // 2 :]):
                requests += 1
                if expert in there:
                    hits += 1
                    there.remove(expert)
                there.append(expert)  # the latest stands last
                if pinned:  # the favourite stands last
                    there.sort(key=lambda e: (past[e], -e))
                del there[:-slots]
    return hits / requests


def test_a_little_memory_keeps_what_is_counted_by_hand(model: YourModel) -> None:
    found = closer.little_memory(model)
    assert [row["Room for"] for row in found.rows] == ["2 of 8 experts", "4 of 8 experts"]
    for row, slots in zip(found.rows, (2, 4), strict=True):
        latest, favourites = (kept_by_hand(model.trace, slots, pinned) for pinned in (False, True))
        assert row["The latest used are there"] == f"{latest:.0%}"
        assert row["The favourites of the first half"] == f"{favourites:.0%}"
        assert row["Any so many"] == f"{slots / 8:.0%}"
        assert slots / 8 < favourites < 1
    assert "The first half of each kind of text is the past" in found.words
    assert "150 tokens in every layer" in found.words


def test_a_little_memory_is_tried_on_no_more_than_there_is_time_for(
    model: YourModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = model.trace  # 4 layers of 300 tokens in 3 kinds of text, up to 3 choices each
    for name, value in (("CHOICE_LOOKS", 4), ("TASK_LOOKS", 100)):
        monkeypatch.setattr(upload, name, value)
    layer = 300 * 3 * (2 + 4 + 4) + 3 * 100
    for looks, layers, n_tokens in (
        (4 * layer, (3, 5, 7, 9), 300), (4 * layer - 1, (3, 7, 9), 300), (2 * layer, (5, 9), 300),
        (layer, (7,), 300), (3 * 10 * 100 + 300, (7,), 100),
    ):  # fmt: skip
        monkeypatch.setattr(upload, "MAX_LOOKS", looks)
        part = upload.for_cache(trace, [2, 4])
        assert (part.layers, part.n_tokens) == (layers, n_tokens)
        said = closer.little_memory(model).words
        assert ("every layer" if looks == 4 * layer else f"in {len(layers)} layers") in said
    monkeypatch.setattr(upload, "MAX_LOOKS", 10**9)
    monkeypatch.setattr(upload, "MOST_TASKS", 2)
    assert set(upload.for_cache(trace, [2, 4]).domain_N.tolist()) == {0, 1}


def test_a_little_memory_of_too_little_text_says_so() -> None:
    lone = replace(made(n_tokens=2), domain_N=np.array([0, 1], np.int32))
    found = closer.little_memory(YourModel.of(lone))
    assert not found.rows and "too short" in found.words
    alone = replace(made(n_tokens=9), domain_N=None, domains=())
    assert (
        "The first half of the text is the past" in closer.little_memory(YourModel.of(alone)).words
    )


@pytest.mark.parametrize(
    ("layers", "n", "n_experts", "k"), [(4, 30_000, 4, 1), (4, 900, 1024, 32), (200, 600, 64, 8)]
)
def test_the_largest_files_ask_little_of_a_little_memory(
    model: YourModel, monkeypatch: pytest.MonkeyPatch, layers: int, n: int, n_experts: int, k: int
) -> None:
    """Of what the page lets pass: a fifth of a second, counted in places that are looked at."""
    rng = np.random.default_rng(0)
    choices = (rng.integers(0, n_experts, (layers, n, 1)) + np.arange(k)) % n_experts
    many = make_trace(
        choices, np.ones(choices.shape), n_experts, domain_N=np.arange(n) * 300 // n,
        domains=[f"d{i}" for i in range(300)],
    )  # fmt: skip
    looks: list[int] = []

    def count(
        expert_NK: np.ndarray, worth: object, ahead: object, slots: int, *_: object
    ) -> Visits:
        looks.append(expert_NK.size * slots)
        return Visits(0, 0, expert_NK.size)

    monkeypatch.setattr(kernels, "replay_cache", count)
    assert closer.little_memory(replace(model, trace=many)).rows
    assert sum(looks) < upload.MAX_LOOKS
    # Four replays of each kind of text in each layer: what they cost beside that is bounded.
    assert len(looks) * upload.TASK_LOOKS <= 4 * upload.MAX_LOOKS
