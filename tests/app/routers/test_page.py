"""The page Routers without a browser."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe.app.routers.story import Choice, SideSettings, put_side_by_side
from moe.app.shared.first_model import (
    DEFAULT_SENTENCE,
    ready_model,
)
from tests.app.visit import open_page, specs, words


def test_routers_shows_who_changes_its_mind_without_a_click() -> None:
    page = open_page("routers")
    assert not page.exception and not page.error and len(specs(page)) == 4
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
    page = open_page("routers", limited="true", noise="true")
    titles = page.selectbox(key="b").options
    assert titles == [router.title for router in moe.ROUTERS.values()]
    for title in titles:
        page.selectbox(key="b").set_value(title).run()
        assert not page.exception and not page.error, title
        assert "characters" in words(page)
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
    page = open_page("routers", b="Switch (top-1)", k_topk_a="3", limited="true", text="Hello")
    assert page.slider(key="k_topk_a").value == 3
    settings = SideSettings(Choice("topk", (("k", 3),)), Choice("switch"), room=1.0)
    both = put_side_by_side(ready_model(), "Hello", settings)
    assert both.a.dropped and f"A drops {both.a.dropped} choices." in words(page)
