"""The learner's own layer trains, whatever the seed, and what does not train is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from moe.kernels.backend import steady
from moe.lessons.cage.outside import Raised, Strange
from moe.lessons.steps import STEPS
from moe.lessons.steps.check import Functions, check_step
from moe.lessons.steps.own_layer import Training, train_own
from moe.lessons.steps.step import Learner

from .given import SOURCES, functions

FAST = functions(SOURCES["by_expert"])


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.soak) for s in (1, 2))])
def test_max_vio_falls_from_above_2_to_below_a_half(seed: int) -> None:
    came_to = train_own(Functions(**FAST), seed)
    assert came_to.alone > 2 and came_to.balanced < 0.5
    assert came_to.loss_after < came_to.loss_before - 1 and not came_to.fault()


class Changed:
    """A learner who passes all cases, and does something else in the training's batches."""

    def __init__(self, **changed: Any) -> None:
        self._right, self._changed = Functions(**FAST), Functions(**changed)
        self._names = set(changed)

    def call(self, function: str, *given: Any) -> tuple[Any, list[Any]]:
        small = function != "bias_step" and len(given[0]) < 100
        learner = self._changed if function in self._names and not small else self._right
        return learner.call(function, *given)


def outcome(learner: Learner) -> str:
    report = check_step(STEPS["train"], learner)
    assert not report.right
    return f"{report.mistake}: {report.says}"


def test_a_bias_that_goes_nowhere_does_not_pass() -> None:
    said = outcome(Changed(bias_step=lambda bias_E, load_E, rate: bias_E))
    assert "does_not_learn" in said and "should fall below 0.5" in said


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda *given: 1 / 0, "raises: While training raises ZeroDivisionError"),
        (lambda *given: 1, "two values from layer"),
        (lambda *given: ([[1.0], [2.0, 3.0]], 1), "ragged|whole|shape"),
        (lambda x_ND, *given: (x_ND * np.nan, np.zeros(8, int)), "NaN or infinity from layer"),
        (lambda x_ND, *given: (x_ND, np.zeros(7, int)), "shape"),
        (lambda x_ND, *given: ("text", np.zeros(8, int)), "shape"),
    ],
)
def test_what_breaks_the_training_is_told(value: Any, words: str) -> None:
    with steady("numpy"), pytest.raises((Raised, Strange)) as told:
        train_own(Changed(layer=value))
    del told
    said = outcome(Changed(layer=value))
    assert any(word in said for word in words.split("|")), said


def test_gradients_of_another_shape_are_told() -> None:
    for value in (1, (1, 2, 3, 4), tuple(np.zeros((2, 2)) for _ in range(4))):
        said = outcome(Changed(layer_backward=lambda *given, value=value: value))
        assert "layer_backward" in said and "strange_answer" in said


def test_each_fault_has_its_words() -> None:
    assert "loss does not fall" in Training(3, 0.1, 1.0, 1.1).fault()
    assert "Does the gate learn" in Training(1, 0.1, 2.0, 1.0).fault()
    assert "below 0.5" in Training(3, 0.6, 2.0, 1.0).fault()
    assert not Training(3, 0.4, 2.0, 1.0).fault()
