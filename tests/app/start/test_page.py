"""The page Start without a browser, and its numbers computed again."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from moe.app.shared.first_model import DEFAULT_SENTENCE, ready_model
from moe.app.start.story import FULL, route
from tests.app.visit import open_page


def paragraph(page: AppTest) -> str:
    """The words that follow the slider."""
    return next(html.proto.body for html in page.get("html") if "moe-words" in html.proto.body)


def test_start_tells_its_story_without_a_click_and_the_slider_mends_it() -> None:
    page = open_page("start")
    assert not page.exception and not page.error
    routing = route(ready_model(), DEFAULT_SENTENCE)
    load_E = np.bincount(routing.expert_NK.reshape(-1), minlength=8)  # counted another way
    busiest = load_E.max() / load_E.sum()
    assert busiest > 2 / 8 and (load_E == 0).any()
    assert f"does {busiest:.0%} of the work" in paragraph(page)
    page.slider(key="balance").set_value(FULL).run()
    assert "none is idle" in paragraph(page) and not page.exception


def test_each_step_of_the_balancing_slider_spreads_the_work() -> None:
    model = ready_model()
    shares, held_back = [], []
    for percent in range(0, FULL + 1, 10):
        routing = route(model, DEFAULT_SENTENCE, percent)
        chosen = routing.expert_NK.reshape(-1)
        load_E = np.bincount(chosen, minlength=8)  # counted another way
        shares.append(load_E.max())
        held_back.append(model.bias_E[chosen].sum(dtype=float))
    assert all(np.diff(shares) <= 0) and shares[-1] < 0.5 * shares[0]
    assert all(np.diff(held_back) >= -1e-6)


@pytest.mark.parametrize("sentence", ["Hello world", "aaaa", "日本語", "import numpy as np"])
def test_more_bonus_never_means_more_work_for_those_it_holds_back(sentence: str) -> None:
    model = ready_model()
    weighted = [
        model.bias_E[route(model, sentence, percent).expert_NK].sum(dtype=float)
        for percent in range(FULL + 1)
    ]
    assert all(np.diff(weighted) >= -1e-6)


def test_words_and_bars_of_every_position_are_sent_once() -> None:
    page = open_page("start", balance="40", text="Hello world")
    sent = next(
        data
        for data in (json.loads(one.proto.json) for one in page.get("bidi_component"))
        if "sliders" in data
    )
    names = [f"balance={percent}" for percent in range(FULL + 1)]
    assert sent["sliders"]["balance"]["names"] == names
    for percent in (0, 33, FULL):
        routing = route(ready_model(), "Hello world", percent)
        assert sent["words"]["words"][f"balance={percent}"] == routing.words()
    bars = next(
        pa.ipc.open_stream(data.data.data).read_all()
        for chart in page.get("vega_lite_chart")
        for data in chart.proto.datasets
        if data.name == "bars"
    ).to_pylist()
    assert len(bars) == 8 * (FULL + 2)  # where the slider rests is one more
    for percent in (0, 33, FULL):
        load_E = route(ready_model(), "Hello world", percent).load_E
        here = [row for row in bars if row["at"] == f"balance={percent}"]
        assert [row["assignments"] for row in here] == load_E.tolist()
        assert [row["expert"] for row in here] == list("ABCDEFGH")
    rest = [row for row in bars if row["at"] == ""]
    assert rest == [{**row, "at": ""} for row in bars if row["at"] == "balance=40"]


@pytest.mark.parametrize("query", [{"balance": "9999"}, {"character": "x"}, {"balance": "-1"}])
def test_a_bad_link_falls_back_to_what_is_allowed(query: dict[str, str]) -> None:
    page = open_page("start", **query)
    assert not page.exception
    assert page.slider(key="balance").value == 0


def test_a_link_carries_the_controls() -> None:
    page = open_page("start", balance="30", text="Hello")
    assert page.slider(key="balance").value == 30
    assert page.text_input(key="text").value == "Hello"
