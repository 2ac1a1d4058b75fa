"""The page The $5M question without a browser: story, controls, links, and figures again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from moe import numbers
from moe.app.five_million import share as five_million_share
from moe.app.five_million import story as money
from tests.app.visit import open_page


def words(page: AppTest) -> str:
    return "\n".join(element.value for element in [*page.markdown, *page.caption])


def test_the_story_is_told_without_a_click() -> None:
    page = open_page("five_million")
    assert not page.exception and not page.error
    assert page.title[0].value == r"Did it cost \$5 million?"
    said = words(page)
    assert r"**\$5.576M**" in said and "2.788 million hours" in said
    assert "trial runs and research are not in it" in said
    assert len(page.get("vega_lite_chart")) == 6
    assert all(chart.proto.alt for chart in page.get("vega_lite_chart"))
    assert page.metric[1].value == r"\$5.6M"


def test_controls_come_from_the_link_and_change_the_result() -> None:
    page = open_page("five_million", price='["2.0", "2.0"]', model="Llama-3.1-405B")
    assert not page.exception and page.selectbox(key="model").value == "Llama-3.1-405B"
    assert "Published for Llama-3.1-405B: 30.84 million hours, inside the range" in words(page)
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
    page = open_page("five_million")
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
