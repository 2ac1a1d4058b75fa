"""Everything that the page on your own model says of a small trace, counted once more by hand."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moe
from moe.app.your_model import closer, opening, upload, weights
from moe.app.your_model import story as your_model
from moe.app.your_model import text as your_text
from moe.app.your_model.story import Line, YourModel, load_words
from moe.checkpoints.archives import open_archive
from moe.checkpoints.load import read_layer
from moe.cluster import homes
from moe.errors import CheckpointError
from moe.traces import Trace, make_trace
from moe.traces.npz import pack
from moe.traces.report import LEGEND, analyse_trace, read_placement, top_pairs
from tests.app.your_model.test_story import PARITY, made, zipped


def ragged(n_layers: int = 4, n: int = 300, n_experts: int = 8, most: int = 3) -> Trace:
    """Tokens of one to three experts, some of none, in three kinds of text of unequal length."""
    rng = np.random.default_rng(12)
    lean_LE = rng.standard_normal((n_layers, 1, n_experts))
    ids_N, domain_N = (
        rng.integers(0, 14, n),
        np.repeat([0, 1, 2], [n // 2, n // 3, n - n // 2 - n // 3]),
    )
    logits = rng.standard_normal((n_layers, n, n_experts)) + lean_LE
    logits[:, np.arange(n), ids_N % n_experts] += 1.5
    logits[:, :, n_experts - 1] -= 99  # without work
    experts = np.argsort(-logits, axis=2)[:, :, :most]
    listed = np.arange(most) < rng.integers(0, most + 1, (n_layers, n, 1))
    return make_trace(
        np.where(listed, experts, -1), np.where(listed, 0.25, 0.0), n_experts, ids_N, model="r",
        layers=[2 * i + 3 for i in range(n_layers)], tokens=[f"t{i}'" for i in ids_N],
        sequence_N=np.arange(n) // 37, domain_N=domain_N, domains=["a", "b", "c"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def model() -> YourModel:
    return YourModel.of(ragged())


def chosen(trace: Trace, at: int) -> list[list[int]]:
    return [[e for e in row if e >= 0] for row in trace.expert_LNK[at].tolist()]


def loads(trace: Trace, at: int) -> list[int]:
    count = Counter(itertools.chain(*chosen(trace, at)))
    return [count[e] for e in range(trace.n_experts)]


@pytest.mark.parametrize("at", range(4))
def test_figures_of_a_layer(model: YourModel, at: int) -> None:
    load = loads(model.trace, at)
    mean, total = sum(load) / 8, sum(load)
    entropy = -sum(c / total * math.log(c / total) for c in load if c)
    found = {name: (value, about) for name, value, about in model.figures(at)}
    assert found["MaxVio"][0] == f"{max(load) / mean - 1:.2f}"
    assert found["Experts without work"][0] == f"{load.count(0) / 8:.0%}"
    assert found["Share of the busiest"] == (f"{max(load) / total:.1%}", "The fair share is 12.5%.")
    assert found["As even as"][0] == f"{math.exp(entropy):.1f} experts"
    assert model.layer_name(at) == f"layer {2 * at + 3}" and model.first_shown == 2
    drawn = model.loads(at)
    assert drawn.rows == (f"layer {2 * at + 3}",) and drawn.experts == tuple(range(8))
    assert drawn.value_RE[0] == pytest.approx([c / mean for c in load])
    assert drawn.words == model.load_words(at) == (
        f"Expert {load.index(max(load))} is the busiest, with {max(load) / mean:.2f} times its "
        "fair share; 1 of 8 experts gets nothing."
    )  # fmt: skip


def test_words_on_a_load() -> None:
    assert load_words(np.array([2, 1])).endswith(
        "1.33 times its fair share; each of the 2 experts gets some work."
    )
    assert load_words(np.array([0, 4, 0, 0])).endswith("3 of 4 experts get nothing.")


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


def test_all_layers_at_once(model: YourModel, monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.array([sorted(loads(model.trace, at), reverse=True) for at in range(4)])
    ratio = table / table.mean(axis=1, keepdims=True)
    drawn = model.all_loads()
    worst = int(ratio[:, 0].argmax())
    assert drawn.value_RE == pytest.approx(ratio) and drawn.rows == ("3", "5", "7", "9")
    assert drawn.experts == tuple(f"place {i}" for i in range(1, 9))
    assert drawn.words == (
        f"The most uneven is layer {2 * worst + 3}, where one expert has {ratio[worst, 0]:.1f} "
        "times its fair share."
    )
    for marks, columns, names in (
        (12, 3, ("places 1 to 3", "places 4 to 6", "places 7 to 8")),
        (3, 1, ("places 1 to 8",)),
    ):
        monkeypatch.setattr(your_model, "MAX_MARKS", marks)
        few = model.all_loads()
        assert few.experts == names and few.value_RE.shape == (4, columns)
        groups = np.array_split(np.arange(8), columns)
        assert few.value_RE == pytest.approx(
            np.stack([ratio[:, g].mean(axis=1) for g in groups], 1)
        )
    monkeypatch.setattr(your_model, "MAX_COLUMNS", 5)
    monkeypatch.setattr(your_model, "MAX_MARKS", 100)
    assert len(model.all_loads().experts) == 5
    idle = make_trace(np.full((1, 2, 1), -1), np.zeros((1, 2, 1)), 4)
    assert not YourModel.of(idle).all_loads().value_RE.any()


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
        (homes.OWN, "1 0 2 0 1 0 2 1", [1, 0, 2, 0, 1, 0, 2, 1]),
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


def test_what_is_analysed_goes_as_json_and_comes_back(model: YourModel) -> None:
    whole = ragged()
    assert model.about == whole.describe() and not model.is_part
    data = json.loads(json.dumps(model.as_json()))
    assert data["report"]["layers"][1]["load"] == loads(model.trace, 1)
    assert [check["name"] for check in data["myths"]] == [c.name for c in model.myths]
    again = opening._model(model.trace, data | {"about": "about", "is_part": True})
    assert again.is_part and again.about == "about"
    for name in ("report", "myths"):
        assert getattr(again, name) == getattr(model, name)


def test_a_part_of_a_large_file_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload.shortened, "__defaults__", (250 * (4 * 3 + upload.TOKEN_COST),))
    big = YourModel.of(ragged())
    assert big.is_part and big.about == (
        f"{ragged().describe()}. Of every document only the first part is looked at, 250 tokens "
        "in all."
    )


# The text ---------------------------------------------------------------------------------------


def test_pages_of_a_text(model: YourModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(your_text, "PAGE", 50)
    monkeypatch.setattr(your_text, "MAX_NAMED", 2)
    trace = model.trace
    assert your_text.texts(trace) == ["everything", "a", "b", "c"]
    assert your_text.texts(replace(trace, domain_N=None, domains=())) == ["everything"]
    starts = {37 * i for i in range(9)}
    for of, places in (
        ("everything", range(300)),
        ("a", range(150)),
        ("b", range(150, 250)),
        ("c", range(250, 300)),
    ):
        n_pages = -(-len(places) // 50)
        assert your_text.n_pages(trace, of) == n_pages
        assert your_text.positions(trace, of).tolist() == [*places]
        for page, focus in itertools.product(range(1, n_pages + 1), (None, 2)):
            shown = places[(page - 1) * 50 : page * 50]
            found = your_text.text_page(trace, 1, of, page, focus)
            lit = 0
            for t, token in zip(shown, found.tokens, strict=True):
                row = chosen(trace, 1)[t]
                told = [f"expert {e} (25%)" for e in row[:2]]
                told += [f"and {len(row) - 2} more"] if len(row) > 2 else []
                assert token.words == (", ".join(told) or "no expert")
                assert token.text == trace.tokens[t] and token.begins == (t in starts)
                assert token.expert == (focus if focus is not None else row[0] if row else -1)
                assert token.lit == (bool(row) if focus is None else focus in row)
                lit += token.lit
            if focus is not None:
                assert found.words == (
                    f"Expert 2 is among the choices of {lit} of these {len(shown)} tokens."
                )
            else:
                assert "expert that got it first" in found.words
        for page in (0, n_pages + 1):
            with pytest.raises(ValueError, match=f"page: got {page}"):
                your_text.text_page(trace, 1, of, page, None)
    assert your_text.n_pages(trace.part(np.arange(0)), "everything") == 1
    token = your_text.Token("a", 1, "b")
    assert token.lit and not token.begins


# The file ---------------------------------------------------------------------------------------


def test_a_sample_has_an_earlier_one_of_the_same_text() -> None:
    titles = {sample.name: title for title, sample in upload.TITLES.items()}
    assert upload.earlier_of(titles["balanced"]) == titles["early"]
    assert upload.earlier_of(titles["early"]) is upload.earlier_of(titles["collapsed"]) is None


@pytest.mark.parametrize("ending", ["npz", "parquet", "csv", "zip", "safetensors", "txt", ""])
def test_files_are_told_by_their_endings(ending: str) -> None:
    for name in (f"a.{ending}", f"A.b.{ending.upper()}"):
        assert upload.is_checkpoint(name) == (ending in ("zip", "safetensors"))
        assert upload.is_ratings(name) == (ending == "csv")
        if ending not in ("npz", "parquet", "csv"):
            with pytest.raises(ValueError, match=r"ends in \.npz, \.parquet, \.csv"):
                upload.read_trace(name, b"", 2)
    long = "x" * 100 + ".txt"
    with pytest.raises(ValueError, match=f"file: got '{long[-60:]}'"):
        upload.read_trace(long, b"", 2)
    raw = b"logit_0,logit_1\n1,2\n"
    assert upload.read_trace(f"{'y' * 100}.csv", raw, 1).model == "y" * 80


@pytest.mark.parametrize("what", ["experts", "layers", "domains", "sequences"])
def test_as_much_as_is_allowed_is_opened(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = ragged()
    n = {"experts": 8, "layers": 4, "domains": 3, "sequences": 9}[what]
    monkeypatch.setitem(upload.MOST, what, n)
    upload._check_sizes(trace)
    monkeypatch.setitem(upload.MOST, what, n - 1)
    with pytest.raises(CheckpointError, match=f"file: got {n} {what}, allowed are {n - 1}"):
        upload._check_sizes(trace)


@pytest.mark.parametrize("tokens", [1, 8, 9, 10, 100, 299, 300, 301])
def test_a_part_is_the_begin_of_every_document(tokens: int) -> None:
    trace = ragged()
    per_token = 4 * 3 + 8
    for most in (tokens * per_token, tokens * per_token + per_token - 1):
        part = upload.shortened(trace, most)
        if tokens >= 300:
            assert part is trace
            continue
        assert part.n_tokens == tokens
        want = [
            t for s in range(9) for place, t in enumerate(range(37 * s, min(37 * s + 37, 300)))
            if place * 300 < (37 if s < 8 else 4) * tokens
        ]  # fmt: skip
        at = want[:tokens]
        assert part.expert_LNK.tolist() == trace.expert_LNK[:, at].tolist()
        assert part.tokens == tuple(trace.tokens[t] for t in at)


def test_tokens_are_bounded_by_the_cells_of_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = ragged()
    monkeypatch.setattr(upload, "MAX_CELLS", 8 * 300)
    assert upload.shortened(trace) is trace
    monkeypatch.setattr(upload, "MAX_CELLS", 8 * 300 - 1)
    assert upload.shortened(trace).n_tokens == 299
    monkeypatch.setattr(upload, "MAX_CELLS", 7)
    with pytest.raises(CheckpointError, match="got 300 tokens with 12 choices each, allowed are"):
        upload.shortened(trace)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="got 0 tokens with 0 choices each"):
        upload.shortened(trace.part(np.arange(0)))


@pytest.mark.parametrize(
    ("budget", "layers", "n_tokens"),
    [
        (4 * 300 * 11, (3, 5, 7, 9), 300), (4 * 300 * 11 - 1, (3, 7, 9), 300),
        (300 * 11, (7,), 300), (2200, (7,), 200),
    ],
)  # fmt: skip
def test_beliefs_are_measured_on_as_many_layers_as_there_is_time_for(
    budget: int, layers: tuple[int, ...], n_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = ragged()
    monkeypatch.setattr(upload, "MYTH_CHOICES", budget)
    part = upload.for_beliefs(trace)
    at = [trace.layers.index(layer) for layer in layers]
    assert part.layers == layers and part.n_tokens == n_tokens
    if n_tokens == 300:
        assert part.expert_LNK.tolist() == trace.expert_LNK[at].tolist()
        assert part.weight_LNK.tolist() == trace.weight_LNK[at].tolist()


@pytest.mark.parametrize("n_layers", range(7, 30))
def test_some_of_any_number_of_layers_are_taken_evenly_apart(n_layers: int) -> None:
    """Of nine layers, eight are; two of them once rounded to one, and the file was refused."""
    part = upload.for_beliefs(made(n_layers=n_layers, n_tokens=4))
    assert part.n_layers == min(n_layers, 8)
    apart = np.diff(part.layers)
    assert apart.min() >= 1 and apart.max() - apart.min() <= 1
    assert abs((part.layers[0] - 1) - (n_layers - part.layers[-1])) <= 1


def test_a_note_says_on_what_beliefs_were_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = ragged(n=600)
    whole = upload.beliefs(trace)
    assert all("Measured on" not in check.note for check in whole)
    monkeypatch.setattr(upload, "MYTH_LAYERS", 2)
    for check, before in zip(upload.beliefs(trace), whole, strict=True):
        assert check.note == f"{before.note} Measured on 600 tokens in 2 of the layers.".strip()


# Checkpoints ------------------------------------------------------------------------------------


def test_a_checkpoint_in_numbers() -> None:
    raw = zipped(PARITY / "mixtral")
    contents = weights.read_contents(raw)
    config = json.loads((PARITY / "mixtral" / "config.json").read_text())
    n_layers = config["num_hidden_layers"]
    assert contents.words == (
        f"A checkpoint of the kind mixtral, with {len(contents.layers)} of the model's {n_layers} "
        "MoE layers."
    )
    at = contents.layers[0]
    look = weights.run_layer(raw, at)
    with open_archive(raw, weights.LIMITS) as checkpoint:
        layer = read_layer(checkpoint, at)
    experts = sum(a.size for n, a in layer.params.items() if n.startswith(("w_", "b_")))
    router = sum(a.size for n, a in layer.params.items()) - experts
    used = experts * config["num_experts_per_tok"] // config["num_local_experts"]
    assert [tuple(row.values()) for row in look.sizes] == [
        ("Router", f"{router:,}", f"{router:,}"), ("Experts", f"{experts:,}", f"{used:,}"),
        ("All", f"{router + experts:,}", f"{router + used:,}"),
    ]  # fmt: skip
    x = np.random.default_rng(0).standard_normal((2048, layer.d_model)).astype(layer.dtype)
    load = np.bincount(layer.route(x).expert_A, minlength=layer.n_experts)
    assert look.loads.value_RE[0] == pytest.approx(load / load.mean())
    assert look.loads.experts == tuple(range(layer.n_experts))
    assert look.title == f"layer {at}, on random inputs" and look.loads.rows == (f"layer {at}",)
    assert look.loads.words == load_words(load)
    assert look.words.startswith(f"{layer.router.title}: 2 of {layer.n_experts} experts for each")
    with pytest.raises(CheckpointError, match="tensors of none of the"):
        weights.read_contents(moved(PARITY / "mixtral"))


def moved(folder: Path) -> bytes:
    """The checkpoint with all layers' numbers beyond the model's."""
    import io
    import zipfile

    tensors = (folder / "model.safetensors").read_bytes().replace(b".layers.", b".lagers.")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("config.json", (folder / "config.json").read_bytes())
        archive.writestr("model.safetensors", tensors)
    return packed.getvalue()


def test_a_shared_expert_is_counted_apart() -> None:
    layer = moe.MoELayer.init(8, 4, 6, router="topk", n_shared=1)
    size = {"Router": 0, "Shared expert": 0, "Experts": 0}
    for name, array in layer.params.items():
        shared, routed = name.startswith("shared"), name.startswith(("w_", "b_"))
        size["Shared expert" if shared else "Experts" if routed else "Router"] += array.size
    assert all(size.values())
    found = [tuple(row.values()) for row in weights._sizes(layer, 2.0)]
    for row in found[:-1]:
        n = size[row[0]]
        active = round(n * 2 / layer.n_experts) if row[0] == "Experts" else n
        assert row == (row[0], f"{n:,}", f"{active:,}")
    assert found[-1][1] == f"{sum(size.values()):,}" and len(found) == 4


def test_tensors_of_a_bare_file_are_listed_largest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = (PARITY / "mixtral" / "model.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    header.pop("__metadata__", None)
    size = {name: math.prod(told["shape"]) for name, told in header.items()}
    found = weights.read_contents(raw)
    assert (found.model_type, found.layers) == ("", ())
    assert found.words.startswith(
        f"{len(size)} tensors with {sum(size.values()):,} numbers in all."
    )
    numbers = [int(row["Parameters"].replace(",", "")) for row in found.tensors]
    assert numbers == sorted(size.values(), reverse=True)[:50]
    for row in found.tensors:
        told = header[row["Tensor"]]
        assert row["Parameters"] == f"{size[row['Tensor']]:,}"
        assert row["Shape"] == " × ".join(map(str, told["shape"])) and row["Type"] == told["dtype"]
    monkeypatch.setattr(weights, "LISTED", 2)
    assert len(weights.read_contents(raw).tensors) == 2


# Opening apart ----------------------------------------------------------------------------------


def test_what_is_done_apart_comes_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The way through the other process, within this one: names, arguments and answers."""
    asked: list[tuple] = []

    def ask(module: str, raw: bytes, *arguments: str, allowed: Any, waiting: Any) -> bytes:
        assert (module, allowed) == (
            "moe.app.your_model.opening",
            opening.ALLOWED,
        ) and waiting() == "here"
        asked.append(arguments)
        return opening.answer(raw, *arguments)

    monkeypatch.setattr(opening, "ask", ask)
    csv = b"logit_0,logit_1,logit_2\n" + b"1,2,3\n3,1,2\n" * 30
    model = opening.open_trace("d/a\0b.csv", csv, 2, lambda: "here")
    assert asked.pop() == ("trace", "d/ab.csv", "2")
    want = YourModel.of(upload.read_trace("ab.csv", csv, 2))
    assert model.report == want.report and model.myths == want.myths
    assert model.about == want.about and not model.is_part
    assert model.trace.expert_LNK.tolist() == want.trace.expert_LNK.tolist()
    assert model.trace.logits_LNE is None  # which nobody looks at any more
    opening.open_trace("z" * 300 + ".csv", csv, 1, lambda: "here")
    assert asked.pop() == ("trace", "z" * 196 + ".csv", "1")
    raw = zipped(PARITY / "mixtral")
    assert opening.open_contents(raw, lambda: "here") == weights.read_contents(raw)
    look, own = opening.open_layer(raw, 1, lambda: "here"), weights.run_layer(raw, 1)
    assert asked == [("contents",), ("layer", "1")]
    for name in ("title", "sizes", "words"):
        assert getattr(look, name) == getattr(own, name)
    for name in ("rows", "experts", "words"):
        assert getattr(look.loads, name) == getattr(own.loads, name)
    assert (look.loads.value_RE == own.loads.value_RE).all()
    for told in ({}, {"layers": 3}, {"rows": 1, "title": 2}):
        monkeypatch.setattr(opening, "ask", lambda *_, told=told, **__: pack({}, told))
        for opened in (opening.open_contents, lambda raw, wait: opening.open_layer(raw, 0, wait)):
            with pytest.raises(CheckpointError, match="an answer that cannot be read"):
                opened(raw, lambda: "here")


