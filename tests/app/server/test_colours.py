"""The theme that a page's first message holds."""

from __future__ import annotations

import pytest
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session

from moe.app.server import colours

SECTIONS = ("theme", "theme.light", "theme.dark", "theme.sidebar")


def test_a_theme_is_looked_up_once_and_stays_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    usual, asked = app_session._populate_theme_msg, []

    def counted(message: CustomThemeConfig, section: str = "theme") -> None:
        asked.append(section)
        usual(message, section)

    monkeypatch.setattr(app_session, colours.NAME, counted)
    assert colours.keep_colours() and colours.keep_colours()  # the second time does nothing
    for _ in range(3):
        for section in SECTIONS:
            first, ours = CustomThemeConfig(), CustomThemeConfig()
            usual(first, section)
            app_session._populate_theme_msg(ours, section)
            assert first == ours
    assert sorted(asked) == sorted(SECTIONS)


def test_another_streamlit_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(app_session, colours.NAME)
    assert not colours.keep_colours()
