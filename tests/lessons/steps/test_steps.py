"""Every step takes right code, and names each mistake of its list and no other."""

from __future__ import annotations

import copy
import re
from ast import literal_eval
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from moe.kernels.backend import steady
from moe.lessons.steps import STEPS
from moe.lessons.steps.check import Functions, answers, check_step, same
from moe.lessons.steps.step import Step
from moe.lessons.steps.texts import text_of

from .solutions import SOURCE

MISTAKES = [(step.name, mistake.name) for step in STEPS.values() for mistake in step.mistakes]


class Answering:
    """A learner whose functions all answer as one function of the step does."""

    def __init__(self, step: Step, run: Any) -> None:
        self._step, self._run = step, run

    def call(self, function: str, *given: Any) -> tuple[Any, list[Any]]:
        arguments = copy.deepcopy(list(given))
        part = (function,) if self._step.parts else ()
        with np.errstate(all="ignore"), steady("numpy"):
            return self._run(*part, *arguments), arguments


def untried(name: str) -> Step:
    """The step without its trial, which the cases have to pass first."""
    return replace(STEPS[name], trial=None)


def solution() -> dict[str, Any]:
    functions: dict[str, Any] = {}
    exec(SOURCE, functions)
    return {name: value for name, value in functions.items() if callable(value)}


@pytest.mark.parametrize("name", STEPS)
def test_the_librarys_own_answer_is_right(name: str) -> None:
    assert check_step(untried(name), Answering(STEPS[name], STEPS[name].right)).right


@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_each_mistake_is_named_and_no_other(name: str, mistake: str) -> None:
    step = untried(name)
    run = next(one.run for one in step.mistakes if one.name == mistake)
    report = check_step(step, Answering(step, run))
    assert (report.right, report.mistake) == (False, mistake)
    others = [one for one in step.mistakes if one.name != mistake]
    theirs, mine = [answers(step, one.run) for one in others], answers(step, run)
    assert not any(all(map(same, other, mine)) for other in theirs)
    # It says what went wrong and is no bare verdict.
    assert len(report.says) > 40 and report.says[-1] in ".?)"


@pytest.mark.parametrize("name", STEPS)
def test_a_new_mistake_gets_no_wrong_name(name: str) -> None:
    step = untried(name)

    def off(*given: Any) -> Any:
        value = step.right(*given)
        return tuple(map(twice, value)) if isinstance(value, tuple) else twice(value)

    def twice(value: Any) -> Any:
        return np.asarray(value) * 3 + 1

    report = check_step(step, Answering(step, off))
    assert report.mistake == "unknown" and "right is: " in report.says
    assert report.case == 0


@pytest.fixture(autouse=True)
def plain_numpy() -> Iterator[None]:
    """The cases are small, and compiling would take longer than all of them."""
    with steady("numpy"):
        yield


def test_a_mistake_in_one_case_alone_is_unknown_with_that_case() -> None:
    step = STEPS["scores"]

    def scores(logits_NE: np.ndarray) -> np.ndarray:
        right = step.right(logits_NE)
        return right if len(logits_NE) == 1 else right * 1.01

    report = check_step(step, Functions(scores=scores))
    assert (report.mistake, report.case) == ("unknown", 2)


def test_changed_arguments_are_reported() -> None:
    def scores(logits_NE: np.ndarray) -> np.ndarray:
        logits_NE -= logits_NE.max(axis=1, keepdims=True)
        return np.exp(logits_NE) / np.exp(logits_NE).sum(axis=1, keepdims=True)

    report = check_step(STEPS["scores"], Functions(scores=scores))
    assert report.mistake == "changes_input" and report.case == 0


def test_errors_are_reported_and_not_raised() -> None:
    report = check_step(STEPS["scores"], Functions(scores=lambda logits_NE: 1 / 0))
    assert report.mistake == "raises" and "ZeroDivisionError" in report.says
    assert check_step(STEPS["scores"], Functions()).mistake == "missing"


@pytest.mark.parametrize(
    "value", ["text", None, [[1.0], [2.0, 3.0]], object(), np.zeros((2, 2)), 1j, {}]
)
def test_what_is_no_answer_is_wrong(value: Any) -> None:
    for step in map(untried, STEPS):
        report = check_step(step, Answering(step, lambda *given: value))
        assert not report.right and report.mistake == "unknown"


def test_experts_are_whole_numbers() -> None:
    step = STEPS["choose"]
    off = Functions(choose=lambda scores_NE, k: step.right(scores_NE, k).astype(float))
    assert not check_step(step, off).right


# Texts -----------------------------------------------------------------------------------------

SHOWN = re.compile(r"^>>> (.+)$\n((?:^[^>`\n].*$\n)?)", re.MULTILINE)


@pytest.mark.parametrize("name", STEPS)
def test_a_text_says_what_why_how_and_what_next(name: str) -> None:
    text, step, names = text_of(name), STEPS[name], list(STEPS)
    number = names.index(name) + 1
    assert text.startswith(f"# {number}. ")
    for function in dict.fromkeys(step.functions()):
        assert f"`{function}(" in text
    for part in ("**Why.**", "**By hand.**", "**Hint.**", "**Next.**"):
        assert text.count(part) == 1
    assert all(len(line) <= 116 for line in text.splitlines())
    # What a learner sees first says nothing away: no line of the solution.
    for line in SOURCE.splitlines():
        assert len(line.strip()) < 25 or line.strip() not in text


@pytest.mark.parametrize("name", STEPS)
def test_the_numbers_of_a_text_are_right(name: str) -> None:
    space: dict[str, Any] = {"np": np} | solution()
    compared = 0
    for source, shown in SHOWN.findall(text_of(name)):
        if not shown:
            exec(source, space)
            continue
        value = eval(source, space)
        expected = literal_eval(shown.strip())
        pairs = zip(value, expected) if isinstance(value, tuple) else [(value, expected)]
        for got, wanted in pairs:
            assert np.shape(got) == np.shape(wanted)
            assert np.allclose(got, wanted, atol=2e-7), (source, got)
            compared += 1
    assert compared
