"""Cases that the records of the table do not have: limits, empty and single ones, other inks."""

from __future__ import annotations

import ast
from dataclasses import replace

import altair as alt
import numpy as np
import pytest

import moe
from docs.generator import method_charts
from moe.app.moving_data import chart as moving
from moe.app.moving_data import story as lab_moving
from moe.app.savings import chart as savings
from moe.app.start import chart as start
from moe.app.your_model import chart as your_model
from moe.app.your_model import tinted_text
from moe.app.your_model.story import Drawn, Line
from moe.app.your_model.text import Token
from moe.pictures.experts import letter_ink
from moe.pictures.figure import Drawing, Figure, draw, drawn_once
from moe.pictures.marks import legible, percent_axis, with_room
from moe.pictures.palette import INK, PAPER, PAPER_INK
from moe.pictures.staff import Staff
from moe.routing import Routing
from moe.studies.savings import SavingsSettings, count
from moe.sweeps import chart as sweep
from moe.sweeps.report import Group, Spread, SweepReport
from moe.training import TrainRecord
from moe.training.runs import Run
from tests.pictures import records
from tests.pictures.spec import marks

# Figures themselves ------------------------------------------------------------------------------


def bars(height: alt.Step | int = 40) -> Figure:
    chart = draw("rows").mark_bar().encode(x="n:Q", y="name:N")
    rule = draw("fair").mark_rule().encode(x="n:Q")
    rows = [{"name": name, "n": 1} for name in ("a", "b", "b", "c")]
    layers = alt.LayerChart(layer=[rule, chart]).properties(height=height)
    return Figure("What it is", Drawing(layers), "said", {"rows": rows, "fair": [{"n": 1}]})


@pytest.mark.parametrize(("ink", "muted"), [("light", "#4D5866"), ("dark", "#B4BECB")])
def test_a_page_gets_the_colours_of_its_theme_and_a_height(ink: str, muted: str) -> None:
    spec = bars(alt.Step(20)).themed(INK[ink])
    guide = {"labelColor": muted, "titleColor": muted}
    assert spec["config"] == {"axis": guide, "legend": guide}
    assert spec["height"] == 20 * 3  # a row for each name
    assert spec["autosize"] == {"type": "fit-x", "contains": "padding"}
    assert "datasets" not in spec and bars().themed(INK[ink])["height"] == 40
    assert "autosize" not in bars().themed(INK[ink])


def test_a_picture_is_on_white_with_its_title_in_the_width_that_is_asked() -> None:
    figure = bars()
    svg = figure.image("svg", 300).decode()
    assert "What it is" in svg and 'fill="white"' in svg
    width = float(svg.partition('width="')[2].partition('"')[0])
    assert 300 < width < 420  # with its padding and the names
    wide = float(figure.image("svg").decode().partition('width="')[2].partition('"')[0])
    assert wide - width == 420
    assert "config" not in figure.spec() and figure.spec()["datasets"] == figure.data
    assert figure.chart is figure.drawing.chart


def test_a_chart_is_drawn_once_for_the_same_arguments() -> None:
    drawn = []

    @drawn_once
    def chart(name: str) -> alt.Chart:
        drawn.append(name)
        return draw(name).mark_bar()

    assert chart("a") is chart("a") and chart("a") is not chart("b")
    assert drawn == ["a", "b"]


def test_letters_that_lines_would_cross_have_a_rim_of_the_papers_colour() -> None:
    texts = [draw("rows").mark_text(color="#123456").encode(text=name) for name in "ab"]
    for ink in INK.values():
        rims, above = np.split(np.array(legible(ink, *texts), object), 2)
        assert list(above) == texts
        for rim, text in zip(rims, texts, strict=True):
            assert rim.mark.color == rim.mark.stroke == PAPER[ink] and text.mark.color == "#123456"
            assert rim.mark.aria is False and rim.mark.strokeWidth > 2
            assert rim.encoding.text.shorthand == text.encoding.text.shorthand
    assert with_room(2).to_dict() == {
        "range": [0, {"expr": "width / 2"}], "zero": True, "nice": False
    }  # fmt: skip
    assert percent_axis().to_dict() == {"format": "%", "tickCount": 4, "title": None}


# The staff ---------------------------------------------------------------------------------------


