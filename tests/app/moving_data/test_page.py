"""The page Moving data without a browser, and the article's page."""

from __future__ import annotations

import json
from html import escape

import pytest
from streamlit.testing.v1 import AppTest

from docs.generator import article, site
from moe.app.moving_data import chart as charts
from moe.app.moving_data import story as moving
from moe.app.moving_data.page import MORE
from moe.app.moving_data.story import MovingSettings
from tests.app import visit
from tests.app.visit import spoken, words


def open_page(**query: str) -> AppTest:
    """The page with all that is closed at first opened."""
    page = visit.open_page("moving_data", **query)
    for key in MORE:
        page.session_state[key] = True
    return page.run()


def test_what_is_closed_is_neither_computed_nor_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ways", "links", "before_after"):
        monkeypatch.setattr(moving, name, None)  # fails if it is asked for
    page = visit.open_page("moving_data", tokens="128", skew="0.7")
    assert not page.exception and not page.error
    assert len(spoken(page)) == len(page.get("vega_lite_chart")) == 1


def test_the_first_view_tells_the_story() -> None:
    page = open_page()
    assert not page.exception and not page.error
    settings = MovingSettings(tokens=128)
    assert moving.ways_words(moving.ways(settings)) in words(page)
    assert moving.links_words(
        moving.links(settings), moving.links(moving.more_uneven(settings))
    ) in words(page)
    assert moving.placement_words(*moving.before_after(settings)) in words(page)
    limits = moving.by_limit(settings)
    assert any(
        escape(moving.limit_words(limits, 4)) in html.proto.body for html in page.get("html")
    )
    moved = moving.move(settings)
    assert page.metric[0].value == f"{moved.sent.copies_per_token:.2f}"
    told = spoken(page)
    assert len(told) == len(page.get("vega_lite_chart")) == 7
    assert all(len(text) > 60 for text in told)
    assert escape(moved.words()) in told[2]


@pytest.mark.parametrize("gpu", ["H800", "H100"])
@pytest.mark.parametrize("nodes", ["1", "8"])
def test_what_is_said_is_what_is_shown(nodes: str, gpu: str) -> None:
    page = open_page(nodes=nodes, tokens="128", gpu=gpu)
    settings = MovingSettings(nodes=int(nodes), tokens=128, gpu=gpu)
    limits = moving.by_limit(settings)
    said = moving.limit_words(limits, settings.reach)
    assert any(escape(said) in html.proto.body for html in page.get("html"))
    assert f"{limits[settings.reach - 1].moved.ms:.2f} ms" in said
    slower = {"H800": 200 / 50, "H100": 450 / 50}[gpu]  # GB/s in each direction
    assert f"{slower:.0f} times slower on an {gpu}" in words(page)
    made = moving.ways(settings)
    first, last = made[0].moved.ms, made[-1].moved.ms
    assert ("times less" in words(page)) == (first / last >= 1.05)


def test_words_of_a_change_follow_its_direction() -> None:
    assert moving._change_words(2.0) == "2.0 times less"
    assert moving._change_words(0.5) == "2.0 times more"
    assert moving._change_words(1.01) == "which is next to no change"


def test_a_placement_that_does_not_help_is_said_to_be_none() -> None:
    before, after = moving.before_after(MovingSettings(tokens=128, nodes=2))
    assert after.load_G.max() < before.load_G.max()
    assert "does not even out" not in moving.placement_words(before, after)
    said = moving.placement_words(after, before)
    assert "Here it does not even out the work." in said and "waits less" not in said


def test_controls_come_from_the_address_and_change_the_picture() -> None:
    page = open_page(nodes="2", limit="1", tokens="128", gpu="H100", wire="BF16", skew="0.0")
    settings = MovingSettings(nodes=2, limit=1, tokens=128, gpu="H100", wire="BF16", skew=0.0)
    assert not page.exception and moving.move(settings).words() in words(page)
    page.select_slider(key="nodes").set_value(1).run()
    assert not page.exception and "nothing but NVLink" in words(page)
    page.selectbox(key="placed").set_value(moving.EVENED).run()
    assert not page.exception and moving.EVENED in spoken(page)[-2]


def test_a_bad_link_falls_back() -> None:
    page = open_page(nodes="3", limit="99", copies="x", skew="-1", tokens="1e9")
    assert not page.exception and not page.error
    assert page.slider(key="limit").value == 4


@pytest.mark.parametrize("nodes", [1, 8])
def test_every_figure_has_words_and_pictures(nodes: int) -> None:
    settings = MovingSettings(nodes=nodes, tokens=128)
    moved = moving.move(settings)
    figures = [
        charts.ways_bars(moving.ways(settings)),
        charts.cluster_picture(moved),
        charts.node_to_node(moved),
        charts.links_bars(moving.links(settings)),
        charts.placements(*moving.before_after(settings)),
        charts.price_of_limit(moving.by_limit(settings), settings.reach),
    ]
    for figure in figures:
        assert b"<svg" in figure.image("svg") and len(figure.alt) > 40
        assert json.dumps(figure.data)
    links = figures[1].data["links"]
    assert len(links) == (2 * nodes if nodes > 1 else 1)
    assert figures[1].image("png").startswith(b"\x89PNG")


def test_the_article_is_what_the_code_computes() -> None:
    """The committed page, and a figure of it by hand."""
    page = article.page()
    assert (site.HERE / article.PAGE).read_text("utf-8") == page, "run `make pages`"
    assert f"${(2664 + 119 + 5) * 1e3 * 2 / 1e6:.3f}M" in page
    assert f"${30.84 * 2:.4g}M" in page
    assert len(article.statements()) == 11
    for statement in article.statements():
        assert statement.verdict
        assert all(command.startswith("moe ") for command in statement.commands)
