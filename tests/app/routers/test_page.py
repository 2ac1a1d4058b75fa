"""The page Routers without a browser."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest

import moe
from moe.app.routers.story import Choice, SideSettings, put_side_by_side
from moe.app.routers.what_if import WHAT_IFS
from moe.app.shared.first_model import (
    DEFAULT_SENTENCE,
    ready_model,
)
from tests.app.visit import open_page, specs, spoken, words


def reader(raw: bytes) -> pa.Table:
    return pa.ipc.open_stream(raw).read_all()


def test_routers_shows_who_changes_its_mind_without_a_click() -> None:
    page = open_page("routers", guess="skip")
    assert not page.exception and not page.error and len(specs(page)) == 3
    model = ready_model()
    a_NE, b_NE = (
        put_side_by_side(model, DEFAULT_SENTENCE, SideSettings(b=Choice(name))).b.weight_NE > 0
        for name in ("topk", "expert_choice")
    )
    changed = sum(set(np.flatnonzero(a)) != set(np.flatnonzero(b)) for a, b in zip(a_NE, b_NE))
    assert changed > 100
    assert f"{changed} of {len(DEFAULT_SENTENCE)} characters go to other experts" in words(page)
    page.selectbox(key="b").set_value("Top-k token choice").run()
    assert "Both do just the same" in words(page)


def test_every_router_of_the_registry_is_in_the_menu_and_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Mine(moe.ROUTERS["topk"]):
        name, title, formula = "mine", "My own router", r"y = \\sum_i g_i f_i(x)"

    monkeypatch.setitem(moe.ROUTERS, "mine", Mine)
    page = open_page("routers", limited="true", noise="true", guess="skip")
    page.session_state["each_router"] = True
    titles = page.selectbox(key="b").options
    assert titles == [router.title for router in moe.ROUTERS.values()]
    for title in titles:
        page.selectbox(key="b").set_value(title).run()
        assert not page.exception and not page.error, title
        assert "What you have seen" in words(page)
    assert page.get("latex") or Mine.formula in words(page)


@pytest.mark.parametrize(
    "query",
    [{"b": "Nobody"}, {"k_topk_a": "99"}, {"room": "x"}, {"seed": "-1"}, {"drop": "by chance"}],
)
def test_routers_ignores_a_bad_link(query: dict[str, str]) -> None:
    page = open_page("routers", **query)
    assert not page.exception and not page.error
    assert page.selectbox(key="b").value == "Expert choice"
    assert page.slider(key="k_topk_a").value == 2


def test_routers_takes_a_good_link_and_shows_what_is_dropped() -> None:
    page = open_page(
        "routers", b="Switch (top-1)", k_topk_a="3", limited="true", text="Hello", guess="skip"
    )
    assert page.slider(key="k_topk_a").value == 3
    settings = SideSettings(Choice("topk", (("k", 3),)), Choice("switch"), room=1.0)
    both = put_side_by_side(ready_model(), "Hello", settings)
    assert both.a.dropped
    page.session_state["both_numbers"] = True
    page.run()
    said = f"{both.a.dropped} of {both.a.routing.n_assignments}"
    assert said in page.get("table")[0].value.to_csv()


def test_routers_asks_first_and_shows_nothing_of_b() -> None:
    page = open_page("routers")
    (figure,) = specs(page)  # the first characters
    (chart,) = page.get("vega_lite_chart")
    runs = {d.name: reader(d.data.data) for d in chart.proto.datasets}["choices"]["run"]
    assert set(runs.to_pylist()) == {"A"} and figure
    asked = " ".join([page.title[0].value, words(page), *[one.label for one in page.button]])
    before, _, _ = asked.partition("…")
    assert len(re.findall(r"\w+", before)) <= 60
    for answer in ("busiest", "go to other", "changes its mind"):
        assert answer not in asked and answer not in str(spoken(page))
    page.button(key="guess_half").click().run()
    assert "You said: 62 (half). B said: 123 (all). " in words(page)
    assert len(specs(page)) == 3
    page.session_state["each_router"] = True
    assert len(specs(page.run())) == 5


def test_a_guess_about_one_pair_is_not_held_against_another() -> None:
    page = open_page("routers")
    page.button(key="guess_half").click().run()
    page.button(key="what_if_full").click().run()
    assert not page.exception and page.selectbox(key="b").value == "Sinkhorn (S-BASE)"
    assert page.toggle(key="limited").value and page.query_params["guess"] == "skip"
    assert "You said" not in words(page) and "turns 153 choices away" in words(page)
    page.button(key="guess_again").click().run()
    assert "turns" not in words(page) and page.button(key="guess_half").label == "62 (half)"


def test_every_what_if_sets_the_controls_to_its_pair() -> None:
    page = open_page("routers", guess="skip", k_topk_a="5")
    for key, what_if in WHAT_IFS.items():
        page.button(key=f"what_if_{key}").click().run()
        assert not page.exception and not page.error
        both = put_side_by_side(ready_model(), DEFAULT_SENTENCE, what_if.settings)
        assert what_if.shows(both) in words(page), key
