"""The app's frame: its name, its groups of pages, and what stands around each page."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from html import escape
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from string import Template
from typing import Any

import streamlit as st

from .. import kernels
from ..pictures.palette import ACTION, PAPER
from .shared import path

HERE = Path(__file__).parent
CLAIM = "Mixture of experts: watch it learn, change it, measure it."


@lru_cache
def keep_loaded(n_modules: int) -> None:
    """Keep the garbage collector from visiting loaded modules, which would delay an answer."""
    gc.freeze()


@lru_cache
def logo(ink: str) -> str:
    """Return the name with its sign as SVG, whose letters have a theme's colour of text."""
    return (HERE / "logo.svg").read_text("utf-8").replace("currentColor", ink)


@lru_cache
def style(title: str, ink: str) -> str:
    """Return the style of what stands around a page of this title, in a theme."""
    css = Template((HERE / "frame.css").read_text("utf-8"))
    own = css.substitute(title=title, ink=ink, paper=PAPER[ink], action=ACTION[ink])
    return f"<style>{own}</style>"


@lru_cache
def links() -> str:
    """Return links to the documentation and the source: the project's own addresses, as HTML.

    While the project names none, this server shows what it has of both.
    """
    try:
        named = metadata("moescope").get_all("Project-URL") or []
    except PackageNotFoundError:
        named = []
    urls = dict(line.split(", ", 1) for line in named)
    return " ".join(
        f'<a href="{escape(urls.get(name, f"reading?show={name}"))}">{name}</a>'
        for name in ("Documentation", "Source")
    )


def _shown() -> dict[str, Callable[[], None]]:
    """What shows each page, by its address."""
    return {stop.address: partial(_show, stop.address) for stop in path.STOPS}


def _show(address: str) -> None:
    _module(address).show()


def _module(address: str) -> Any:
    """Return a page's module, which is loaded when somebody first asks for the page.

    All of them take more than a second to load, which the very first visitor would wait.
    """
    return import_module(f".{address.replace('-', '_')}.page", __package__)


def load_pages() -> None:
    """Load all pages, before somebody asks for them."""
    for stop in path.STOPS:
        _module(stop.address)


def main() -> None:
    """Show the page that the address names."""
    from .shared import compiling, drawing, finger, glossary, menu, outside, parts, theme

    shown = _shown()
    keep_loaded(len(sys.modules))
    drawing.draw_quickly()
    st.set_page_config(page_title="MoEscope", page_icon="🔬", layout="wide")
    outside.clean_address()
    pages = {
        stop.address: st.Page(
            shown[stop.address], title=stop.title, url_path=stop.address,
            default=stop == path.STOPS[0],
        )
        for stop in path.STOPS
    }  # fmt: skip
    st.session_state[path.PAGES] = pages
    groups = {
        group: [pages[stop.address] for stop in path.STOPS if stop.group == group]
        for group in path.GROUPS
    }
    page = st.navigation(groups, position="top")
    st.logo(logo(parts.ink()), size="large")
    st.html(f"{parts.FIGURE_STYLE}{style(page.title, parts.ink())}")
    st.html(f'<p class="moe-claim">{CLAIM} {links()}</p>')
    st.html(finger.INPUT)
    menu.close_menu(page.url_path)
    theme.follow_theme()
    glossary.hold_meanings()
    compiling.compiling_note()
    st.session_state[path.ENDED] = False
    address = page.url_path or path.STOPS[0].address
    path.arrived(address)
    with kernels.steady():  # a page that oracles began does not end on kernels
        page.run()
    if not st.session_state[path.ENDED]:
        parts.next_step(address)
