"""Distillation: a trained mixture teaches a smaller student, by its chances or by its text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np

from ..settings import Settings, option
from .data import Windows
from .logits import divergence, log_chances, logits_backward
from .model import LanguageModel
from .sampling import sample
from .settings import LMTrainSettings
from .training import LMTrainer

PLAIN, LOGITS, TEXT = "plain", "logits", "text"
METHODS = {
    PLAIN: "learns the text without a teacher",
    LOGITS: "learns the teacher's chances of every next byte",
    TEXT: "learns text that the teacher wrote",
}
STUDENTS: dict[str, dict[str, Any]] = {
    "dense": dict(d_model=48, n_experts=0, d_dense=96),
    "moe": dict(d_model=48, n_experts=8, k=2, d_expert=48),
}
PROMPT = 8  # bytes of the text that the teacher goes on from
WRITTEN = 256  # windows that it writes at once


@dataclass(frozen=True)
class DistilSettings(Settings):
    """Settings of one student's training; what each means is its `help`."""

    method: str = option(LOGITS, "What the student learns from.", among=METHODS)
    student: str = option("dense", "What it is: a key of moe.lm.distil.STUDENTS.", among=STUDENTS)
    steps: int = option(250, "Steps of the student.", low=1, high=10_000_000)
    batch: int = option(16, "Sequences per step.", low=1, high=1 << 16)
    learning_rate: float = option(1e-2, "The student's highest rate.", low=0, high=1, open_low=True)
    temperature: float = option(
        1.0, "What both models' logits are divided by.", low=0, high=100, open_low=True
    )
    mix: float = option(
        1.0, "Share of the teacher's chances in the loss; the rest is the text's.", low=0, high=1
    )
    seed: int = option(0, "Same seed, same bits, at any number of threads.", low=0)

    def words(self, last: DistilStep) -> str:
        """What a student came to, in a sentence."""
        return (
            f"A {self.student} student that {METHODS[self.method]}: "
            f"{last.held_out or math.nan:.3f} bits a byte of held-out text after {self.steps} "
            f"steps, {last.seconds:.1f} s of its own and {last.teacher_seconds:.1f} s of a "
            "teacher's"
        )

    @property
    def training(self) -> LMTrainSettings:
        """The student's run."""
        return LMTrainSettings(
            **STUDENTS[self.student], steps=self.steps, batch=self.batch,
            learning_rate=self.learning_rate, balance="bias", balance_rate=1e-2, seed=self.seed,
        )  # fmt: skip


@dataclass(frozen=True)
class DistilStep:
    """What one step of a student shows.

    Attributes
    ----------
    step
        From 0.
    loss
        What it minimises, in nats a byte.
    held_out
        Bits per byte of all held-out text, at the last step.
    seconds, teacher_seconds
        Of all steps so far, by the clock: the student's own, and those of the teacher's passes
        or of its writing.
    """

    step: int
    loss: float
    held_out: float | None
    seconds: float
    teacher_seconds: float

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, ready for `json.dumps`."""
        return asdict(self)


@dataclass(frozen=True)
class TeacherText:
    """Windows that a teacher wrote, judged by the held-out windows of the true text.

    Attributes
    ----------
    true
        The text that the teacher learnt.
    window_MT
        What it wrote, (M, T + 1).
    """

    true: Windows
    window_MT: np.ndarray

    @property
    def sha256(self) -> str:
        """Hash of the true text."""
        return self.true.sha256

    @property
    def names(self) -> tuple[str, ...]:
        """Domains of the true text."""
        return self.true.names

    @property
    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """The true text's."""
        return self.true.held_out

    def draw(self, rng: np.random.Generator, n_sequences: int) -> np.ndarray:
        """Draw what the teacher wrote, (B, T + 1)."""
        return self.window_MT[rng.integers(len(self.window_MT), size=n_sequences)]


def written_by(
    teacher: LanguageModel, true: Windows, n_windows: int, rng: np.random.Generator
) -> TeacherText:
    """Let a teacher go on, at temperature 1, from the first bytes of windows of its text.

    Parameters
    ----------
    teacher
        A model of bytes.
    true
        Its text.
    n_windows
        How many it writes, each as long as the text's own.
    rng
        Source of beginnings and draws.
    """
    written = []
    for low in range(0, n_windows, WRITTEN):
        window_BT = true.draw(rng, min(WRITTEN, n_windows - low)).astype(np.int64)
        steps = sample(teacher, window_BT[:, :PROMPT], window_BT.shape[1] - PROMPT, rng)
        new_BT = np.stack([one.token_B for one in steps], axis=1)
        written.append(np.concatenate([window_BT[:, :PROMPT], new_BT], axis=1))
    return TeacherText(true, np.concatenate(written))


