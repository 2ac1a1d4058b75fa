"""Parts of a page that the browser draws: scripts of this project, sent as text by Streamlit.

A module that has such a part says which files make it, and calls what it gets to show it::

    _board = component("gate", __file__, _MARKUP, "board.js", "board.css")
    _board(key="gate", data=payload)

A script that is sent as text cannot import a file, so that several are one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

UNSEEN = '<span class="moe-unseen"></span>'
SHARED = Path(__file__).with_suffix(".css")


def component(
    name: str, owner: str, html: str | Callable[[], str], *files: str | Path, on_page: bool = False
) -> Callable[..., Any]:
    """Return what shows a component; the first call registers it, once for the process.

    Parameters
    ----------
    name
        In the browser, after "moe_".
    owner
        File of the module that has it; its own files stand in the same folder.
    html
        Its markup, or what makes it when it is first shown. The root of one that is drawn has the
        class "moe-part", whose style sheet comes before its own.
    files
        Scripts and style sheets, in the order in which they are joined.
    on_page
        Whether it works on the page around it, rather than being drawn within borders of its own.

    Returns
    -------
    What takes the keywords of a component of Streamlit, `key`, `data` and `on_..._change` among
    them, and returns its result.
    """
    paths = [Path(owner).parent / file for file in files]

    def joined(suffix: str, first: tuple[Path, ...] = ()) -> str | None:
        found = [*first, *(path for path in paths if path.suffix == suffix)]
        return "\n".join(path.read_text(encoding="utf-8") for path in found) or None

    @cache
    def registered() -> Callable[..., Any]:
        return st.components.v2.component(
            f"moe_{name}",
            html=html if isinstance(html, str) else html(),
            css=joined(".css", () if on_page else (SHARED,)),
            js=joined(".js"),
            isolate_styles=not on_page,
        )

    def show(**told: Any) -> Any:
        return registered()(**told)

    return show
