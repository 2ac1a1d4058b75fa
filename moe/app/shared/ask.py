"""Ask first, tell after: a guess with one click, and tasks that a teacher sets by a link.

A page asks with `first` and shows nothing that gives the answer away until there is a guess. The
guess is in the address, so that it survives a reload; a teacher's own question and the lock on the
controls are there as well. Whoever edits the address can change them: this is for lessons, not for
examinations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import streamlit as st

from .outside import address, plain
from .sharing import table_csv

GUESS, ASK, OPTIONS, LOCK = "guess", "ask", "options", "lock"  # names in the address
SKIPPED = "skip"
LOCKED, HIDDEN = "shown", "hidden"  # what a lock makes of the controls
MAX_QUESTION, MAX_OPTION, MAX_OPTIONS = 200, 60, 6
KEPT = "guesses"  # in the visitor's session, for who comes back from another page

# Large enough for a finger; a hidden control leaves no gap and no empty expander.
STYLE = """<style>
.st-key-ask button { min-height: 44px; justify-content: flex-start; text-align: left; }
</style>"""
HIDE = """<style>
[data-testid="stElementContainer"]:has(input:disabled, [data-testid="stButtonGroup"] :disabled),
[data-testid="stExpander"]:has(input:disabled, [data-testid="stButtonGroup"] :disabled) {
  display: none; }
</style>"""


@dataclass(frozen=True)
class Question:
    """A question with the answers that one may click.

    Attributes
    ----------
    words
        The question, which does not tell its answer.
    options
        What stands on each button, by its name in the address.
    judged
        Whether the page can tell which answer is right: of a teacher's own question it cannot.
    """

    words: str
    options: Mapping[str, str] = field(default_factory=dict)
    judged: bool = True


@dataclass(frozen=True)
class Guess:
    """What a visitor answered: the name of an option, `SKIPPED`, or her own words."""

    question: Question
    key: str

    @property
    def skipped(self) -> bool:
        """Whether the visitor did not want to guess."""
        return self.key == SKIPPED

    @property
    def words(self) -> str:
        """The answer in words; empty if skipped."""
        return "" if self.skipped else self.question.options.get(self.key, self.key)

    def reply(self, truth: str, told: str) -> str:
        """Hold the guess against what came out.

        Parameters
        ----------
        truth
            Name of the option that is right.
        told
            What came out, in a whole sentence.

        Returns
        -------
        str
            Plain text, with a visitor's own words in it as they stand.
        """
        if self.skipped:
            return told
        said = f"You said: {self.words.rstrip('.')}."
        if not self.question.judged:
            return f"{said} The run: {told}"
        if self.key == truth:
            return f"{said} So did the run. {told}"
        return f"{said} The run said: {self.question.options[truth].rstrip('.')}. {told}"


@dataclass(frozen=True)
class Task:
    """What a teacher's link asks for.

    Attributes
    ----------
    words
        The teacher's own question; the page's own if empty.
    options
        Answers to it; the pupil writes one if there are none.
    lock
        `LOCKED` (controls cannot be changed), `HIDDEN`, or empty.
    """

    words: str = ""
    options: tuple[str, ...] = ()
    lock: str = ""

    def in_address(self) -> dict[str, str]:
        """Return what the address needs to hold for this task."""
        options = "|".join(option.replace("|", "/") for option in self.options)
        parts = {ASK: self.words, OPTIONS: options, LOCK: self.lock}
        return {name: text for name, text in parts.items() if text}


def closest(values: Mapping[str, float], truth: float) -> str:
    """Return the name of the positive value whose ratio to the truth is nearest to one."""
    return min(values, key=lambda name: abs(math.log(max(truth, 1e-12) / values[name])))


def task() -> Task:
    """Return the task that the address sets; its texts are cut to the allowed length."""
    words = " ".join(st.query_params.get(ASK, "").split())[:MAX_QUESTION]
    options = [one.strip()[:MAX_OPTION] for one in st.query_params.get(OPTIONS, "").split("|")]
    named = tuple(dict.fromkeys(filter(None, options)))[:MAX_OPTIONS] if words else ()
    return Task(words, named, st.query_params[LOCK] if locked() else "")


def locked() -> bool:
    """Whether a teacher's link locks the controls of the page."""
    return st.query_params.get(LOCK, "") in (LOCKED, HIDDEN)


def first(question: Question, page: str) -> Guess | None:
    """Ask the question, or the one of a teacher's link, unless it was answered before.

    Parameters
    ----------
    question
        The page's own question.
    page
        Name of the page, under which the session remembers the guess.

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
        question = Question(set_by.words, numbered, judged=False)
    may_skip = set_by == Task()
    key = _remembered(question, page, may_skip)
    if key:
        return Guess(question, key)
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
                "Skip, just show me", key="guess_skip", on_click=_say,
                args=(page, question, SKIPPED), type="tertiary",
            )  # fmt: skip
        elif set_by.lock:
            st.caption("A task from your teacher, with the settings chosen for it.")
    return None


def after(guess: Guess, page: str, told: str) -> None:
    """Offer to answer again, and to take the answer along as a file; a skipped one asks again."""
    may_repeat = task() == Task()
    with st.container(horizontal=True, key="answered"):
        if may_repeat:
            st.button(
                "Ask me first" if guess.skipped else "Ask me again", key="guess_again",
                on_click=_say, args=(page, guess.question, ""), type="tertiary",
            )  # fmt: skip
        if not guess.skipped:
            row = {
                "page": page, "question": guess.question.words, "you said": guess.words,
                "the run said": told, "address": address(),
            }  # fmt: skip
            st.download_button(
                "Save my answer", lambda: table_csv([row]), f"moescope-{page}-answer.csv",
                "text/csv", on_click="ignore", key="guess_save", type="tertiary",
            )  # fmt: skip


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
