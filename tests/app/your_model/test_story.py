"""What the page on your own model shows, counted another way; files that strangers upload."""

from __future__ import annotations

import io
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from moe.app.your_model import chart as charts
from moe.app.your_model import closer, story, upload, weights
from moe.app.your_model import text as your_text
from moe.app.your_model.story import YourModel
from moe.app.your_model.text import PAGE, Token, n_pages, text_page
from moe.app.your_model.tinted_text import printable, tinted_text
from moe.cluster import homes
from moe.errors import CheckpointError
from moe.traces import Trace, make_trace, samples

PARITY = Path(__file__).resolve().parents[2] / "parity"


def made(n_layers: int = 3, n_tokens: int = 400, n_experts: int = 8, k: int = 2) -> Trace:
    rng = np.random.default_rng(3)
    score_LNE = rng.standard_normal((n_layers, n_tokens, n_experts)) + rng.standard_normal(
        (n_layers, 1, n_experts)
    )
    experts = np.argsort(-score_LNE, axis=2)[:, :, :k]
    ids = rng.integers(0, 9, n_tokens)
    return make_trace(
        experts,
        np.full(experts.shape, 1 / k, np.float32),
        n_experts,
        ids,
        model="made",
        layers=list(range(1, n_layers + 1)),
        logits_LNE=score_LNE.astype(np.float32),
        tokens=[chr(97 + i) for i in ids],
        sequence_N=np.arange(n_tokens) // 100,
        domain_N=np.arange(n_tokens) // 200,
        domains=["one", "two"],
    )


@pytest.fixture(scope="module")
def model() -> YourModel:
    return YourModel.of(made())


def zipped(folder: Path, *, extra: dict[str, bytes] | None = None) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("config.json", "model.safetensors"):
            archive.write(folder / name, name)
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return packed.getvalue()


def test_loads_are_counted_fair_shares(model: YourModel) -> None:
    count_E = np.zeros(8)
    for token in model.trace.expert_LNK[1]:
        for expert in token:
            count_E[expert] += 1
    assert np.allclose(model.loads(1).value_RE[0], count_E / 100)
    assert f"Expert {count_E.argmax()} is the busiest" in model.load_words(1)
    rows = model.all_loads().value_RE
    assert rows.shape == (3, 8) and (np.diff(rows, axis=1) <= 0).all()
    assert np.allclose(rows.mean(axis=1), 1)


def test_a_trace_is_cut_to_the_first_part_of_every_document() -> None:
    whole = made()
    part = upload.shortened(whole, (3 * 2 + upload.TOKEN_COST) * 120)
    assert part.n_tokens == 120
    assert np.bincount(part.sequence_N).tolist() == [30] * 4
    assert part.tokens[:30] == whole.tokens[:30] and part.tokens[30:60] == whole.tokens[100:130]
    assert upload.shortened(whole) is whole
    with pytest.raises(CheckpointError, match="allowed are one or more tokens"):
        upload.shortened(whole, 5)


def test_large_traces_stay_below_four_thousand_marks() -> None:
    model = YourModel.of(made(n_layers=60, n_tokens=200, n_experts=200))
    figures = [
        charts.load_bars("x", model.loads(0)),
        charts.cells("a", "t", model.all_loads(), "experts"),
        charts.cells("b", "t", closer.domains(model, 0), "experts"),
        charts.pairs("t", closer.pairs(model, 0, adjacent=False)),
        charts.over_layers("c", "t", closer.repetition(model)),
        charts.devices(closer.devices(model, 0, homes.IN_ORDER, 64)),
        charts.poster("x", [model.loads(0), model.all_loads()]),
    ]
    for figure in figures:
        assert sum(len(rows) for rows in figure.data.values()) <= 4000
        assert len(figure.alt) > 60 and figure.title
    assert figures[-1].image("svg").startswith(b"<svg")


