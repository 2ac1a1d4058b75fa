"""The Share box below each page: its link, its picture, its numbers, its code, a class's task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from html import escape

import streamlit as st

from ...pictures.figure import Figure, Rows
from ...version import __version__
from . import parts
from .ask import all_given, task
from .class_chart import guessed
from .component import component
from .guesses import file_of, read_guesses, tallies
from .outside import address, plain, show_problem
from .question import ANSWERS, GUESS, HIDDEN, LOCKED, MAX_OPTION, MAX_OPTIONS, MAX_QUESTION, Task
from .sharing import table_csv, table_of

_MARKUP = """
<div class="share" role="group" aria-label="Copy">
  <button type="button" class="link">Copy link</button>
  <button type="button" class="embed">Copy embed code</button>
  <input class="by-hand" readonly hidden aria-label="To copy by hand">
  <p class="said" aria-live="polite"></p>
</div>
"""
_copier = component("share", __file__, _MARKUP, "share_box.js", "share_box.css")
_STYLE = """<style>
.moe-qr { display: block; width: 100%; max-width: 8.5rem; }
@media (max-width: 640px) { .st-key-share button { min-height: 44px; } }
</style>"""
File = tuple[str, Callable[[], bytes], str, str]
_LOCKS = {
    "": "try everything", LOCKED: "see the controls, and not change them",
    HIDDEN: "not see the controls",
}  # fmt: skip


def share_box(
    name: str,
    code: str,
    command: str | None,
    as_json: Callable[[], bytes],
    figure: Callable[[], Figure],
    settings: str = "",
    rows: Callable[[], Rows] | None = None,
) -> None:
    """Offer what a visitor may take along; files are made when they are asked for.

    Parameters
    ----------
    name
        Name of the page, for the files.
    code, command
        Code of a notebook cell, and a command line, that give the same numbers.
    as_json
        Makes the run as JSON.
    figure
        Makes the picture.
    settings
        What the picture's caption says beside the address, such as steps and seed.
    rows
        Makes the numbers shown; those of the picture if none are given.
    """
    caption = [f"{settings} · MoEscope {__version__}".removeprefix(" · "), address()]
    numbers = rows or (lambda: table_of(figure().data))

    box(
        name,
        (
            ("Figure as PNG", lambda: figure().image("png", caption=caption), "png", "image/png"),
            ("Figure as SVG", lambda: figure().image("svg", caption=caption), "svg",
             "image/svg+xml"),
            ("Numbers as CSV", lambda: table_csv(numbers()), "csv", "text/csv"),
            ("Run as JSON", as_json, "json", "application/json"),
        ),
        lambda: _codes(name, code, command),
    )  # fmt: skip


def box(
    name: str, files: Sequence[File], more: Callable[[], None] | None = None, asks: bool = True
) -> None:
    """Offer a page's link and files, a visitor's guesses, and what a teacher needs.

    Parameters
    ----------
    name
        As in `share_box`.
    files
        Of each its label, what makes it, the ending of its name, and its kind.
    more
        Shows what belongs below them.
    asks
        Whether a teacher may put a question of her own; a lesson has its own.
    """
    st.html(_STYLE)
    with st.container(border=True, key="share"):
        st.subheader("Share", anchor=False)
        _copier(key=f"{name}_copy", data={})
        with st.container(horizontal=True):
            for label, make, ending, kind in files:
                st.download_button(
                    label, make, f"moescope-{name}.{ending}", kind, on_click="ignore",
                    key=f"{name}_{ending}",
                )  # fmt: skip
            if given := all_given():
                st.download_button(
                    "My guesses", lambda: file_of(given), "moescope-guesses.json",
                    "application/json", on_click="ignore", key=f"{name}_guesses",
                )  # fmt: skip
            _qr_code(f"{name}_qr")
        if more:
            more()
        if task() == Task():
            _make_task(name, asks)
            _class(name)


@st.fragment
def _codes(name: str, code: str, command: str | None) -> None:
    """Show code and command once asked for: what draws code is a fifth of a first visit."""
    opened = st.expander("Show the code", key=f"{name}_code", on_change="rerun")
    if not opened.open:
        return
    with opened:
        st.markdown("The same numbers from the library, as a notebook cell:")
        st.code(code, language=None, wrap_lines=True)
        if command:
            st.markdown("The same from the command line:")
            st.code(command, language=None, wrap_lines=True)


@lru_cache(maxsize=64)
def qr_code(link: str) -> str:
    """Return the QR code of a link as the address of an SVG picture, which holds all of it.

    Raises
    ------
    ValueError
        If the link is too long for one.
    """
    import segno

    try:
        return str(segno.make_qr(link, error="l").svg_data_uri(scale=8, light="white"))
    except segno.DataOverflowError as error:
        raise ValueError(
            f"link: got {len(link)} letters, allowed is what fits a QR code; shorten the texts"
        ) from error


@st.fragment
def _qr_code(key: str) -> None:
    """Show the QR code of the page, made once it is looked at."""
    opened = st.popover("QR code", key=key, on_change="rerun")
    if opened.open:
        with opened:
            _show_qr(address())


def _show_qr(link: str) -> None:
    try:
        # A link, so that a keyboard can scroll to it where its box has little room.
        image = f'<img class="moe-qr" alt="QR code of the link" src="{qr_code(link)}">'
        st.html(f'<a href="{escape(link)}">{image}</a>')
        st.caption("Scan it with a phone to open this link.")
    except ValueError as error:
        show_problem(error)


@st.fragment
def _make_task(name: str, asks: bool) -> None:
    """Build the link of a teacher's task from the page as it stands."""
    builder = st.expander("Make a task for my class", key=f"{name}_task", on_change="rerun")
    if not builder.open:
        return
    with builder:
        words, options = _own_question(name) if asks else ("", ())
        if not asks:
            st.markdown(
                "The link opens this page before the first answer, and with the name that is set "
                "now. Whoever edits the address can undo it."
            )
        lock = st.radio("Pupils may", list(_LOCKS), format_func=_LOCKS.get, key=f"{name}_task_lock")
        made = Task(words, options, lock)
        if made == Task():
            st.caption(f"{'Type a question, or lock' if asks else 'Lock'} the controls, and the "
                       "link appears here.")  # fmt: skip
            return
        link = address(**{GUESS: None, ANSWERS: None, **made.in_address()})
        st.code(link, language=None, wrap_lines=True)
        _copier(key=f"{name}_task_copy", data={"link": link})
        _show_qr(link)


