"""The theme in the first message of each answer, looked up once.

Streamlit asks for each of sixty settings of the theme anew whenever a page runs, in the loop that
all visitors share: a fifth of what the loop did with fifty of them. They are fixed at the start.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session

NAME = "_populate_theme_msg"


def keep_colours() -> bool:
    """Let the theme be looked up once, and say whether this Streamlit's can be."""
    usual: Any = getattr(app_session, NAME, None)
    if usual is None:
        return False
    if not hasattr(usual, "kept"):
        setattr(app_session, NAME, _kept(usual))
    return True


def _kept(usual: Any) -> Any:
    """Return Streamlit's own function with a memory."""

    @cache
    def of(section: str) -> Any:
        made = CustomThemeConfig()
        usual(made, section)
        return made

    def fill(message: Any, section: str = "theme") -> None:
        message.MergeFrom(of(section))

    fill.kept = of  # type: ignore[attr-defined]
    return fill
