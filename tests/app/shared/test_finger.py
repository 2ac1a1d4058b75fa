"""Pictures under the finger: every position is the figure that would be made for it."""

from __future__ import annotations

import json
from typing import Any

import altair as alt
import pytest
import vl_convert
from streamlit.testing.v1 import AppTest

from moe.app.shared.finger import REST, Finger, Slider, following, joined, name_of
from moe.pictures.figure import Chart, Figure, draw, drawn_once
from moe.pictures.palette import PAPER_INK


@drawn_once
def drawing(step: int) -> Chart:
    bars = draw("bars").mark_bar().encode(x="expert:N", y=alt.Y("work:Q"))
    letters = bars.mark_text().encode(text="expert:N")
    rule = draw("fair").mark_rule().encode(y="fair:Q")
    return alt.LayerChart(layer=[bars, letters, rule]).properties(height=step)


def figure(price: int, wide: float = 0.5, ends: tuple[int, int] = (0, 1)) -> Figure:
    span = ends[1] - ends[0]
    rows = [{"expert": e, "work": price * (e + 2) + wide + span} for e in range(3)]
    return Figure(
        f"At {price}", drawing(200), f"Work at {price} & {wide}.",
        {"bars": rows, "fair": [{"fair": 3.0}]}, "Work",
    )  # fmt: skip


SLIDERS = (
    Slider("price", range(3, 6)),
    Slider("wide", [0.5, 1.0], listed=True),
    Slider("ends", [(0, 1), (0, 3)]),
)
RESTING: dict[str, Any] = {"price": 4, "wide": 0.5, "ends": (0, 1)}


def test_positions_are_those_of_each_slider_while_the_others_rest() -> None:
    assert Finger(SLIDERS, **RESTING).positions() == {
        "": RESTING,
        "price=3": RESTING | {"price": 3},
        "price=4": RESTING,
        "price=5": RESTING | {"price": 5},
        "wide=0.5": RESTING,
        "wide=1.0": RESTING | {"wide": 1.0},
        "ends=0..1": RESTING,
        "ends=0..3": RESTING | {"ends": (0, 3)},
    }
    assert name_of("ends", (0, 3)) == "ends=0..3"


def test_the_browser_is_told_where_its_own_sliders_stand_at_each_position() -> None:
    sent = Finger(SLIDERS, **RESTING).sent()
    assert sent["sliders"]["price"] == {
        "names": ["price=3", "price=4", "price=5"], "places": [[3.0], [4.0], [5.0]],
    }  # fmt: skip
    assert sent["sliders"]["wide"]["places"] == [[0], [1]]  # such a slider counts its options
    assert sent["sliders"]["ends"]["places"] == [[0.0, 1.0], [0.0, 3.0]]


def test_each_position_is_the_figure_of_that_position() -> None:
    finger = Finger(SLIDERS, **RESTING)
    figures = {name: figure(**at) for name, at in finger.positions().items()}
    both, moved = joined(figures)
    assert moved == ["bars"] and both.data["fair"] == [{"fair": 3.0}]  # sent once
    spec = {**following(both.themed(PAPER_INK), finger.sliders, moved), "datasets": both.data}
    assert spec["params"][0]["bind"] == {"element": ".moe-finger", "event": "input"}
    pictures = set()
    for name in (*figures, "another=3"):
        at = {**spec, "params": [{"name": "finger", "value": name}, spec["params"][1]]}
        wanted = figures.get(name, figures[REST])
        alone = {**wanted.themed(PAPER_INK), "datasets": wanted.data}
        drawn = vl_convert.vegalite_to_svg(at)
        assert drawn == vl_convert.vegalite_to_svg(alone), name
        pictures.add(drawn)
    assert len(pictures) == 5


def test_the_specification_stays_when_the_slider_rests_elsewhere() -> None:
    specs = []
    for price in (3, 5):
        finger = Finger(SLIDERS, **RESTING | {"price": price})
        both, moved = joined({name: figure(**at) for name, at in finger.positions().items()})
        specs.append(following(both.themed(PAPER_INK), finger.sliders, moved))
    assert specs[0] == specs[1]


def test_what_does_not_move_is_an_ordinary_chart() -> None:
    both, moved = joined({REST: figure(4), "price=4": figure(4)})
    assert not moved and following({"layer": []}, ["price"], moved) == {"layer": []}
    assert both.data == figure(4).data


def test_wrong_sliders_are_told_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"key: got 'a b', allowed are small letters"):
        Slider("a b", [1])
    with pytest.raises(ValueError, match="positions: got none for price, allowed is one or more"):
        Slider("price", [])
    with pytest.raises(ValueError, match=r"rest: got \['prize'\], allowed is \['price'\]"):
        Finger(SLIDERS[:1], prize=3)
    other = Figure("", drawing(100), "", {"bars": [], "fair": []})
    with pytest.raises(ValueError, match=r"got other drawings for .'price=3'., allowed is one"):
        joined({REST: figure(4), "price=3": other})


def shown() -> None:
    from moe.app.shared.finger import Finger
    from tests.app.shared.test_finger import RESTING, SLIDERS, figure

    finger = Finger(SLIDERS, **RESTING)
    finger.words(lambda price, wide, ends: f"{price} < {wide}")
    finger.show(figure, "bars")
    finger.watch()


def test_titles_and_words_follow_as_text() -> None:
    page = AppTest.from_function(shown).run()
    assert not page.exception
    title, alt_text = '<h5 class="moe-title"', '<p class="moe-spoken"'
    assert [html.proto.body for html in page.get("html")] == [
        '<p class="moe-words" aria-live="polite" data-finger-words="words">4 &lt; 0.5</p>',
        f'{title} data-finger-words="bars_title">At 4</h5>',
        f'{alt_text} data-finger-words="bars_alt">Work at 4 &amp; 0.5.</p>',
    ]
    chart = page.get("vega_lite_chart")[0].proto
    assert json.loads(chart.spec)["params"][1]["name"] == "finger_at"
    sent = json.loads(page.get("bidi_component")[0].proto.json)
    assert sent["words"]["words"]["wide=1.0"] == "4 < 1.0"
    assert sent["words"]["bars_title"]["price=3"] == "At 3"
