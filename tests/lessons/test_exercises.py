"""Each exercise has an answer, its commands run, and its pages are there."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from moe.app.shared.path import BY_ADDRESS
from moe.lessons import lesson
from moe.lessons.course import FILES
from tests.lessons.exercises import EXERCISES, LONG
from tests.lessons.expected import ran

COMMAND = re.compile(r"`moe ([^`]+)`")
PAGE = re.compile(r"page \*([^*]+)\* of `moe app`")
TEXT = "To be, or not to be, that is the question. " * 40


def exercises(name: str) -> str:
    """The section of a lesson, as it stands in its text."""
    text = "".join(part.text for part in lesson(name).of("prose"))
    return text.split("## Exercises\n")[1].split("## Further reading")[0]


@pytest.mark.parametrize("name", FILES)
def test_every_exercise_is_known_here(name: str) -> None:
    items = re.findall(r"^- .*(?:\n  .*)*", exercises(name), re.M)
    assert len(items) == len(EXERCISES[name])
    for item, answer in zip(items, EXERCISES[name], strict=True):
        assert answer or COMMAND.search(item) or PAGE.search(item), item


@pytest.mark.parametrize(
    ("name", "place"),
    [
        pytest.param(name, at, marks=[pytest.mark.soak] if (name, at) in LONG else [])
        for name, answers in EXERCISES.items()
        for at, answer in enumerate(answers)
        if answer
    ],
)
def test_an_exercise_comes_to_what_is_known(name: str, place: int) -> None:
    answer = EXERCISES[name][place]
    assert answer
    answer(ran(lesson(name)).names)


@pytest.mark.parametrize("name", FILES)
def test_commands_of_exercises_run(
    name: str,
    run_moe: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text(TEXT)
    for command in COMMAND.findall(exercises(name)):
        if command != "app":
            assert run_moe(*shlex.split(command)).stdout


@pytest.mark.parametrize("name", FILES)
def test_pages_of_exercises_are_in_the_app(name: str) -> None:
    for page in PAGE.findall(exercises(name)):
        assert page.lower().replace(" ", "-") in BY_ADDRESS, page