def _own_question(name: str) -> tuple[str, tuple[str, ...]]:
    """Ask a teacher for a question of her own, and for the answers to choose from."""
    st.markdown(
        "The link opens this page as you have set it, asks your question, and shows the run "
        "once it is answered. Whoever edits the address can undo it."
    )
    words = st.text_input(
        "Your question (empty: the page's own)", key=f"{name}_task_ask", max_chars=MAX_QUESTION
    ).strip()
    options = st.text_area(
        f"Answers to choose from, one a line, {MAX_OPTIONS} at most (none: pupils write one)",
        key=f"{name}_task_options", disabled=not words, height=120,
    )  # fmt: skip
    lines = [line.strip()[:MAX_OPTION] for line in options.splitlines() if line.strip()]
    return words, tuple(lines[:MAX_OPTIONS]) if words else ()


@st.fragment
def _class(name: str) -> None:
    """Count the files of a class, each question beside what came out."""
    opened = st.expander("See my class's guesses", key=f"{name}_class", on_change="rerun")
    if not opened.open:
        return
    with opened:
        files = st.file_uploader(
            "Files that pupils saved with “My guesses” in this box (30 at a time; nothing is kept)",
            type="json", accept_multiple_files=True, key=f"{name}_class_files", max_upload_size=1,
        )  # fmt: skip
        given = []
        for file in files:
            try:
                given.extend(read_guesses(file.getvalue()))
            except ValueError as error:
                show_problem(ValueError(f"{file.name}: {error}"))
        for at, tally in enumerate(tallies(given)):
            parts.show(guessed(tally, parts.ink()), f"{name}_class_{at}")
            st.markdown(plain(tally.told))
