"""Elements of a page as HTML: what is kept, what is left out, what is escaped."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from moe.app.static.elements import Written, written


def page(script: str) -> Written:
    test = AppTest.from_string(f"import streamlit as st\n{script}", default_timeout=60).run()
    assert not test.exception
    return written(test.main, frozenset({"play"}))


def test_texts_tables_and_containers_stand_in_their_order() -> None:
    html = page(
        "st.title('One & two')\n"
        "st.markdown('**Bold** and \\\\$5')\n"
        "with st.expander('More', expanded=True):\n"
        "    st.code('a < b')\n"
        "left, right = st.columns(2)\n"
        "left.table([{'name': 'x<y', 'value': '1'}])\n"
        "right.metric('Hours', '2.8 million')\n"
        "st.caption('small')\n"
    ).html()
    assert "<h1>One &amp; two</h1>" in html and "<strong>Bold</strong> and $5" in html
    assert "<details open><summary>More</summary>" in html and "a &lt; b" in html
    assert "<td>x&lt;y</td>" in html and '<th scope="col">name</th>' in html
    assert "<span>Hours</span><b>2.8 million</b>" in html and '<div class="caption">small' in html
    assert html.index("One") < html.index("Bold") < html.index("More") < html.index("small")


def test_what_needs_a_server_is_left_out() -> None:
    html = page(
        "st.button('Press')\nst.selectbox('Pick', ['a'])\nst.slider('Far', 0, 5, key='far')\n"
        "st.container(key='share').markdown('inside')\nst.markdown('stays')\n"
    ).html()
    assert "stays" in html
    for gone in ("Press", "Pick", "Far", "inside"):
        assert gone not in html


def test_links_lead_to_pages_that_are_there_and_others_are_words() -> None:
    html = page("st.markdown('[See it](/play?run=8-0) and [Look →](/routers?k=2)')").html()
    assert '<a href="../play/">See it</a>' in html
    assert "<span>Look: in the live edition</span>" in html and "routers" not in html


def test_an_element_that_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match="element: got json"):
        page("st.json({})")


def test_a_slider_that_moves_a_picture_stays_with_its_positions() -> None:
    made = page(
        "from moe.app.shared.finger import Finger, Slider\n"
        "st.slider('Price', 0, 4, 1, key='price')\n"
        "st.select_slider('Size', ['s', 'm'], 'm', key='size')\n"
        "finger = Finger([Slider('price', range(5)), Slider('size', ['s', 'm'], listed=True)],"
        " price=1, size='m')\n"
        "finger.words(lambda price, size: f'{price} {size}')\nfinger.watch()\n"
    )
    html = made.html()
    assert 'class="slider st-key-price"' in html and 'min="0" max="4" step="1" value="1"' in html
    assert 'class="slider st-key-size"' in html and 'value="1" aria-label="Size"' in html
    (place,) = made.places
    assert (
        place["component"] == "moe_finger"
        and place["data"]["sliders"]["price"]["names"][4] == "price=4"
    )
    assert made.components["moe_finger"]["js"]
