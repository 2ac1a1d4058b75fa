"""The page The $5M question without a browser: story, controls, links, and figures again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from moe import numbers
from moe.app.five_million import share as five_million_share
from moe.app.five_million import sizes
from moe.app.five_million import story as money
from moe.app.five_million.page import TABS
from tests.app.visit import open_page


def words(page: AppTest) -> str:
    return "\n".join(element.value for element in [*page.markdown, *page.caption])


def test_the_story_is_told_without_a_click() -> None:
    page = open_page("five_million")
    assert not page.exception and not page.error
    assert page.title[0].value == r"Did it cost \$5 million?"
    said = words(page)
    assert r"**\$5.576M**" in said and "2.788 million hours" in said
    drawn = []
    for tab in TABS:
        page = open_page("five_million", about=tab, guess="skip")
        assert not page.exception and not page.error
        drawn.append(len(page.get("vega_lite_chart")))
        assert page.slider(key="price") and page.selectbox(key="travel")
    assert drawn == [2, 1, 0, 1, 2]
    page = open_page("five_million")
    assert len(page.get("vega_lite_chart")) == 2
    assert all(chart.proto.alt for chart in page.get("vega_lite_chart"))
    assert page.metric[1].value == r"\$5.6M"


@pytest.mark.parametrize("guess", [*sizes.OPTIONS, "skip"])
def test_the_answer_comes_after_a_guess(guess: str) -> None:
    page = open_page("five_million")
    secret = r"1.6B**"
    assert secret not in words(page)
    closed = open_page("five_million", about="What was left out?")
    assert "Guess first, or skip" in words(closed) and not closed.table
    page.button(key=f"guess_{guess}").click().run()
    said = words(page)
    assert not page.exception and secret in said
    assert (r"You said \$" in said) == (guess != "skip")
    again = open_page("five_million", guess=guess, about="What was left out?")
    assert secret in words(again) and "trial runs and research are not in it" in words(again)


def test_a_teachers_question_stands_in_the_place_of_the_pages_own() -> None:
    page = open_page("five_million", ask="Was it *cheap*?", options="yes|no")
    assert any("Was it" in one.value for one in page.markdown) and "1.6B" not in words(page)
    page.button(key="guess_1").click().run()
    assert not page.exception and r"1.6B**" in words(page) and "You said" not in words(page)


def test_every_position_of_the_sliders_is_sent() -> None:
    page = open_page("five_million")
    page.slider(key="price").set_value((2.0, 3.0)).run()
    chart = page.get("vega_lite_chart")[0].proto
    (sent,) = [pa.ipc.open_stream(one.data.data).read_pandas() for one in chart.datasets]
    rows = {row["at"]: row for row in sent.to_dict("records")}
    train = 250.456e9 * 14.8e12 / (989e12 * 3600)
    for at, busy, price in (
        ("", (25, 43), (2.0, 3.0)), ("price=2.0..7.5", (25, 43), (2.0, 7.5)),
        ("price=0.5..3.0", (25, 43), (0.5, 3.0)), ("mfu=5.0..43.0", (5, 43), (2.0, 3.0)),
    ):  # fmt: skip
        low, high = (
            rent * (train / (share / 100) + 124e3)
            for rent, share in zip(price, busy[::-1], strict=True)
        )
        assert rows[at]["low"] == pytest.approx(low, rel=1e-4), at
        assert rows[at]["high"] == pytest.approx(high, rel=1e-4), at


def test_controls_come_from_the_link_and_change_the_result() -> None:
    page = open_page("five_million", model="Llama-3.1-405B")
    assert not page.exception and page.selectbox(key="model").value == "Llama-3.1-405B"
    assert "Llama-3.1-405B's makers say 30.84 million hours; that is inside" in words(page)
    page = open_page("five_million")
    page.slider(key="price").set_value((4.0, 4.0)).run()
    hours = money.Assumed(price=(4.0, 4.0)).cost().result().gpu_hours.mid
    assert page.metric[1].value == "\\" + numbers.dollars(4 * hours)
    page.selectbox(key="model").set_value(money.OWN_SIZE).run()
    page.number_input(key="active").set_value(100.0).run()
    own = 6 * 100e9 * 14.8e12 / (0.389 * 989e12 * 3600)
    assert page.metric[0].value == numbers.count(own)
    assert not page.exception


def test_a_bad_link_falls_back() -> None:
    page = open_page(
        "five_million", mfu="900", price="x", model="Nobody", context="7", a="?", travel="by ship"
    )
    assert not page.exception and not page.error
    assert page.selectbox(key="model").value == "DeepSeek-V3"


def test_the_chips_can_be_changed() -> None:
    page = open_page("five_million", about="Were the chips weaker?")
    page.selectbox(key="a").set_value("H20").run()
    assert "times as long on H20" in words(page) and not page.exception


def test_the_code_and_the_command_give_the_same_hours(
    capsys: pytest.CaptureFixture, run_moe: Callable[..., Any]
) -> None:
    cost = money.Assumed().cost()
    exec(five_million_share.code(cost), {})
    assert str(cost.result().gpu_hours) in capsys.readouterr().out
    command = five_million_share.command(cost)
    assert command
    said = run_moe(*command.split()[1:], "--json").stdout
    assert json.loads(said)["gpu_hours"] == pytest.approx(cost.result().gpu_hours.mid)
