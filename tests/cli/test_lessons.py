"""`moe lesson`: the list, a lesson, a notebook, and answers with exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe.lessons import lesson, lessons, make_notebook, prompt, question_of, values_of

Run = Callable[..., Any]


def test_the_list_says_what_each_lesson_takes(run_moe: Run) -> None:
    rows = json.loads(run_moe("lesson", "--json").stdout)
    assert [row["name"] for row in rows] == [one.name for one in lessons()]
    assert [row["minutes"] for row in rows] == [one.minutes for one in lessons()]
    assert all(row["longest"] <= 30 and row["words"] > 500 for row in rows)
    said = run_moe("lesson", COLUMNS="200").stdout
    assert all(one.title in said for one in lessons())


def test_a_lesson_has_the_numbers_of_its_student(run_moe: Run) -> None:
    said = json.loads(run_moe("lesson", "letters", "--student", "ada", "--json").stdout)
    assert (said["title"], said["student"]) == (lesson("letters").title, "ada")
    asked = {part["name"]: part for part in said["parts"] if part["kind"] == "question"}
    for name, part in asked.items():
        assert part["text"] == prompt(name, "ada") and part["values"] == values_of(name, "ada")
    assert "0.5" not in asked["letters.third"]["text"]  # it says what is asked, not the answer
    text = run_moe("lesson", "letters", COLUMNS="200").stdout
    assert prompt("letters.loss") in text and "](" not in text


def test_a_notebook_is_written(run_moe: Run, tmp_path: Path) -> None:
    path = tmp_path / "l.ipynb"
    said = run_moe("lesson", "letters", "--student", "ada", "--notebook", str(path), "--json")
    assert json.loads(said.stdout) == {"lesson": "letters", "student": "ada", "notebook": str(path)}
    assert path.read_bytes() == make_notebook("letters", "ada")
    nowhere = str(tmp_path / "none" / "l.ipynb")
    assert "notebook: got" in run_moe("lesson", "letters", "--notebook", nowhere, code=2).stderr


def test_answers_are_judged_and_the_exit_code_says_how(run_moe: Run) -> None:
    right = question_of("letters.loss").form(values_of("letters.loss", "ada"))
    ada = ("lesson", "letters", "--student", "ada", "--answer", "letters.third=0.5", "--answer")
    assert "Right." in run_moe(*ada, f"letters.loss={right}", COLUMNS="200").stdout
    said = json.loads(run_moe(*ada, f"letters.loss={-right}", "--json", code=1).stdout)
    assert [one["right"] for one in said] == [True, False]
    assert (said[1]["question"], said[1]["slip"]) == ("letters.loss", "sign")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "lesson: got 'none', allowed is one of"),
        (["--notebook", "x.ipynb"], "lesson: got none, allowed is the name of one"),
        (["letters", "--answer", "0.5"], "answer: got '0.5', allowed is QUESTION=NUMBER"),
        (["letters", "--answer", "letters.none=1"], "question of lesson letters: got"),
        (["letters", "--answer", "letters.third=x"], "answer: got 'x', allowed is a number"),
    ],
)
def test_a_bad_value_is_one_line_and_exit_code_2(
    run_moe: Run, arguments: list[str], message: str
) -> None:
    said = run_moe("lesson", *arguments, code=2).stderr
    assert message in said and said.count("\n") == 1