def test_every_figure_of_one_layer_can_be_drawn() -> None:
    model = YourModel.of(samples.SAMPLES[0].load())
    assert model.trace.n_layers == 1
    figures = ("router_information", "dead_share", "max_vio")
    single = [[closer.line(model, name, name)] for name in figures]
    for lines in (closer.repetition(model), *single):
        figure = charts.over_layers("x", "t", lines)
        assert figure.image("png").startswith(b"\x89PNG")
        assert "on average" not in figure.alt


def test_saturation_is_the_share_of_experts_had_before(model: YourModel) -> None:
    assert closer.saturation(model, model).value_L == (1.0, 1.0, 1.0)
    early, late = (
        YourModel.of(next(s for s in samples.SAMPLES if s.name == name).load())
        for name in ("early", "balanced")
    )
    line = closer.saturation(late, early)
    had = [
        len(set(a) & set(b))
        for a, b in zip(
            late.trace.expert_LNK[0].tolist(), early.trace.expert_LNK[0].tolist(), strict=True
        )
    ]
    assert line.value_L[0] == pytest.approx(np.mean(had) / 2)
    assert line.value_L[0] > line.chance_L[0] == 2 / 16
    with pytest.raises(ValueError, match="same text"):
        closer.saturation(model, late)


@pytest.mark.parametrize("kind", [homes.IN_ORDER, homes.IN_TURN, homes.BALANCED])
@pytest.mark.parametrize("n_devices", [1, 3, 4, 8])
def test_placements_give_each_device_as_many_experts(kind: str, n_devices: int) -> None:
    load_E = np.array([9, 1, 1, 1, 8, 7, 1, 1])
    place = homes.PLACEMENTS[kind]
    count_D = np.bincount(place(load_E, n_devices), minlength=n_devices)
    assert count_D.sum() == 8 and count_D.max() - count_D.min() <= 1


def test_a_balanced_placement_spreads_the_busy_and_a_written_one_is_read() -> None:
    load_E = np.array([9, 1, 1, 1, 8, 7, 1, 1])
    device_E = homes.balanced(load_E, 4)
    assert len({int(device_E[e]) for e in (0, 4, 5)}) == 3
    assert homes.read_devices("0, 1 1,0", 4).tolist() == [0, 1, 1, 0]
    assert homes.read_devices(homes.example(6), 6).tolist() == [0, 0, 0, 1, 1, 1]
    for text, problem in (("0 1", "number of devices"), ("0 -1 0 1", "-1"), ("0 64 0 1", "64")):
        with pytest.raises(ValueError, match=problem):
            homes.read_devices(text, 4)


@pytest.mark.parametrize(
    ("place", "loads", "n_devices", "device_E"),
    [
        (homes.in_order, [1] * 10, 4, [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]),
        (homes.in_turn, [1] * 10, 4, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]),
        # 9 | 8, then 7 to the idler (8 + 7), 3 and 2 to the other until it is full, 1 to the rest
        (homes.balanced, [9, 1, 8, 2, 7, 3], 2, [0, 1, 1, 0, 1, 0]),
        (homes.balanced, [9, 1, 1, 1], 2, [0, 1, 1, 0]),  # the idler one has no room left
        (homes.balanced, [1, 1, 1, 1, 1], 2, [0, 1, 0, 1, 0]),  # in order among equals
        (homes.balanced, [1, 5], 4, [1, 0]),
    ],
)
def test_placements_worked_out_by_hand(place, loads, n_devices, device_E) -> None:
    assert place(np.array(loads), n_devices).tolist() == device_E