def test_a_sentence_takes_lines_of_forty_characters() -> None:
    staff = Staff(81, 8)
    assert (staff.n_lines, Staff(80, 8).n_lines, Staff(1, 8).n_lines) == (3, 2, 1)
    assert staff.height == 3 * 10 * 13 and staff.pitch == 10
    assert [staff.column(n) for n in (0, 39, 40, 80)] == [0, 39, 0, 0]
    assert [staff.row(n, 3) for n in (0, 39, 40, 80)] == [5, 5, 15, 25]
    rows = staff.characters(["a"] * 40 + ["\\xe2"])
    assert rows[40] == {
        "position": 41, "column": 0, "token": "e2", "character": "\\xe2",
        "text": pytest.approx(10.7), "top": pytest.approx(10.1), "bottom": pytest.approx(19.6),
    }  # fmt: skip
    assert rows[1]["token"] == "a" and rows[1]["position"] == 2
    axis = staff.y("low").to_dict()["axis"]
    assert axis["values"] == [staff.row(n, e) for n in (0, 40, 80) for e in range(8)]
    # the label of a row is the name of its expert
    names, _, place = axis["labelExpr"].partition("[datum.value % ")
    assert ast.literal_eval(names) == list("ABCDEFGH")
    remainder, _, offset = place.rstrip("]").partition(" - ")
    assert [value % int(remainder) - int(offset) for value in axis["values"]] == [*range(8)] * 3
    assert Staff(5, 8).x().to_dict()["scale"]["domain"] == [0, 1, 2, 3, 4]
    assert Staff(99, 8, 0.2).x().to_dict()["scale"] == {
        "domain": list(range(40)), "paddingInner": 0.2
    }  # fmt: skip


# Tinted text -------------------------------------------------------------------------------------


def test_long_tokens_are_cut_and_documents_begin_on_lines_of_their_own() -> None:
    assert tinted_text.printable("x" * 24) == "x" * 24
    assert tinted_text.printable("x" * 25) == "x" * 23 + "…"
    assert tinted_text.printable("\t\r\n\u2028é") == "⇥␍⏎·é"
    one, two = Token("a", 0, "t", begins=True), Token("", 13, "t", begins=True)
    ratio_E = np.array([1.0] * 7 + [0.5] + [2.0] * 5 + [4.0])
    tokens = [one, two, Token("b\n", 7, "t")]
    html = tinted_text.tinted_text(tokens, "w", ratio_E).partition("</style>")[2]
    assert html.count('class="new"') == 1 and html.index('class="new"') > html.index(">a<")
    assert "<bdi>∅</bdi><small>13</small>" in html and 'class="t crowded"' in html
    assert html.count('class="t fair"') == html.count('class="t below"') == 1
    few = tinted_text.tinted_text([one, Token("b", 7, "t")], "w", np.ones(8))
    assert 'class="t e0"' in few and 'class="t e7"' in few  # few experts have their own colours
    assert html.count('class="end"') == 1
    assert html.endswith('<span class="end"></span></div>')
    for kind, tint in tinted_text.KINDS.items():
        assert f".{kind} {{ background: {tint}38; border-bottom-color: {tint}; }}" in (
            tinted_text.STYLE
        )


