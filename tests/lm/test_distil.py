"""Distillation: what a student is taught, that it gains, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moe.data.corpus import Corpus, Domain
from moe.lm import distil
from moe.lm.config import LMConfig
from moe.lm.data import ByteWindows
from moe.lm.distil import METHODS, STUDENTS, Distillation, DistilSettings, taught_slope, written_by
from moe.lm.model import LanguageModel
from moe.lm.settings import LMTrainSettings
from moe.lm.training import LMTrainer
from moe.studies import distilling, reasoning

TINY = LMConfig(d_model=8, n_heads=2, n_layers=1, n_experts=4, d_expert=4)


def ladder() -> ByteWindows:
    """A text with a plain rule: what follows a letter is the next letter."""
    data = np.frombuffer(bytes(range(97, 117)) * 600, np.uint8)
    return ByteWindows(Corpus((Domain("up", "", "", data),)), 64)


def opinionated(seed: int = 0, **more: Any) -> LanguageModel:
    model = LanguageModel.init(TINY, seed, **more)
    rng = np.random.default_rng(seed)
    model.params["out_DV"] += rng.standard_normal((8, 256)).astype(model.dtype)
    return model


@pytest.mark.parametrize(("temperature", "mix"), [(1.0, 1.0), (2.0, 0.5), (1.0, 0.0)])
def test_the_slope_is_that_of_the_loss(temperature: float, mix: float) -> None:
    student, teacher = opinionated(1, dtype="float64"), opinionated(2, dtype="float64")
    rng = np.random.default_rng(0)
    tokens_BT = rng.integers(0, 256, (2, 6))
    target_N = rng.integers(0, 256, 12)
    teacher_NV = teacher.output(teacher.forward(tokens_BT).h_ND)
    way_DV = rng.standard_normal((8, 256))

    def loss() -> tuple[float, np.ndarray, Any]:
        return taught_slope(student, tokens_BT, target_N, teacher_NV, temperature, mix)

    _, dlogits_NV, ctx = loss()
    found = float((ctx.h_ND.T @ dlogits_NV * way_DV).sum())
    sides = []
    for step in (1e-6, -2e-6):
        student.params["out_DV"] += step * way_DV
        sides.append(loss()[0])
    assert np.isclose(found, (sides[0] - sides[1]) / 2e-6, rtol=1e-5)


def test_a_student_of_its_own_kind_has_nothing_to_learn() -> None:
    model = opinionated(dtype="float64")
    tokens_BT = np.random.default_rng(0).integers(0, 256, (2, 6))
    own_NV = model.output(model.forward(tokens_BT).h_ND)
    loss, dlogits_NV, _ = taught_slope(model, tokens_BT, np.zeros(12, int), own_NV)
    assert abs(loss) < 1e-12 and np.abs(dlogits_NV).max() < 1e-12


def test_a_teachers_text_begins_with_the_true_one() -> None:
    windows = ladder()
    found = written_by(opinionated(), windows, 5, np.random.default_rng(0))
    assert found.window_MT.shape == (5, 65)
    begins_MT = found.window_MT[:, : distil.PROMPT]
    assert (np.diff(begins_MT, axis=1) % 20 == 1).all()  # the rule of the text
    assert not (np.diff(found.window_MT, axis=1) % 20 == 1).all()
    again = written_by(opinionated(), windows, 5, np.random.default_rng(0))
    assert np.array_equal(found.window_MT, again.window_MT)
    assert found.held_out[0] is windows.held_out[0] and found.names == windows.names
    drawn_BT = found.draw(np.random.default_rng(1), 4)
    assert all(any((row == one).all() for one in found.window_MT) for row in drawn_BT)


@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_steps_every_student(method: str, student: str) -> None:
    settings = DistilSettings(method=method, student=student, steps=3, batch=4)
    learning = Distillation(settings, opinionated(), ladder())
    found = list(learning.run())
    assert [one.step for one in found] == [0, 1, 2]
    assert [one.held_out is None for one in found] == [True, True, False]
    assert (found[-1].teacher_seconds > 0) == (method != "plain")
    assert bool(learning.trainer.model.moe_layers) == (student == "moe")


def test_a_student_learns_what_its_teacher_says() -> None:
    teacher, windows = opinionated(3), ladder()
    tokens_BT = windows.draw(np.random.default_rng(5), 8)[:, :-1]
    teacher_NV = teacher.output(teacher.forward(tokens_BT).h_ND)

    def distance(model: LanguageModel) -> float:
        return taught_slope(model, tokens_BT, np.zeros(tokens_BT.size, int), teacher_NV)[0]

    learning = Distillation(DistilSettings(steps=30, batch=4), teacher, windows)
    before = distance(learning.trainer.model)
    list(learning.run())
    assert distance(learning.trainer.model) < 0.5 * before


def test_same_seed_same_bits_with_one_thread_and_with_two(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads in (1, 2):
        monkeypatch.setenv("MOE_NUM_THREADS", str(threads))
        learning = Distillation(DistilSettings(steps=2, batch=4), opinionated(), ladder())
        said = [(one.loss, one.held_out) for one in learning.run()]
        arrays = learning.trainer.model.arrays().values()
        found.append([said, *(array.tobytes() for array in arrays)])
    assert found[0] == found[1]


def test_a_student_needs_a_teacher() -> None:
    with pytest.raises(ValueError, match="teacher: got none with method 'logits', allowed is that"):
        Distillation(DistilSettings(), None, ladder())


def test_a_study_puts_a_student_beside_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def quickly(seed: int) -> Iterator[LMTrainer]:
        trainer = LMTrainer(LMTrainSettings(steps=2, batch=2, seed=seed))
        list(trainer.run())
        yield trainer

    monkeypatch.setattr(distilling, "train_teacher", quickly)
    for cached in (distilling.teacher_of, reasoning._alone):
        cached.cache_clear()
    found = reasoning.distilled(reasoning.DistilRun(steps=3, batch=2))
    alone = list(Distillation(DistilSettings(method="plain", steps=3, batch=2)).run())[-1]
    assert found.alone == alone.held_out
    assert found.gain == found.alone - found.taught
    assert found.gain_seconds == found.alone_longer - found.taught
    assert found.longer_steps >= 3 and min(found.taught_seconds, found.training_seconds) > 0
    for cached in (distilling.teacher_of, reasoning._alone):
        cached.cache_clear()


# Commands --------------------------------------------------------------------------------------


def test_distil_prints_a_line_for_each_step(
    run_moe: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flags = ("--method", "plain", "--steps", "2", "--batch", "2", "--student", "dense")
    lines = [
        json.loads(line) for line in run_moe("lm", "distil", *flags, "--json").stdout.splitlines()
    ]
    assert [line["step"] for line in lines] == [0, 1]
    assert {"loss", "seconds", "teacher_seconds", "held_out"} <= set(lines[0])
    assert "bits a byte of held-out text after 2 steps" in run_moe("lm", "distil", *flags).stdout
    ended = run_moe("lm", "distil", *flags, "--teacher", str(tmp_path), code=2)
    assert ended.stderr.startswith("moe: teacher: got a folder with method 'plain'")
    ended = run_moe("lm", "distil", "--method", "magic", code=2)
    assert ended.stderr.startswith("moe: method: got 'magic', allowed is one of plain, logits")
