"""Ask first, tell after: a guess with one click, and tasks that a teacher sets by a link.

A page asks with `first` and shows nothing that gives the answer away until there is a guess. The
guess is in the address, so that it survives a reload; a teacher's own question and the lock on the
controls are there as well. Whoever edits the address can change them: this is for lessons, not for
examinations.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import streamlit as st

from .guesses import Given
from .outside import address, plain
from .question import (
    ASK,
    GUESS,
    HIDDEN,
    LOCK,
    LOCKED,
    MAX_OPTION,
    MAX_OPTIONS,
    MAX_QUESTION,
    OPTIONS,
    SKIPPED,
    Guess,
    Question,
    Task,
)
from .sharing import table_csv

KEPT = "guesses"  # in the visitor's session, for who comes back from another page
GIVEN = "given"  # there as well: guesses with what came out, which a file of them holds

# Large enough for a finger; a hidden control leaves no gap and no empty expander.
STYLE = """<style>
.st-key-ask button { min-height: 44px; }
</style>"""
HIDE = """<style>
[data-testid="stElementContainer"]:has(input:disabled, [data-testid="stButtonGroup"] :disabled),
[data-testid="stExpander"]:has(input:disabled, [data-testid="stButtonGroup"] :disabled) {
  display: none; }
</style>"""


def task() -> Task:
    """Return the task that the address sets; its texts are cut to the allowed length."""
    words = " ".join(st.query_params.get(ASK, "").split())[:MAX_QUESTION]
    options = [one.strip()[:MAX_OPTION] for one in st.query_params.get(OPTIONS, "").split("|")]
    named = tuple(dict.fromkeys(filter(None, options)))[:MAX_OPTIONS] if words else ()
    return Task(words, named, st.query_params[LOCK] if locked() else "")


def locked() -> bool:
    """Whether a teacher's link locks the controls of the page."""
    return st.query_params.get(LOCK, "") in (LOCKED, HIDDEN)


def first(question: Question, page: str, about: Hashable = None) -> Guess | None:
    """Ask the question, or the one of a teacher's link, unless it was answered before.

    Parameters
    ----------
    question
        The page's own question.
    page
        Name of the page, under which the session remembers the guess.
    about
        What the answer depends on. Once it is another, the guess no longer stands: who has seen
        one answer is not asked again, unless she wants to be.

    Returns
    -------
    Guess or None
        None while the question is open: the page shows nothing yet that tells the answer.
    """
    set_by = task()
    if set_by.lock == HIDDEN:
        st.html(HIDE)
    if set_by.words:
        numbered = {str(n): words for n, words in enumerate(set_by.options, 1)}
        question = replace(question, words=set_by.words, options=numbered, judged=False)
    may_skip = set_by == Task()
    key = _remembered(question, page, may_skip)
    if key and may_skip and st.session_state.setdefault(f"{KEPT}_{page}", about) != about:
        key = SKIPPED
        _say(page, question, key)
    if key:
        return Guess(question, key)
    st.session_state[f"{KEPT}_{page}"] = about
    st.html(STYLE)
    with st.container(key="ask", border=True, gap="xsmall"):
        st.markdown(f"**{plain(question.words)}**")
        if question.options:
            for name, words in question.options.items():
                st.button(
                    plain(words), key=f"guess_{name}", on_click=_say,
                    args=(page, question, name), width="stretch",
                )  # fmt: skip
        else:
            _write(question, page)
        if may_skip:
            st.button(
                "Skip", key="guess_skip", on_click=_say,
                args=(page, question, SKIPPED), type="tertiary",
            )  # fmt: skip
        elif set_by.lock:
            st.caption("A task from your teacher, with the settings chosen for it.")
    return None


def told(reply: str) -> None:
    """Show a reply, in which a visitor's own words stand as they are."""
    st.markdown(f"**{plain(reply)}**")


def after(guess: Guess, page: str, told: str, truth: str = "") -> None:
    """Offer to answer again, and to take the answer along as a file; a skipped one asks again.

    Parameters
    ----------
    told
        What came out, in a sentence.
    truth
        Name of the option that is right, if the page can tell.
    """
    may_repeat = task() == Task()
    with st.container(horizontal=True, key="answered"):
        if may_repeat:
            st.button(
                "Ask me first" if guess.skipped else "Ask me again", key="guess_again",
                on_click=_say, args=(page, guess.question, ""), type="tertiary",
            )  # fmt: skip
        if not guess.skipped:
            keep((page, guess.question.words), Given.of(guess, page, told, truth))
            row = {
                "page": page, "question": guess.question.words, "you said": guess.words,
                "what came out": told, "address": address(),
            }  # fmt: skip
            st.download_button(
                "Save my answer", lambda: table_csv([row]), f"moescope-{page}-answer.csv",
                "text/csv", on_click="ignore", key="guess_save", type="tertiary",
            )  # fmt: skip


def keep(question: Hashable, given: Given | None) -> None:
    """Keep a guess for the file of all guesses, one for a question; None drops it."""
    kept = st.session_state.setdefault(GIVEN, {})
    kept.pop(question, None)
    if given:
        kept[question] = given


def all_given() -> list[Given]:
    """Return this visitor's guesses on all pages, with what came out."""
    return list(st.session_state.get(GIVEN, {}).values())


def _remembered(question: Question, page: str, may_skip: bool) -> str:
    """Name of the answer in the address, or of the one of this session; empty if there is none."""
    kept = st.session_state.setdefault(KEPT, {})
    key = st.query_params.get(GUESS, "")[:MAX_QUESTION]
    if not _allowed(question, key, may_skip):
        key = kept.get((page, question.words), "")
        if key:
            st.query_params[GUESS] = key
        elif GUESS in st.query_params:
            del st.query_params[GUESS]
    kept[page, question.words] = key
    return key


def _allowed(question: Question, key: str, may_skip: bool) -> bool:
    if question.options:
        return key in question.options or (may_skip and key == SKIPPED)
    return bool(key.strip())


def _say(page: str, question: Question, key: str) -> None:
    """Keep an answer, or forget it if it is empty."""
    st.session_state.setdefault(KEPT, {})[page, question.words] = key
    st.session_state.get(GIVEN, {}).pop((page, question.words), None)
    if key:
        st.query_params[GUESS] = key
    else:
        st.query_params.pop(GUESS, None)


def _write(question: Question, page: str) -> None:
    """Ask for an answer in the pupil's own words."""
    with st.form("guess_form", border=False):
        own = st.text_input("Your answer", key="guess_text", max_chars=MAX_QUESTION)
        if st.form_submit_button("This is my answer") and own.strip():
            _say(page, question, own.strip())
            st.rerun()