# The report -------------------------------------------------------------------------------------


def test_a_row_of_the_report_has_a_figure_under_each_name(model: YourModel) -> None:
    trace = model.trace
    turned = replace(
        trace, expert_LNK=trace.expert_LNK[:, ::-1], weight_LNK=trace.weight_LNK[:, ::-1]
    )
    report = analyse_trace(trace, turned, read_placement("4", trace))
    for row, layer in zip(report.rows(), report.layers, strict=True):
        best = layer.top_pairs[0]
        assert row == {
            "layer": layer.layer, "MaxVio": layer.max_vio, "idle": f"{layer.dead_share:.0%}",
            "pair": f"{best.expert}-{best.other} {best.share:.0%}",
            "domain": f"{layer.domain_information:.2f} ({layer.chance_domain_information:.2f})",
            "vocab.": f"{layer.vocabulary:.0%} ({layer.chance_vocabulary:.0%})",
            "first": f"{layer.repeat_first:.0%} ({layer.chance_repeat_first:.0%})",
            "any": f"{layer.repeat_any:.0%} ({layer.chance_repeat_any:.0%})",
            "sat.": f"{layer.saturation:.0%} ({layer.chance_saturation:.0%})",
            "dev.": layer.overload,
        }  # fmt: skip
        assert {name for name in row if name not in ("layer", "idle")} <= {
            word.strip(".,:") + ("." if word in ("vocab.:", "sat.:", "dev.:") else "")
            for word in LEGEND.split()
        }
    bare = analyse_trace(replace(trace, token_ids_N=None, domain_N=None, domains=()))
    assert list(bare.rows()[0]) == ["layer", "MaxVio", "idle", "pair", "first", "any"]
    assert report.k == 3 and report.mean_k == pytest.approx(
        sum(len(row) for at in range(4) for row in chosen(trace, at)) / 1200
    )
    # A layer without pairs beside one with some.
    experts = np.array([[[0, 1]] * 3, [[0, -1]] * 3])
    two = make_trace(experts, np.where(experts >= 0, 1.0, 0.0), 2)
    assert [row["pair"] for row in analyse_trace(two).rows()] == ["0-1 100%", "-"]
    gone = np.array([[[0]] * 3, [[-1]] * 3])
    some = analyse_trace(make_trace(gone, np.where(gone >= 0, 1.0, 0.0), 2)).rows()
    assert [row["first"] for row in some] == ["100% (50%)", "-"]


