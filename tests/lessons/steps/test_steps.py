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
from moe.lessons.steps import STEPS, plain_layer
from moe.lessons.steps.check import Functions, answers, check_step, same
from moe.lessons.steps.step import Step
from moe.lessons.steps.texts import text_of
from tests.gradients import worst_error

from .given import PLAIN, SOURCES, functions

MISTAKES = [(step.name, mistake.name) for step in STEPS.values() for mistake in step.mistakes]
FORMS = [
    (step.name, mistake.name, form)
    for step in STEPS.values()
    for mistake in step.mistakes
    for form in range(1 + len(mistake.also))
]


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


@pytest.mark.parametrize("name", STEPS)
def test_the_librarys_own_answer_is_right(name: str) -> None:
    assert check_step(untried(name), Answering(STEPS[name], STEPS[name].right)).right


@pytest.mark.parametrize(("name", "mistake", "form"), FORMS)
def test_each_mistake_is_named_and_no_other(name: str, mistake: str, form: int) -> None:
    step = untried(name)
    made = next(one for one in step.mistakes if one.name == mistake)
    run = (made.run, *made.also)[form]
    report = check_step(step, Answering(step, run))
    assert (report.right, report.mistake) == (False, mistake)
    others = [one for one in step.mistakes if one.name != mistake]
    theirs = [answers(step, other) for one in others for other in (one.run, *one.also)]
    mine = answers(step, run)
    assert not all(map(same, answers(step, step.right), mine))
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
    for step in STEPS.values():
        assert check_step(step, Functions()).mistake == "missing"


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


@pytest.mark.parametrize("style", SOURCES)
def test_solutions_of_every_style_are_right(style: str) -> None:
    learner = Functions(**functions(SOURCES[style]))
    for step in map(untried, STEPS):
        report = check_step(step, learner)
        assert report.right, report.words()


def test_there_are_enough_steps_mistakes_and_styles() -> None:
    assert len(STEPS) == 12 and len(MISTAKES) >= 45 and len(SOURCES) >= 5


def test_the_plain_layer_without_a_mistake_is_the_librarys() -> None:
    one = plain_layer.sample(seed=3)
    given = one.x_ND, one.expert_NK, one.weight_NK, one.up_ED2F, one.down_EFD
    assert same(plain_layer.forward(*given), plain_layer.library_forward(*given)[0])
    made = plain_layer.backward(one.dy_ND, *given)
    wanted = plain_layer.library_backward(one.dy_ND, *given)
    assert same(made.dup_ED2F, wanted[0]) and same(made.ddown_EFD, wanted[1])


def test_gradients_are_those_of_finite_differences() -> None:
    """The oracles of steps 5, 9, 10 and 12 are held against what has no derivation in it."""
    one = plain_layer.sample(seed=4)
    arrays = {
        "x": one.x_ND, "gate": one.gate_DE, "up": one.up_ED2F, "down": one.down_EFD,
    }  # fmt: skip
    bias_E = np.array([0.0, 0.05, 0.0, -0.05, 0.0])
    train, dx = STEPS["train"].right, STEPS["dx"].right

    def value() -> float:
        y_ND = train("layer", one.x_ND, one.gate_DE, bias_E, one.up_ED2F, one.down_EFD, 2)[0]
        return float((one.dy_ND * y_ND).sum())

    given = one.dy_ND, one.x_ND, one.gate_DE, bias_E, one.up_ED2F, one.down_EFD, 2
    grads = dict(zip(arrays, train("layer_backward", *given), strict=True))
    assert worst_error(value, arrays, grads, probes=12) < 1e-6
    bias_E[:] = 0
    grads = {"x": dx(one.dy_ND, one.x_ND, one.gate_DE, one.up_ED2F, one.down_EFD, 2)}
    assert worst_error(value, {"x": one.x_ND}, grads, probes=12) < 1e-6
    logits_NE, dweight_NK = np.random.default_rng(0).standard_normal((3, 5)), one.weight_NK[:3]
    expert_NK = STEPS["choose"].right(STEPS["scores"].right(logits_NE), 2)

    def weighed() -> float:
        scores_NE = STEPS["scores"].right(logits_NE)
        chosen_NK = np.take_along_axis(scores_NE, expert_NK, axis=1)
        return float((dweight_NK * chosen_NK / chosen_NK.sum(axis=1, keepdims=True)).sum())

    grads = {"logits": STEPS["gate_backward"].right(logits_NE, dweight_NK)}
    assert worst_error(weighed, {"logits": logits_NE}, grads, probes=15) < 1e-6


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
    for line in PLAIN.splitlines():
        code = " = " in line or "return " in line
        assert not code or len(line.strip()) < 25 or line.strip() not in text


def test_every_text_leads_to_the_next() -> None:
    """The page of all texts has a heading where each link leads, as MkDocs names it."""
    titles = [text_of(name).partition("\n")[0].removeprefix("# ") for name in STEPS]
    places = [re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", one.lower())) for one in titles]
    links = [re.findall(r"\]\(#([^)]*)\)", text_of(name)) for name in STEPS]
    assert links == [[place] for place in places[1:]] + [[]]


@pytest.mark.parametrize("name", STEPS)
def test_the_numbers_of_a_text_are_right(name: str) -> None:
    space: dict[str, Any] = {"np": np} | functions(PLAIN)
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
