"""The course plans: minutes that add up, of lessons, steps and commands that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe.app.shared.path import STOPS
from moe.lessons import lesson, lessons, question_of
from moe.lessons.steps import STEPS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "teach.md").read_text("utf-8")


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(("title", "minutes"), [("One hour", 60), ("Three hours", 180)])
def test_a_plan_s_minutes_add_up(title: str, minutes: int) -> None:
    assert sum(map(int, re.findall(r"^\| (\d+) \|", section(title), re.M))) == minutes


def test_lessons_have_their_numbers_and_get_the_minutes_that_they_ask_for() -> None:
    order = [one.name for one in lessons()]
    found = re.findall(r"\[(?:lesson )?(\d+)\]\(\.\./moe/lessons/course/(\w+)\.md\)", TEXT)
    assert {name for _, name in found} >= {"letters", "expert", "router", "layer", "collapse"}
    for number, name in found:
        assert order.index(name) == int(number)
    rows = re.findall(r"^\| (\d+) \| (.*) \| \[lesson \d\]\(.*/(\w+)\.md\) \|$", TEXT, re.M)
    assert len(rows) == 3
    for minutes, title, name in rows:
        assert lesson(name).minutes == int(minutes)
        assert lesson(name).title.startswith(title)


def test_a_week_builds_every_step_once_in_order() -> None:
    named = [step for step in re.findall(r"`(\w+)`", section("A week")) if step in STEPS]
    assert sorted(named) == sorted(STEPS)


def test_steps_pages_and_questions_that_a_plan_names_exist() -> None:
    assert list(STEPS).index("bias_step") == 7 - 1
    for row in re.findall(r"^\|.*\|$", section("Three hours"), re.M):
        for step in re.findall(r"`(\w+)`", row):
            assert step in STEPS
    pages = {stop.address for stop in STOPS}
    assert {name.lower() for name in re.findall(r"page \*(.+?)\*", TEXT)} <= pages
    for name in re.findall(r"question `([\w.]+)`", TEXT):
        question_of(name)


def test_the_commands_are_understood(run_moe: Callable[..., Any]) -> None:
    commands = re.findall(r"^(?:moescope/bin/)?(moe [^#\n]*)", TEXT, re.M)
    assert len(commands) == 5
    for command in commands:
        words = shlex.split(command)[1:]
        said = run_moe(words[0], "--help", code=0).stdout
        for option in (word for word in words if word.startswith("--")):
            assert option in said