class Distillation:
    """A student in training; `run` yields a record per step.

    Parameters
    ----------
    settings
        The student's run.
    teacher
        A model of bytes with the same context; without a method that needs it, None will do.
    windows
        Text to learn instead of the default one.

    Attributes
    ----------
    settings, teacher
    trainer
        Trains the student, `trainer.model`.
    """

    def __init__(
        self,
        settings: DistilSettings,
        teacher: LanguageModel | None = None,
        windows: Windows | None = None,
    ) -> None:
        if teacher is None and settings.method != PLAIN:
            raise ValueError(
                f"teacher: got none with method {settings.method!r}, allowed is that with 'plain'"
            )
        self.settings, self.teacher = settings, teacher
        self.trainer = LMTrainer(settings.training, windows)
        self.teacher_seconds = 0.0
        if settings.method == TEXT:
            assert teacher is not None
            start = perf_counter()
            rng = np.random.default_rng(np.random.SeedSequence(settings.seed).spawn(3)[2])
            n_windows = settings.steps * settings.batch
            self.trainer.windows = written_by(teacher, self.trainer.windows, n_windows, rng)
            self.teacher_seconds = perf_counter() - start

    def run(self) -> Iterator[DistilStep]:
        """Yield a record per step; the last one looks at all held-out text."""
        while self.trainer.step_number < self.settings.steps:
            yield self.step()

    def step(self) -> DistilStep:
        """Do one step."""
        if self.settings.method == LOGITS:
            return self._learn_chances()
        record = self.trainer.step()
        return self._record(record.loss, record.held_out)

    def _learn_chances(self) -> DistilStep:
        trainer, settings, teacher = self.trainer, self.settings, self.teacher
        assert teacher is not None
        start = perf_counter()
        window_BT = trainer.windows.draw(trainer.data_rng, settings.batch)
        tokens_BT, target_N = window_BT[:, :-1], window_BT[:, 1:].reshape(-1)
        begun = perf_counter()
        teacher_NV = teacher.output(teacher.forward(tokens_BT).h_ND)
        taught = perf_counter() - begun
        loss, dlogits_NV, ctx = taught_slope(
            trainer.model, tokens_BT, target_N, teacher_NV, settings.temperature, settings.mix
        )
        _, arrays = logits_backward(trainer.model, dlogits_NV, ctx)
        trainer.update(arrays, ctx.routings)
        self.teacher_seconds += taught
        trainer.seconds += perf_counter() - start - taught
        last = trainer.step_number == settings.steps
        return self._record(loss, trainer.evaluate().bits_per_byte if last else None)

    def _record(self, loss: float, held_out: float | None) -> DistilStep:
        step, seconds = self.trainer.step_number - 1, self.trainer.seconds
        return DistilStep(step, loss, held_out, seconds, self.teacher_seconds)


def taught_slope(
    student: LanguageModel,
    tokens_BT: np.ndarray,
    target_N: np.ndarray,
    teacher_NV: np.ndarray,
    temperature: float = 1.0,
    mix: float = 1.0,
) -> tuple[float, np.ndarray, Any]:
    """Loss of a student on a teacher's chances and on the text, and its slope at the logits.

    Returns
    -------
    loss, dlogits_NV, ctx
        The mean over rows in nats, its gradient, and the student's context.
    """
    ctx = student.forward(tokens_BT)
    logits_NV = student.output(ctx.h_ND)
    n_rows = len(logits_NV)
    loss_N, dlogits_NV = divergence(teacher_NV, logits_NV, temperature)
    if mix < 1:
        log_NV = log_chances(logits_NV)
        rows_N = np.arange(n_rows)
        dtext_NV = np.exp(log_NV)
        dtext_NV[rows_N, target_N] -= 1
        loss_N = mix * loss_N - (1 - mix) * log_NV[rows_N, target_N]
        dlogits_NV = mix * dlogits_NV + (1 - mix) * dtext_NV
    return float(loss_N.mean()), dlogits_NV / n_rows, ctx


def train_teacher(seed: int = 7, steps: int = 400) -> Iterator[LMTrainer]:
    """Train a teacher, the quick model of `moe lm train`: itself after each step."""
    settings = LMTrainSettings(steps=steps, balance="bias", balance_rate=1e-2, seed=seed)
    trainer = LMTrainer(settings)
    for _ in trainer.run():
        yield trainer