def test_shares_of_very_many_domains_and_experts_are_not_listed(monkeypatch) -> None:
    from moe.traces import report as trace_report

    trace = ragged()
    for most, listed in ((4 * 3 * 8, True), (4 * 3 * 8 - 1, False)):
        monkeypatch.setattr(trace_report, "MAX_SHARES", most)
        layer = analyse_trace(trace).layers[0]
        assert (layer.domain_share is not None) == listed
        assert layer.domain_information is not None


@pytest.mark.parametrize("n_pairs", [1, 2, 5, 60])
@pytest.mark.parametrize("adjacent", [False, True])
def test_strongest_pairs_in_order(n_pairs: int, adjacent: bool) -> None:
    trace = ragged()
    rows, load = chosen(trace, 2), loads(trace, 2)
    count: Counter = Counter()
    for row in rows:
        for a, b in itertools.pairwise(row) if adjacent else itertools.combinations(row, 2):
            count[a, b] += 1
            count[b, a] += 1
    want = sorted((-n / load[a], a, b) for (a, b), n in count.items())[:n_pairs]
    found = top_pairs(trace.routing(2), adjacent, n_pairs)
    assert [(-p.share, p.expert, p.other) for p in found] == want
    assert len(top_pairs(trace.routing(2))) == 5


def test_saturation_by_first_choices_and_of_nobody(model: YourModel) -> None:
    trace = model.trace
    back = replace(
        trace, expert_LNK=trace.expert_LNK[:, ::-1], weight_LNK=trace.weight_LNK[:, ::-1]
    )
    for at, layer in enumerate(analyse_trace(trace, back).layers):
        mine, final = chosen(trace, at), chosen(back, at)
        served = [(a, b) for a, b in zip(mine, final) if b]
        first = [bool(a) and a[0] == b[0] for a, b in served]
        assert layer.saturation_first == pytest.approx(np.mean(first))
        assert layer.chance_saturation_first == pytest.approx(
            np.mean([bool(a) for a, _ in served]) / 8
        )
        assert layer.chance_saturation == pytest.approx(np.mean([len(a) for a, _ in served]) / 8)
    nobody = replace(trace, expert_LNK=0 * trace.expert_LNK - 1, weight_LNK=0 * trace.weight_LNK)
    layer = analyse_trace(trace, nobody).layers[0]
    assert layer.saturation is layer.chance_saturation is layer.saturation_first is None
    with pytest.raises(ValueError, match="seed: got -1"):
        analyse_trace(trace, seed=-1)
    one, other = (analyse_trace(trace, seed=s).layers[0].chance_vocabulary for s in (0, 1))
    assert one != other and analyse_trace(trace).layers[0].chance_vocabulary == one


def test_placements_at_their_edges(tmp_path: Path) -> None:
    trace = ragged()
    assert read_placement("1", trace).tolist() == [[0] * 8] * 4
    assert read_placement("8", trace).tolist() == [[*range(8)]] * 4
    path = tmp_path / "a.json"
    for values, fits in (
        ([7] * 8, True),
        ([8] + [0] * 7, False),
        ([0] * 7, False),
        ([0.0] * 8, False),
    ):
        path.write_text(json.dumps(values))
        if fits:
            assert read_placement(str(path), trace).tolist() == [values] * 4
        else:
            with pytest.raises(CheckpointError, match="placement: got"):
                read_placement(str(path), trace)
    path.write_text(json.dumps([[0] * 8] * 3))
    with pytest.raises(CheckpointError, match="allowed are device numbers from 0 below 8"):
        read_placement(str(path), trace)
