"""What holds for every lesson: code, questions for fifty students, figures, words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from moe.lessons import (
    Lesson,
    judge,
    lesson,
    lessons,
    named,
    prompt,
    question_of,
    readability_of,
    show,
    values_of,
)
from moe.lessons.catalogue import FOLDER
from moe.lessons.course import FILES
from moe.lessons.links import without_links
from moe.lessons.readability import sentences
from tests.lessons.expected import of_lesson, ran, wrong_drawing, wrong_numbers

LESSONS = lessons()
BY_NAME = [pytest.param(one, id=one.name) for one in LESSONS]
STUDENTS = ("", *(f"student {number}" for number in range(50)))
MOST_WORDS = 30  # of a sentence
QUESTIONS = [name for one in LESSONS for name in named("question", one.name)]
FIGURES = [name for one in LESSONS for name in named("figure", one.name)]
# Words of the field. Where the course has one first, it stands in *italics*, which is where it is
# explained, or leads to the glossary.
TERMS = {
    "activation": "activations?", "balancing": "balanc(?:ing|ed|er)s?", "batch": "batch(?:es)?",
    "bias": "bias(?:es)?", "capacity": "capacit(?:y|ies)", "collapse": "collaps(?:e|es|ed|ing)",
    "dense": "dense", "embedding": "embed(?:ding|dings|ded)", "expert": "experts?",
    "FLOP": "FLOPs?", "gate": "gates?", "gradient": "gradients?", "layer": "layers?",
    "load": "loads?", "logit": "logits?", "loss": "loss(?:es)?", "MaxVio": "MaxVio",
    "mixture of experts": "mixtures? of experts", "parameter": "parameters?",
    "router": "routers?", "routing": "routing", "seed": "seeds?", "softmax": "softmax",
    "step": "training \\*?steps?", "SwiGLU": "SwiGLU", "token": "tokens?", "top-k": "top-k",
    "training": "trainings?|train(?:s|ed)?", "vector": "vectors?", "weight": "weights?",
}  # fmt: skip


def test_every_file_of_the_course_is_registered() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == set(FILES)
    assert {path.stem for path in FOLDER.glob("*.py")} == {*FILES, "__init__"}
    assert len({one.title for one in LESSONS}) == len(LESSONS)


@pytest.mark.parametrize("one", BY_NAME)
def test_code_prints_what_the_lesson_shows(one: Lesson) -> None:
    assert one.of("python") and one.of("text")
    assert not ran(one).wrong


@pytest.mark.parametrize("one", BY_NAME)
def test_a_lesson_has_its_form(one: Lesson) -> None:
    assert next(part.kind for part in one.parts if part.kind != "prose") == "question"
    assert one.of("figure") and len(one.of("question")) >= 4
    assert 20 <= one.minutes <= 35
    earlier = FILES[: FILES.index(one.name)]
    assert set(one.needs) <= set(earlier)
    headings = re.findall(r"^## (.+)$", "".join(part.text for part in one.of("prose")), re.M)
    assert headings[0] == "Guess first"
    assert headings[-2:] == ["Exercises", "Further reading"]


@pytest.mark.parametrize("one", BY_NAME)
def test_what_a_lesson_shows_is_what_its_module_holds(one: Lesson) -> None:
    for kind in ("question", "figure"):
        shown = [part.name for part in one.of(kind)]
        assert sorted(shown) == sorted(named(kind, one.name))


@pytest.mark.parametrize("one", BY_NAME)
def test_no_sentence_is_long(one: Lesson, record_property: Callable[[str, object], None]) -> None:
    read = readability_of(one)
    print(
        f"{one.name}: {read.words} words, {one.minutes} minutes, longest sentence {read.longest}, "
        f"grade {read.grade:.1f}"
    )
    assert read.longest <= MOST_WORDS, read.longest_sentence
    assert 500 < read.words < 100 * one.minutes  # slower than reading: there is code to run
    assert read.grade < 9


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_sentence_of_an_answer_is_long(name: str) -> None:
    asked = question_of(name)
    for says in (asked.why, *(slip.says for slip in asked.slips)):
        assert all(len(one.split()) <= MOST_WORDS for one in sentences(says)), says


def test_words_of_the_field_are_explained_where_they_come_first() -> None:
    seen: set[str] = set()
    for one in LESSONS:
        for part in one.parts:
            if part.kind in ("python", "text"):
                continue
            for paragraph in re.split(r"\n\s*\n", part.text):
                plain = re.sub(r"`[^`]*`|\{\w+\}", "", paragraph)
                for term, form in TERMS.items():
                    found = re.search(rf"\b({form})\b", plain, re.IGNORECASE)
                    if term in seen or not found or plain.startswith("## "):
                        continue
                    seen.add(term)
                    marked = re.search(
                        rf"\*[^*]*\b(?:{form})\b[^*]*\*|\[[^\]]*\b(?:{form})\b[^\]]*\]\(", plain,
                        re.IGNORECASE,
                    )  # fmt: skip
                    assert marked, f"{one.name}: {term!r} is not explained: {found[0]!r} in {plain}"


@pytest.mark.parametrize("one", BY_NAME)
def test_links_lead_somewhere(one: Lesson) -> None:
    for part in one.parts:
        for target, anchor in re.findall(r"\]\(([^)#\s]+)(#[\w-]+)?\)", part.text):
            if "://" in target:
                continue
            file = FOLDER / target
            assert file.exists(), target
            headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.M)
            assert not anchor or anchor[1:] in {re.sub(r"\W+", "-", h.lower()) for h in headings}


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_right_number_is_right_and_every_slip_is_named(name: str) -> None:
    asked = question_of(name)
    for student in STUDENTS:
        values = values_of(name, student)
        assert asked.clear(values)
        assert judge(name, asked.form(values), student).right
        for slip in asked.slips:
            verdict = judge(name, slip.form(values), student)
            assert (verdict.right, verdict.slip) == (False, slip.name)
            assert len(verdict.says) > 20 and "{" not in verdict.says
        assert "{" not in prompt(name, student)


def test_students_have_numbers_of_their_own() -> None:
    drawn = [name for name in QUESTIONS if values_of(name)]
    assert {name.partition(".")[0] for name in drawn} == set(FILES)  # in each lesson
    for name in drawn:
        seen = [str(values_of(name, student)) for student in STUDENTS]
        assert len(set(seen)) > len(STUDENTS) / 3, name
        assert seen == [str(values_of(name, student)) for student in STUDENTS]


@pytest.mark.parametrize("name", QUESTIONS)
def test_numbers_of_a_question_are_those_worked_out_by_hand(name: str) -> None:
    of, _, own = name.partition(".")
    for worked in of_lesson(of).QUESTIONS[own]:
        assert not list(wrong_numbers(question_of(name), worked))
        for value in worked.values:
            assert re.search(rf"\{{{value}", _prompt_source(name)), value


def _prompt_source(name: str) -> str:
    (part,) = (one for one in lesson(name.partition(".")[0]).of("question") if one.name == name)
    return part.text


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_shows_what_was_worked_out_anew(name: str) -> None:
    of, _, own = name.partition(".")
    shown = show(name)
    assert not list(wrong_drawing(shown, of_lesson(of).FIGURES[own]()))
    assert len(shown.figure.alt) > 60 and "{" not in shown.caption
    svg = shown.svg()
    assert svg.startswith("<svg") and not re.search(r'(?:href|src)="', svg)


@pytest.mark.parametrize("one", BY_NAME)
def test_what_a_lesson_claims_of_runs_holds_for_every_seed(one: Lesson) -> None:
    for claim in of_lesson(one.name).CLAIMS:
        claim()


@pytest.mark.parametrize("one", BY_NAME)
def test_sources_are_named_with_their_sections(one: Lesson) -> None:
    text = without_links("".join(part.text for part in one.of("prose")))
    further = text.split("## Further reading")[1]
    for item in re.findall(r"^- .*(?:\n  .*)*", further, re.M):
        arxiv = re.search(r"arXiv \d{4}\.\d{5}", item)
        assert not arxiv or re.search("section|appendix|table", item), item
    assert Path(FOLDER / f"{one.name}.md").read_text("utf-8").endswith("\n")
