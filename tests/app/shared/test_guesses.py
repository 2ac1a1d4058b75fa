"""Guesses as a file: written, read back, refused, and those of a class counted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from moe.app.shared.guesses import (
    MAX_BYTES,
    MAX_GUESSES,
    MAX_TEXT,
    MAX_WRITTEN,
    OTHERS,
    Given,
    file_of,
    read_guesses,
    tallies,
)
from moe.app.shared.question import Guess, Question
from tests.app.visit import specs, spoken, words

QUESTION = Question("How many?", {"few": "About 2", "many": "About 9"})
FEW = Given.of(Guess(QUESTION, "few"), "cure", "It was 8.", "many")
MANY = Given.of(Guess(QUESTION, "many"), "cure", "It was 8.", "many")
WRITTEN = Given("play", "Why?", (), " so\nit is", "", "It was 8.")


def test_a_file_of_guesses_is_read_back() -> None:
    assert (FEW.options, FEW.said, FEW.right) == (("About 2", "About 9"), "About 2", "About 9")
    assert read_guesses(file_of([FEW, WRITTEN])) == [FEW, WRITTEN]
    unjudged = replace(QUESTION, judged=False)
    assert Given.of(Guess(unjudged, "few"), "cure", "8.", "many").right == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "run"}, "file: got something else, allowed are up to 150 guesses"),
        ({"guesses": "all"}, "file: got something else"),
        ({"guesses": [None] * (MAX_GUESSES + 1)}, "file: got something else"),
        ({"guesses": [{"said": "a"}]}, "guess: got other parts, allowed are page, question"),
        ({"said": 3}, "said: got 3, allowed is a text of 500 letters"),
        ({"told": "a" * (MAX_TEXT + 1)}, "told: got 'aaa"),
        ({"options": "About 2"}, "options: got other than a list"),
        ({"options": [["deep"]]}, "option: got"),
    ],
)
def test_another_file_is_refused_in_words(change: dict[str, object], message: str) -> None:
    document = json.loads(file_of([FEW]))
    part = document if set(change) & set(document) else document["guesses"][0]
    part.update(change)
    with pytest.raises(ValueError, match=message):
        read_guesses(json.dumps(document).encode())


def test_a_large_file_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ValueError, match="file: got 100,001 bytes, allowed are 100,000"):
        read_guesses(b"[" * (MAX_BYTES + 1))


def test_a_class_is_counted_by_question_and_what_came_out() -> None:
    elsewhere = replace(MANY, told="It was 2.", right="About 2")
    first, second, third = tallies([MANY, FEW, WRITTEN, MANY, elsewhere])
    assert list(first.counts.items()) == [("About 2", 1), ("About 9", 2)]
    assert (first.right, first.told) == ("About 9", "It was 8.")
    assert second.counts == {"so it is": 1} and second.right == ""
    assert third.counts == {"About 2": 0, "About 9": 1} and third.right == "About 2"


def test_many_written_answers_are_counted_together() -> None:
    many = [replace(WRITTEN, said=str(n)) for n in range(MAX_WRITTEN + 3)]
    (tally,) = tallies([*many, many[-1]])
    assert len(tally.counts) == MAX_WRITTEN + 1 and tally.counts[OTHERS] == 3
    assert next(iter(tally.counts.items())) == (str(MAX_WRITTEN + 2), 2)


SCRIPT = """
from moe.app.shared import ask
from moe.app.shared.question import Question
from moe.app.shared.share_box import share_box

guess = ask.first(Question("How many?", {"few": "About 2", "many": "About 9"}), "cure")
if guess:
    ask.after(guess, "cure", "It was 8.", "many")
share_box("cure", "print(1)", None, lambda: b"{}", lambda: None)
"""


def test_a_visitor_takes_her_guesses_along_until_she_is_asked_again() -> None:
    page = AppTest.from_string(SCRIPT).run()
    for click, label in (("few", True), ("again", False), ("skip", False), ("again", False)):
        page.button(key=f"guess_{click}").click().run()
        labels = [one.label for one in page.get("download_button")]
        assert ("My guesses" in labels) == label, click
    page.button(key="guess_many").click().run()
    assert list(page.session_state["given"].values()) == [MANY]


def test_a_teacher_sees_the_class_and_what_is_wrong_with_a_file() -> None:
    page = AppTest.from_string(SCRIPT)
    page.session_state["cure_class"] = True
    page.run()
    files = [
        (f"{name}.json", raw, "application/json")
        for name, raw in {
            "ann": file_of([FEW]), "bob": file_of([MANY]), "cy": file_of([MANY]), "*dan*": b"{}",
        }.items()
    ]  # fmt: skip
    page.file_uploader[0].set_value(files).run()
    assert not page.exception and len(specs(page)) == 1
    assert "About 2: 1; About 9: 2 · right" in spoken(page)[0] and "It was 8." in words(page)
    (problem,) = page.error
    assert problem.value.startswith(r"\*dan\*.json: file: got something else")
