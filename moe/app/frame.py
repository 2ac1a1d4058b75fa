"""The app's frame: its name, its groups of pages, and what stands around each page."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import lru_cache
from html import escape
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from string import Template

import streamlit as st

from .. import kernels
from ..pictures.palette import ACTION, PAPER

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
    from .balance import page as balance
    from .cure import page as cure
    from .distil import page as distil
    from .five_million import page as five_million
    from .gate import page as gate
    from .language_model import page as language_model
    from .learn import page as learn
    from .moving_data import page as moving_data
    from .play import page as play
    from .reading import page as reading
    from .real_models import page as real_models
    from .routers import page as routers
    from .savings import page as savings
    from .start import page as start
    from .think import page as think
    from .your_model import page as your_model

    return {
        "start": start.show,
        "balance": balance.show,
        "cure": cure.show,
        "savings": savings.show,
        "five-million": five_million.show,
        "real-models": real_models.show,
        "language-model": language_model.show,
        "distil": distil.show,
        "think": think.show,
        "gate": gate.show,
        "play": play.show,
        "routers": routers.show,
        "moving-data": moving_data.show,
        "learn": learn.show,
        "your-model": your_model.show,
        "reading": reading.show,
    }


def main() -> None:
    """Show the page that the address names."""
    from .shared import compiling, drawing, finger, glossary, menu, outside, parts, path, theme

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