def test_each_name_has_its_placement_and_a_written_one_its_limits() -> None:
    kinds = homes.PLACEMENTS
    assert kinds[homes.IN_ORDER] is homes.in_order
    assert kinds[homes.IN_TURN] is homes.in_turn
    assert kinds[homes.BALANCED] is homes.balanced and homes.WRITTEN not in kinds
    assert homes.example(5) == "0 0 0 1 1" and homes.example(1) == "0"
    assert homes.read_devices("63,007 0", 3).tolist() == [63, 7, 0]
    for text in ("64", "0001", "1.0", "²", "x" * 30):
        with pytest.raises(ValueError, match=r"device: got .*allowed is .*0\.\.63"):
            homes.read_devices(text, 1)
    with pytest.raises(ValueError, match=f"got '{'x' * 20}',"):  # not all that a file holds
        homes.read_devices("x" * 30, 1)


def test_the_overload_factor_is_that_of_the_other_stretches(model: YourModel) -> None:
    drawn = closer.devices(model, 0, homes.IN_TURN, 2)
    other = np.arange(400) // 64 % 2 == 1
    odd = (model.trace.expert_LNK[0][other] % 2).mean()
    assert drawn.value_RE[0].tolist() == pytest.approx([2 * (1 - odd), 2 * odd])
    assert f"Overload factor {2 * max(odd, 1 - odd):.2f}" in drawn.words
    few = YourModel.of(made(n_tokens=1))
    assert "Overload factor" in closer.devices(few, 0, homes.BALANCED, 4).words


