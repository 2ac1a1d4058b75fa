"""The page Real models without a browser."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.app.visit import open_page


def words(page: AppTest) -> str:
    return "\n".join(element.value for element in [*page.markdown, *page.caption])


def test_real_models_tell_what_fits_without_a_click() -> None:
    page = open_page("real_models")
    assert not page.exception and not page.error
    assert "30 of 31" in words(page) and len(page.get("vega_lite_chart")) == 3
    assert len(page.dataframe[0].value) == 31
    page.selectbox(key="machine").set_value("GeForce RTX 4090").run()
    page.selectbox(key="weights").set_value("16 bits").run()
    assert not page.exception and "in 22 GB of memory" in words(page)
    page.selectbox(key="convention").set_value("without both tables").run()
    page.selectbox(key="model").set_value("OLMoE-1B-7B").run()
    assert "Alone, a conversation with OLMoE-1B-7B" in words(page)


def test_real_models_survive_a_bad_link() -> None:
    page = open_page("real_models", machine="?", batch="3", machines="0", usable="7", gb="-1")
    assert not page.exception and not page.error and "30 of 31" in words(page)
    page = open_page("real_models", machine="A machine of my own", gb="1.0")
    assert not page.exception and "none of the 31 models" in words(page)