def luminance(colour: np.ndarray) -> float:
    """Relative luminance of red, green and blue in 0..1, as WCAG 2 defines it."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_letters_can_be_read_on_every_tint_in_both_themes() -> None:
    def rgb(text: str) -> np.ndarray:
        assert len(text) == 7
        return np.array([int(text[at : at + 2], 16) for at in (1, 3, 5)]) / 255

    assert len(set(tinted_text.KINDS.values())) == 12
    for ink in INK.values():
        for tint in tinted_text.KINDS.values():
            part = 0x38 / 255  # how much of the tint lies on the paper
            behind = part * rgb(tint) + (1 - part) * rgb(PAPER[ink])
            low, high = sorted((luminance(behind), luminance(rgb(ink))))
            assert (high + 0.05) / (low + 0.05) >= 7, (ink, tint)


# Loads, a label above each -----------------------------------------------------------------------


def test_labels_stay_clear_of_the_line_of_the_fair_share() -> None:
    # The axis ends at 1.25 x 0.5; a label takes 0.12 of that, 0.075: its middle is half of it
    # above its bar, or below the bar's end if the line at 0.2 would cross it there.
    load_E = np.array([8, 4, 3, 1, 0])
    routing = replace(
        records.sentence(), load_E=load_E, share_E=load_E / 16, hottest_share=0.5, fair_share=0.2
    )
    rows = start.load_bars(routing).data["bars"]
    at = [0.5375, 0.2875, 0.1875 - 0.0375, 0.1, 0.0375]
    assert [row["label_at"] for row in rows] == pytest.approx(at)
    assert [row["label"] for row in rows] == ["50%", "25%", "19%", "6%", "idle"]
    inks = [row["ink"] for row in rows]
    assert inks == [PAPER_INK, PAPER_INK, letter_ink(rows[2]["colour"]), PAPER_INK, PAPER_INK]
    flat = replace(routing, share_E=load_E / 160, fair_share=0.02)  # no room in the bar
    last = start.load_bars(flat).data["bars"][3]
    assert last["label_at"] == pytest.approx(0.02 + 0.0375) and last["ink"] == PAPER_INK
    for top, end in ((0.0, 0.625), (0.4, 0.625), (0.8, 1.0)):
        encoding = start.load_bars(routing, top).spec()["layer"][0]["encoding"]
        assert encoding["y"]["scale"]["domain"] == [0, pytest.approx(end)]


# Methods -----------------------------------------------------------------------------------------


def routed(weights: list[float], kept: list[bool], n_special: int = 0) -> Routing:
    """One token for each weight; the first half to expert 0, the others to expert 2 of three."""
    n = len(weights)
    expert_A = np.array([0] * (n // 2) + [2] * (n - n // 2), int)
    return Routing(
        n, 3, np.arange(n), expert_A, np.array(weights), np.zeros(n, int), np.array(kept, bool),
        n_special=n_special,
    )  # fmt: skip


def test_heights_are_weights_and_what_was_dropped_is_named() -> None:
    routing = routed([0.5, 0.25, 0.01, 0.5], [True, False, True, False], n_special=1)
    figure = method_charts.assignment("title", routing, np.array([0, 0, 1, 1]))
    heights = [row["high"] - row["low"] for row in figure.data["marks"]]
    assert heights == pytest.approx([0.9, 0.45, 0.9 * 0.06, 0.9])  # the least is still seen
    assert [row["fate"] for row in figure.data["marks"]] == ["kept", "dropped"] * 2
    assert [row["expert"] for row in figure.data["loads"]] == ["0", "1", "2 special"]
    assert [row["label"] for row in figure.data["loads"]] == ["1 of 2", "0", "1 of 2"]
    assert figure.data["kinds"] == [{"at": 2}] and figure.data["fair"] == [{"fair": 4 / 3}]
    assert "MaxVio 0.50. Dropped: of expert 0 tokens 1; of expert 2 tokens 3." in figure.alt
    whole = method_charts.assignment("title", routed([1.0] * 4, [True] * 4))
    assert "Dropped" not in whole.alt and whole.data["kinds"] == []
    empty = method_charts.assignment("title", routed([], []))
    assert empty.data["marks"] == [] and "0 tokens make 0 assignments" in empty.alt


def steps(computing: list[int], max_vio: list[float]) -> Run:
    """A run of which so many assignments a step went to the four experts that compute."""
    settings = moe.TrainSettings(
        router="longcat", n_experts=6, batch=10, steps=len(computing), d_model=8, d_expert=4
    )
    n_special = len(settings.make_router().specials)
    made = []
    for step, (n, worst) in enumerate(zip(computing, max_vio, strict=True)):
        load_E = np.array([n] + [0] * (5 - n_special) + [99] * n_special)
        made.append(TrainRecord(
            step=step, loss=1.0, balance_loss=0.0, load=load_E, proposed=load_E, max_vio=worst,
            cv=0.0, dead=0, dropped=0.0, executed_flops=0, data="",
        ))  # fmt: skip
    return Run(settings, made, 1.0)


def test_a_second_panel_shows_how_many_experts_compute_if_that_varies() -> None:
    without = steps([10] * 20, [2.0] * 18 + [1.0, 3.0])
    same, other = (steps([10] * 19 + [last], [1.0] * 18 + [0.25, 0.75]) for last in (10, 12))
    assert set(method_charts.cure("title", without, same).data) == {"panel_0"}
    figure = method_charts.cure("title", without, other)
    assert "MaxVio: 2.00 at first, at the end 2.00 without and 0.50 with it." in figure.alt
    assert "Experts that compute per token: 1.00 at first, at the end 1.00 without and 1.10" in (
        figure.alt
    )
    assert [row["value"] for row in figure.data["panel_1"]] == pytest.approx([1.0] * 39 + [1.2])
    assert [row["run"] for row in figure.data["panel_1"]] == ["without"] * 20 + ["with"] * 20
    for drawn, n in ((method_charts.cure("title", without, same), 1), (figure, 2)):
        parts = drawn.spec()["vconcat"][0]["hconcat"]
        widths = [part["width"] for part in parts]
        assert len(widths) == n and 600 <= sum(widths) <= 640


# Your model --------------------------------------------------------------------------------------


def test_a_measure_over_layers_may_be_one_line_without_chance() -> None:
    line = Line("Shared", (1, 2, 3), (0.25, 0.5, 0.125))
    for percent, form, said in ((True, ".1%", "29.2%"), (False, ".3f", "0.29")):
        figure = your_model.over_layers("m", "title", [line], percent)
        assert figure.data["m_chance"] == [] and f"Shared: {said} on average." in figure.alt
        drawn = marks(figure.spec())
        assert [mark.kind for mark in drawn] == ["line", "point"]
        encoding = figure.spec()["layer"][1]["encoding"]
        assert encoding["tooltip"][-1]["format"] == form
        assert encoding["color"]["legend"] is None  # the title says it
        assert encoding["y"]["axis"].get("format") == ("%" if percent else None)


def test_bars_of_one_layer_say_their_numbers() -> None:
    lines = [Line("A", (7,), (0.5,), (0.25,)), Line("B", (7,), (0.25,), (0.625,))]
    figure = your_model.over_layers("m", "title", lines, percent=False)
    assert figure.title == "title (line: by chance)"
    assert [row["label"] for row in figure.data["m"]] == ["0.50", "0.25"]
    scale = figure.spec()["layer"][0]["encoding"]["x"]["scale"]
    assert scale == {"domain": [0, pytest.approx(0.75)], "nice": False}
    bare = your_model.over_layers("m", "title", [Line("A", (7,), (0.0,))])
    assert bare.title == "title" and bare.data["m"][0]["chance"] is None
    assert bare.data["m"][0]["label"] == "0.0%"
    assert bare.spec()["layer"][0]["encoding"]["x"]["scale"]["domain"] == [0, 1.2]
    assert [mark.kind for mark in marks(bare.spec())] == ["bar", "text"]


@pytest.mark.parametrize(("n_rows", "every"), [(3, 1), (24, 1), (25, 2), (60, 3)])
def test_many_layers_have_names_in_part(n_rows: int, every: int) -> None:
    names = tuple(f"layer {r}" for r in range(n_rows))
    value_RE = np.tile([0.0, 1.0, 8.0], (n_rows, 1))
    figure = your_model.cells("m", "title", Drawn(names, (4, 5, 6), value_RE, "words"), "of")
    axis = figure.spec()["encoding"]["y"]["axis"]
    assert axis["values"] == [r + 0.5 for r in range(0, n_rows, every)]
    assert axis["labelExpr"].startswith("['layer 0','layer 1'")
    first = figure.data["m"][:3]
    assert [row["high"] - row["low"] for row in first] == pytest.approx([0.12, 0.32, 0.92])
    assert [row["expert"] for row in first] == [4, 5, 6]
    assert f"{n_rows} rows of 3 marks" in figure.alt
    assert 60 + 110 <= figure.spec()["height"] <= 110 + 640


def test_pairs_leave_out_an_expert_with_itself() -> None:
    drawn = Drawn(("0", "1"), (0, 1), np.array([[9.0, 0.25], [0.5, 9.0]]), "words")
    figure = your_model.pairs("title", drawn)
    assert figure.data["pairs"] == [
        {"first": "0", "expert": 1, "share": 0.25}, {"first": "1", "expert": 0, "share": 0.5}
    ]  # fmt: skip
    none = your_model.pairs("title", replace(drawn, value_RE=np.zeros((2, 2))))
    scale = none.spec()["encoding"]["color"]["scale"]
    assert scale["domain"][0] == 0 < scale["domain"][1] < 1e-6 and scale["scheme"] == "cividis"


@pytest.mark.parametrize(("ratios", "end"), [([0.5, 1.5], 1.8), ([0.5, 0.75], 1.2)])
def test_devices_leave_room_for_their_labels_and_the_fair_share(ratios, end) -> None:
    figure = your_model.devices(Drawn(("",), (0, 1), np.array([ratios]), "words"))
    scale = figure.spec()["layer"][0]["encoding"]["x"]["scale"]
    assert scale["domain"] == [0, pytest.approx(end)]
    assert [row["device"] for row in figure.data["devices"]] == ["device 0", "device 1"]


# Savings -----------------------------------------------------------------------------------------


def test_two_bars_leave_out_what_is_asked_for() -> None:
    costs = count(SavingsSettings(64, 64, 8, 2))
    two, three = (savings.counted(costs[:n], "params") for n in (2, 3))
    assert two.drawing is three.drawing and two.data["costs"] == three.data["costs"][:2]
    assert two.data["room"] == [{"room": costs[0].params}]  # a little more than the dense layer's


# Moving data -------------------------------------------------------------------------------------


def test_one_node_has_no_network() -> None:
    moved = lab_moving.move(replace(records.moved(), nodes=1))
    figure = moving.cluster_picture(moved)
    assert {row["link"] for row in figure.data["links"]} == {"NVLink"}
    assert "switch" not in figure.data and figure.alt.startswith("One node of 8 GPUs;")
    assert "switch" not in {mark.data for mark in marks(figure.spec())}
    axis = figure.spec()["layer"][1]["encoding"]["y"]["axis"]
    assert len(axis["values"]) == 9 and "network" not in axis["labelExpr"]
    two = moving.cluster_picture(lab_moving.move(records.moved()))
    assert two.alt.startswith("2 nodes of 8 GPUs;")
    assert two.spec()["height"] > figure.spec()["height"] > 200


# Sweeps ------------------------------------------------------------------------------------------


def groups(**varied: list) -> list[Group]:
    """All combinations, with one run each."""
    combined: list[dict] = [{}]
    for name, values in varied.items():
        combined = [{**one, name: value} for one in combined for value in values]
    return [
        Group(one, 1, {"loss": Spread(1.0 + at, float("nan"), 1)}, best=at == 0)
        for at, one in enumerate(combined)
    ]


@pytest.mark.parametrize(
    ("varied", "axis", "kind"),
    [
        (dict(lr=[1, 2, 7.9]), "lr", None),
        (dict(lr=[1, 2, 8]), "lr", "log"),
        (dict(lr=[0, 2, 80]), "lr", None),  # a logarithm has no zero
        (dict(lr=[1, 2]), None, None),
        (dict(lr=[1, 2, "x"]), None, None),
        (dict(flag=[True, False, 2]), None, None),
        (dict(lr=[1, 2, 3], k=[1, 2, 3, 4]), "k", None),
        (dict(lr=[1, 2, 3], name=list("abcdef")), "lr", None),
        (dict(lr=[1, 2, 3], name=list("abcdefg")), None, None),
    ],
)
def test_curves_are_drawn_over_the_number_that_makes_the_longest(varied, axis, kind) -> None:
    figure = sweep.sweep_figure(SweepReport("train", tuple(groups(**varied)), 0, (), ""))
    assert figure.title == "Sweep of train: loss" + (f" over {axis}" if axis else "")
    rows = figure.data["sweep"]
    assert all(row["low"] == row["mean"] == row["high"] for row in rows)  # one run has no spread
    if axis:
        assert [row["at"] for row in rows] == [one.varied[axis] for one in groups(**varied)]
        encoding = figure.spec()["layer"][1]["encoding"]
        assert encoding["x"]["scale"].get("type") == kind
        assert encoding["x"]["axis"]["values"] == sorted({row["at"] for row in rows})
        assert bool(encoding["color"]["legend"]) == (len({row["group"] for row in rows}) > 1)
        if len(varied) == 2 and axis == "lr":
            dashes = encoding["strokeDash"]["scale"]["range"]
            colours = encoding["color"]["scale"]["range"]
            assert len(set(map(tuple, dashes))) == len(set(colours)) == 6
            assert all(len(dash) % 2 == 0 and dash[0] >= 1 for dash in dashes)
    else:
        assert all("at" not in row for row in rows)


def test_of_many_groups_only_the_first_forty_are_told() -> None:
    for n, said in ((40, ""), (41, "; and 1 more"), (60, "; and 20 more")):
        many = groups(name=[f"n{at}" for at in range(n)])
        figure = sweep.sweep_figure(SweepReport("train", tuple(many), 0, (), "higher"))
        assert figure.alt.count("name n") == 40 and figure.alt.endswith(f"{said}.")
        assert figure.title == "Sweep of train: loss (higher is better)"
        assert len(figure.data["sweep"]) == n