def test_text_shows_first_choices_and_follows_one_expert(model: YourModel) -> None:
    page = text_page(model.trace, 0, "two", 1, None)
    assert [token.expert for token in page.tokens] == model.trace.expert_LNK[0, 200:, 0].tolist()
    assert [token.begins for token in page.tokens].count(True) == 2
    followed = text_page(model.trace, 0, "two", 1, 5)
    chose = [5 in experts for experts in model.trace.expert_LNK[0, 200:].tolist()]
    assert [token.lit for token in followed.tokens] == chose
    assert n_pages(model.trace, "everything") == -(-400 // PAGE)
    many = text_page(made(n_layers=1, n_experts=40, k=36), 0, "everything", 1, None)
    told = many.tokens[0].words
    assert told.endswith(", and 20 more") and told.count("expert") == your_text.MAX_NAMED == 16
    with pytest.raises(ValueError, match="page: got 9"):
        text_page(model.trace, 0, "two", 9, None)


class Seen(HTMLParser):
    """Tags and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_text_of_a_stranger_is_text_and_each_colour_has_its_number() -> None:
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    tokens = [Token(evil[:20], 3, evil), Token("\n", 10, "x"), Token("", 0, "y")]
    html = tinted_text(tokens, evil, np.ones(11))
    seen = Seen()
    seen.feed(html)
    assert seen.tags == {"style", "div", "span", "bdi", "small"}
    assert "<script>alert(1)</sc" in seen.texts and {"3", "10", "⏎", "∅"} <= set(seen.texts)
    assert html.count('class="t fair"') == 3
    assert printable("a\u202eb\x00 \t") == "a·b·␣⇥" and len(printable("x" * 99)) == 24


@pytest.mark.parametrize(
    ("name", "raw", "problem"),
    [
        ("a.exe", b"MZ", "a name that ends in"),
        ("a.npz", b"", "allowed is a trace"),
        ("a.npz", b"PK\x03\x04 nonsense", "cannot be read"),
        ("a.parquet", b"PAR1 nonsense PAR1", "Parquet"),
        ("a.csv", b"logit_0,logit_1\n1,nan\n", "line 2"),
        ("a.csv", b"logit_0,logit_1\n1\n", "line 2"),
        ("a.csv", b"\xff\xfe\x00", "CSV"),
        ("a.csv", b"logit_0\n1\n", "k"),
    ],
)
def test_a_hostile_file_ends_in_an_error_that_says_what(name, raw, problem) -> None:
    with pytest.raises(ValueError, match=problem):
        upload.read_trace(name, raw, 2)


def test_ratings_and_traces_open() -> None:
    trace = upload.read_trace("my.csv", samples.CSV.read_bytes(), 3)
    assert trace.k == 3 and trace.n_experts == 16 and trace.model == "my"
    raw = samples.SAMPLES[0].path.read_bytes()
    assert upload.read_trace("A.NPZ", raw, 2).n_tokens == samples.SAMPLES[0].load().n_tokens
    assert upload.is_checkpoint("x.SafeTensors") and not upload.is_checkpoint("x.npz")


def test_a_checkpoint_shows_its_layers_and_runs_one() -> None:
    raw = zipped(PARITY / "mixtral")
    contents = weights.read_contents(raw)
    assert contents.model_type == "mixtral" and contents.layers
    look = weights.run_layer(raw, contents.layers[0])
    all_row = look.sizes[-1]
    stored, used = (int(text.replace(",", "")) for text in list(all_row.values())[1:])
    assert 0 < used < stored
    assert look.loads.value_RE.mean() == pytest.approx(1)
    with pytest.raises(CheckpointError, match="layer"):
        weights.run_layer(raw, 99)


def test_a_bare_file_lists_tensors_and_a_bad_archive_says_why() -> None:
    contents = weights.read_contents((PARITY / "mixtral" / "model.safetensors").read_bytes())
    assert not contents.layers and contents.tensors and "config.json" in contents.words
    for raw, problem in (
        (b"PK\x03\x04", "archive"),
        (zipped(PARITY / "mixtral", extra={"../x": b""}), "leads out"),
        (b"\xff" * 100, "neither"),
    ):
        with pytest.raises(CheckpointError, match=problem):
            weights.read_contents(raw)


def test_beliefs_about_a_large_trace_are_measured_on_some_layers() -> None:
    whole = made(n_layers=40, n_tokens=300)
    part = upload.for_beliefs(whole)
    assert part.n_layers == upload.MYTH_LAYERS and part.n_tokens == 300
    at = [whole.layers.index(layer) for layer in part.layers]
    assert min(np.diff(at)) >= 4 and np.array_equal(part.expert_LNK, whole.expert_LNK[at])
    model = YourModel.of(whole)
    assert f"300 tokens in {part.n_layers} of the layers" in model.myths[0].note
    assert len(model.myths[1].per_layer) == part.n_layers
    assert "of the layers" not in (YourModel.of(made()).myths[0].note)


def verdict_of(load: list[int]) -> story.Verdict:
    """Judge a trace of one layer in which experts have so many tokens."""
    expert_N = np.repeat(np.arange(len(load)), load)
    chosen_LNK = np.random.default_rng(0).permutation(expert_N)[None, :, None]
    weights = np.ones(chosen_LNK.shape)
    return YourModel.of(make_trace(chosen_LNK, weights, len(load), domains=())).verdict()


@pytest.mark.parametrize(
    ("load", "words", "even"),
    [
        ([100, 100, 100, 100], "most uneven one, expert 0 has 1.0× its share.", True),
        ([149, 83, 84, 84], "expert 0 has 1.5× its share.", True),
        ([40, 160, 100, 100], "Expert 1 of layer 0 is busy: 1.6× its share; none idle.", False),
        ([0, 160, 120, 120], "Expert 1 of layer 0 is busy: 1.6× its share; 1 of 4 idle.", False),
        ([20, 20, 340, 20], "Expert 2 of layer 0 is hot: 3.4× its share; none idle.", False),
    ],
)
def test_a_file_gets_one_verdict_and_what_to_do(load: list[int], words: str, even: bool) -> None:
    verdict = verdict_of(load)
    assert verdict.words.endswith(words) and verdict.even == even
    assert ("/cure?experts=4&k=1" in verdict.advice[0]) != even


def test_the_verdict_is_on_the_most_uneven_layer() -> None:
    model = YourModel.of(made())
    worst = max(model.report.layers, key=lambda layer: layer.max_vio)
    assert f"layer {worst.layer}" in model.verdict().words
