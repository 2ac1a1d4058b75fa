"""The page Lessons: the list of them, and one as far as its questions are answered."""

from __future__ import annotations

import streamlit as st

from ...lessons import Lesson, Part, lesson, make_notebook, prompt, question_of
from ...lessons import show as draw
from ...lessons.reader import PROSE
from ..shared import ask, parts
from ..shared.question import ANSWERS, HIDDEN, LOCK
from ..shared.share_box import box
from . import ahead, answers, story
from .answers import Answer
from .chart import on_page
from .story import LESSON, PAGE, STUDENT, Marked

KEPT = "lessons"  # in the visitor's session: answers by lesson and student
SHOWN = "lesson_shown"  # there as well: whose answers the address holds
STYLE = """<style>
.st-key-lesson { max-width: 46rem; }
.st-key-lesson button { min-height: 44px; }
</style>"""


def show() -> None:
    """Show the page."""
    asked = st.query_params.get(LESSON, "")
    name = story.asked_lesson(asked)
    st.html(STYLE)
    if st.query_params.get(LOCK) == HIDDEN:
        st.html(ask.HIDE)
    if name:
        _lesson(lesson(name))
    else:
        for left in (LESSON, ANSWERS):
            st.query_params.pop(left, None)
        _list()


def _list() -> None:
    """Show all lessons, with how far this visitor is."""
    parts.heading(
        "Which question first?",
        "Each lesson asks for a number before it tells, and says what a wrong one shows.",
    )
    with st.container(key="lesson"):
        student = _student()
        for label, one in story.listed():
            said = st.session_state.get(KEPT, {}).get((one.name, student), "")
            n_answered = len(answers.read(said, len(one.of("question"))))
            st.button(label, key=f"open_{one.name}", on_click=_open, args=(one.name,))
            st.caption(f"{story.needs(one)} · {story.progress(one, n_answered)}")
        box(PAGE, (), asks=False)
    parts.next_step(PAGE)


def _lesson(one: Lesson) -> None:
    """Show a lesson up to its first question without an answer."""
    ahead.begin(one)
    st.title(one.title)
    progress = st.empty()
    with st.container(key="lesson"):
        before, guess = story.opening(one)
        with st.expander("Before you begin"):
            st.caption(story.needs(one))
            st.markdown(story.in_the_app(before))
        st.markdown(story.in_the_app(guess))
        body = st.container()
        student = _student()
        given = _answers(one, student)
        progress.caption(story.progress(one, len(given)))
        with body:
            marked = _body(one, given, student)
        _around(one, student, marked)
        notebook = (
            "This lesson as a notebook", lambda: make_notebook(one.name, student), "ipynb",
            "application/x-ipynb+json",
        )  # fmt: skip
        box(one.name, [notebook], asks=False)
    parts.next_step(PAGE, story.ending(one, marked))


def _student() -> str:
    """Ask whose numbers the questions have; a teacher's link may say it for good."""
    fixed = ask.locked() and bool(st.query_params.get(STUDENT))
    typed = st.text_input(
        "Your name, for numbers of your own", key="student", max_chars=story.MAX_STUDENT,
        bind="query-params", disabled=fixed,
    )  # fmt: skip
    return story.student_of(typed)


def _body(one: Lesson, given: list[Answer], student: str) -> list[Marked]:
    """Show what stands below the opening, and return the answers that are in it, judged."""
    marked = []
    for part in one.of("question"):
        ask.keep((PAGE, part.name), None)  # what is left of another student's
    for part in story.up_to(one, len(given)):
        if part.kind == "question":
            answer = _question(one, part, given, student)
            if answer:
                ask.keep((PAGE, part.name), answer.given)
                marked.append(answer)
        elif part.kind == "figure":
            _ready(part)
            shown = draw(part.name)
            parts.show(shown.figure, part.name, spec=on_page(shown.figure, parts.ink()))
            st.caption(story.in_the_app(shown.caption, student))
        elif part.kind == PROSE:
            st.markdown(story.in_the_app(part.text, student))
        else:
            st.code(part.text, language=None, wrap_lines=True)
    return marked


def _ready(part: Part) -> None:
    if not ahead.is_ready(part):
        with st.spinner("This computer makes the runs of this lesson, once …", show_time=True):
            ahead.wait_for(part)


def _question(one: Lesson, part: Part, given: list[Answer], student: str) -> Marked | None:
    """Ask a question, or show what was answered and what that shows."""
    place = story.places(one)[part.name]
    with st.container(border=True, key=f"question_{place}"):
        asked = story.in_the_app(prompt(part.name, student), student)
        st.markdown(f"**{story.numbered(one, part.name)}** {asked}")
        if place == len(given):
            _ask_number(one, student, part, "This is my guess")
            return None
        _ready(part)
        answer = story.marked(part.name, given[place], student)
        st.markdown(f"{answer.said} {story.in_the_app(answer.says, student)}")
        if not answer.right and not ask.locked():
            _ask_number(one, student, part, "Try again")
    return answer


def _ask_number(one: Lesson, student: str, part: Part, button: str) -> None:
    place, unit = story.places(one)[part.name], question_of(part.name).unit
    key = f"number_{place}"
    with st.form(f"form_{place}", border=False, clear_on_submit=True):
        st.number_input(
            f"Your number in {unit}" if unit else "Your number", value=None, format="%g", key=key
        )
        st.form_submit_button(button, on_click=_said, args=((one.name, student), place, key))


def _around(one: Lesson, student: str, marked: list[Marked]) -> None:
    """Show the ways out of a lesson; a teacher's link leaves none."""
    if ask.locked():
        return
    following = story.following(one)
    with st.container(horizontal=True):
        if following and story.has_ended(one, len(marked)):
            st.button(f"Next: {following.title}", on_click=_open, args=(following.name,))
        st.button("All lessons", on_click=_open, args=("",))
        if marked:
            st.button("Start this lesson again", on_click=_keep, args=((one.name, student), []))


# Answers, in the address and in the session -----------------------------------------------------


def _answers(one: Lesson, student: str) -> list[Answer]:
    """Answers of the address; those of this session if it holds none, or another student's."""
    whose = one.name, student
    said = st.session_state.setdefault(KEPT, {}).get(whose, "")
    if st.session_state.get(SHOWN, whose) == whose:
        said = st.query_params.get(ANSWERS, said)
    st.session_state[SHOWN] = whose
    given = answers.read(said, len(one.of("question")))
    _keep(whose, given)
    return given


def _keep(whose: tuple[str, str], given: list[Answer]) -> None:
    text = answers.written(given)
    st.session_state.setdefault(KEPT, {})[whose] = text
    if text != st.query_params.get(ANSWERS, ""):
        st.query_params[ANSWERS] = text
    if not text:
        st.query_params.pop(ANSWERS, None)


def _said(whose: tuple[str, str], place: int, key: str) -> None:
    """Keep a number that was just given to a lesson's question."""
    number = st.session_state.get(key)
    if number is not None:
        n_questions = len(lesson(whose[0]).of("question"))
        given = answers.read(st.session_state[KEPT][whose], n_questions)
        _keep(whose, answers.answered(given, place, number))


def _open(name: str) -> None:
    """Open a lesson, or the list of them."""
    for left in (LESSON, ANSWERS):
        st.query_params.pop(left, None)
    st.session_state.pop(SHOWN, None)
    if name:
        st.query_params[LESSON] = name
