"""The Share box: what it copies, its QR code, and the link of a teacher's task."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from moe.app.shared.share_box import qr_code
from moe.app.shared.sharing import table_csv, table_of
from moe.pictures.figure import Drawing, Figure, draw

SCRIPT = """
import streamlit as st
from moe.app.shared.parts import BOUND
from moe.app.shared.share_box import share_box
from moe.pictures.figure import Drawing, Figure, draw

st.slider("Seed", 0, 9, 3, key="seed", **BOUND)
st.text_input("Sentence", key="text", **BOUND)
rows = {"bars": [{"name": "=A", "share": 0.5}]}
figure = Figure("Bars", Drawing(draw("bars").mark_bar().encode(x="name:N", y="share:Q")), "", rows)
share_box("trial", "print(1)", None, lambda: b"{}", lambda: figure, "300 steps, seed 3")
"""


def visit(**query: str) -> AppTest:
    page = AppTest.from_string(SCRIPT)
    for name, value in query.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def opened(**query: str) -> AppTest:
    page = visit(**query)
    page.session_state["trial_task"] = True
    return page.run()


def test_a_qr_code_is_a_picture_of_the_link_or_says_that_it_is_too_long() -> None:
    head, _, svg = qr_code("http://127.0.0.1/balance?seed=3").partition(",")
    assert head.startswith("data:image/svg+xml")
    tree = ET.fromstring(unquote(svg))
    assert tree.tag.endswith("svg") and any(len(one.get("d", "")) > 500 for one in tree.iter())
    assert qr_code("http://a") != qr_code("http://b")
    with pytest.raises(ValueError, match="link: got 3000 letters, allowed is"):
        qr_code("x" * 3000)


def test_a_picture_says_where_it_comes_from() -> None:
    captions: list[list[str]] = []

    def image(self: Figure, kind: str, width: int = 720, caption: Sequence[str] = ()) -> bytes:
        captions.append(list(caption))
        return kind.encode()

    with pytest.MonkeyPatch.context() as patch:
        files = {}
        patch.setattr(Figure, "image", image)
        patch.setattr(
            st, "download_button", lambda label, data, name, *_, **__: files.update({name: data})
        )
        visit(seed="5", text="a&b")
        assert {name.rpartition(".")[2] for name in files} == {"png", "svg", "csv", "json"}
        assert files["moescope-trial.svg"]() == b"svg"
        rows = list(csv.reader(io.StringIO(files["moescope-trial.csv"]().decode())))
        assert rows == [["table", "name", "share"], ["bars", "'=A", "0.5"]]
    (caption,) = captions
    assert caption[0].startswith("300 steps, seed 3 · MoEscope ")
    assert caption[1].endswith("?seed=5&text=a%26b")


def test_a_caption_is_in_the_picture_cut_to_lines() -> None:
    bars = Drawing(draw("bars").mark_bar().encode(x="share:Q"))
    figure = Figure("Bars", bars, "", {"bars": [{"share": 1.0}]})
    svg = figure.image("svg", caption=["seed 3", "y" * 250]).decode()
    assert ">seed 3<" in svg and f">{'y' * 110}<" in svg and f">{'y' * 30}<" in svg
    assert "seed 3" not in figure.image("svg").decode()


def test_the_builder_makes_a_link_that_asks() -> None:
    page = opened(seed="5", guess="few")
    assert not page.code  # no link before there is a task
    page.text_input(key="trial_task_ask").set_value("Why & <how>?").run()
    page.text_area(key="trial_task_options").set_value("a|b\n\n c \n")
    page.radio(key="trial_task_lock").set_value("hidden").run()
    asked = parse_qs(urlsplit(page.code[0].value).query)
    assert asked == {
        "seed": ["5"], "ask": ["Why & <how>?"], "options": ["a/b|c"], "lock": ["hidden"],
    }  # fmt: skip


def test_code_is_sent_once_it_is_asked_for() -> None:
    page = visit()
    assert not page.code
    page.session_state["trial_code"] = True
    assert [one.value for one in page.run().code] == ["print(1)"]


def test_a_pupil_gets_no_builder() -> None:
    assert [one.label for one in visit().expander] == [
        "Show the code", "Make a task for my class", "See my class's guesses",
    ]  # fmt: skip
    for query in ({"ask": "Why?"}, {"lock": "shown"}):
        assert [one.label for one in visit(**query).expander] == ["Show the code"]


def test_an_address_is_changed_part_by_part() -> None:
    page = AppTest.from_string(
        "from moe.app.shared.outside import address\nimport streamlit as st\n"
        "st.code(address(a=None, b='x y', c='='))"
    )
    page.query_params["a"] = "1"
    page.query_params["d"] = "2"
    assert parse_qs(urlsplit(page.run().code[0].value).query) == {
        "b": ["x y"], "c": ["="], "d": ["2"],
    }  # fmt: skip


def test_a_table_says_what_a_row_is_of() -> None:
    rows = table_of({"bars": [{"x": 1}], "line": [{"y": 2}]})
    assert table_csv(rows) == b"table,x,y\nbars,1,\nline,,2\n"
