"""A lesson as far as it is answered, and answers in the words of a class."""

from __future__ import annotations

import pytest

from moe.app.learn import story
from moe.app.learn.answers import Answer
from moe.app.shared.class_chart import guessed
from moe.app.shared.documents import documents
from moe.app.shared.guesses import OTHERS, file_of, read_guesses, tallies
from moe.lessons import lesson, lessons, question_of, values_of

LESSONS = [pytest.param(one, id=one.name) for one in lessons()]
MOST_WORDS = 60  # on the first screen, before the first question


@pytest.mark.parametrize("one", LESSONS)
def test_a_lesson_stops_at_its_first_question_and_shows_all_in_the_end(one) -> None:
    before, guess = story.opening(one)
    told = one.parts[0].text.replace(story.GUESS_FIRST, "").split()
    assert before and f"{before} {guess}".split() == told
    first = story.up_to(one, 0)
    assert [part.kind for part in first] == ["question"]
    n_questions = len(one.of("question"))
    for n in range(n_questions):
        shown = story.up_to(one, n)
        assert shown[-1].kind == "question"
        assert sum(part.kind == "question" for part in shown) == n + 1
    assert story.up_to(one, n_questions) == list(one.parts[1:])
    assert not story.has_ended(one, n_questions - 1) and story.has_ended(one, n_questions)


@pytest.mark.parametrize("one", LESSONS)
def test_few_words_stand_before_the_first_question(one) -> None:
    _, guess = story.opening(one)
    words = [one.title, story.progress(one, 0), "Before you begin", guess]
    assert len(" ".join(words).split()) <= MOST_WORDS


@pytest.mark.parametrize("one", LESSONS)
def test_links_stay_within_the_app(one) -> None:
    text = story.in_the_app("".join(part.text for part in one.of("prose")), "ada b")
    assert ".md" not in text
    for address in text.split("](")[1:]:
        assert address.startswith(("/reading?document=", "/learn?lesson=", "https://")), address


def test_a_link_to_a_lesson_keeps_the_student_and_a_lost_document_its_words() -> None:
    text = "[a](router.md) [b](../../../docs/glossary.md#token) [c](../../../docs/no.md)"
    (title,) = (title for title, name in documents().items() if name == "glossary")
    assert story.in_the_app(text, "ada b") == (
        f"[a](/learn?lesson=router&student=ada+b) [b](/reading?document={title}) c"
    )
    assert story.in_the_app("$5 and ~3, `$x~y`") == r"\$5 and \~3, `$x~y`"


def test_an_answer_is_judged_and_the_guess_is_kept() -> None:
    wrong = story.marked("letters.fresh", Answer(12.7, 12.7), "")
    assert wrong.said == "You said 12.7 %." and not wrong.right
    assert wrong.says.startswith("**Not yet.** That is about how frequent `e` is")
    again = story.marked("letters.fresh", Answer(12.7, 0.39), "")
    assert again.said == "You said 12.7 %, then 0.39 %." and again.right
    assert again.says.startswith("**Right.** ") and again.given == wrong.given
    assert (again.given.said, again.given.right) == ("12.7 %", "0.390625 %")


def test_a_class_sees_numbers_beside_the_right_one_or_mistakes_where_all_have_their_own() -> None:
    given = []
    for student in ("ada", "bob", "cy"):
        own = question_of("letters.table").form(values_of("letters.table", student))
        number = own if student == "ada" else 1.5 * own
        for name, said in (("letters.fresh", len(student) * 10.0), ("letters.table", number)):
            given.append(story.marked(name, Answer(said, said), student).given)
    assert read_guesses(file_of(given)) == given
    fresh, table = tallies(given)
    assert fresh.steps and fresh.right == "0 to 5 %" and "0.390625 %" in fresh.told
    assert {name: n for name, n in fresh.counts.items() if n} == {"20 to 25 %": 1, "30 to 35 %": 2}
    assert "in percent" in fresh.question and "`" not in fresh.question
    assert not table.steps and table.right == "right" and "reads … characters" in table.question
    assert {name: n for name, n in table.counts.items() if n} == {"right": 1, "another number": 2}
    assert "one table" in table.counts
    assert "0 to 5 %: 0 · the right one is in here" in guessed(fresh).alt


def test_what_is_no_number_in_a_file_counts_among_others() -> None:
    given = story.marked("letters.fresh", Answer(5, 5), "").given
    odd = [type(given)(**{**vars(given), "said": said}) for said in ("", "inf", "<b>", "9e99")]
    (tally,) = tallies([given, *odd])
    assert tally.steps and tally.counts[OTHERS] == 4 and sum(tally.counts.values()) == 5


def test_every_question_can_be_kept_in_a_file() -> None:
    for one in lessons():
        for part in one.of("question"):
            given = story._given(
                part.name, 1.0, question_of(part.name).judge(1.0, values_of(part.name))
            )
            assert read_guesses(file_of([given])) == [given]
            assert "{" not in given.question + given.told


def test_the_end_says_how_many_are_right() -> None:
    one = lesson("letters")
    right = story.marked("letters.third", Answer(0.5, 0.5), "")
    wrong = story.marked("letters.third", Answer(1, 1), "")
    assert story.ending(one, [right]) == ""
    said = story.ending(one, [right, right, wrong, wrong, wrong, wrong])
    assert said == "You have answered all 6 questions, 2 of them right by now."


@pytest.mark.parametrize(("typed", "name"), [("  ada \n b ", "ada b"), ("a" * 99, "a" * 40)])
def test_a_name_is_short_and_on_one_line(typed: str, name: str) -> None:
    assert story.student_of(typed) == name
