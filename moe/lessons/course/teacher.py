"""Questions and figure of the lesson on distillation: what a teacher says beyond one letter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import altair as alt
import numpy as np

from ...lm.logits import log_chances, logits_backward
from ...lm.model import LanguageModel
from ...lm.settings import LMTrainSettings
from ...lm.training import LMTrainer
from ...pictures.figure import Drawing, Figure, Rows, draw
from ...pictures.marks import end_labels, goal, name_axis
from ...pictures.palette import BLUE, FAIR, PAPER_INK
from ..picture import Picture
from ..question import Question, Slip, Values
from ..recorded import recorded

CONTEXT, STEPS, TEACHER_SEED = 32, 300, 7
TEACHER = LMTrainSettings(
    d_model=32, n_heads=2, d_expert=32, context=CONTEXT, steps=STEPS, learning_rate=2e-2,
    seed=TEACHER_SEED,
)  # fmt: skip
STUDENT: dict[str, Any] = {
    "d_model": 24, "n_heads": 2, "n_experts": 0, "d_dense": 48, "n_layers": 1, "context": CONTEXT,
    "batch": 16, "steps": 150, "learning_rate": 1e-2,
}  # fmt: skip
TEXT, CHANCES, BEST, EVEN = "text", "chances", "best", "even"
SAID = {
    TEXT: "what came", CHANCES: "teacher's chances", BEST: "teacher's best guess",
    EVEN: "what came, softened",
}  # fmt: skip
Told = Callable[[np.ndarray, np.ndarray], np.ndarray]


# What is measured --------------------------------------------------------------------------------


def chances(model: LanguageModel, tokens_BT: np.ndarray) -> np.ndarray:
    """Chances of every next byte at every position, (N, V)."""
    return np.asarray(np.exp(log_chances(model.output(model.forward(tokens_BT).h_ND))))


def ways_to_tell(teacher: LanguageModel) -> dict[str, Told]:
    """What a student is told, by name: a function of what it sees and of what came."""
    letters = np.eye(256, dtype=np.float32)

    return {
        TEXT: lambda tokens_BT, came_N: letters[came_N],
        CHANCES: lambda tokens_BT, came_N: chances(teacher, tokens_BT),
        BEST: lambda tokens_BT, came_N: letters[chances(teacher, tokens_BT).argmax(axis=1)],
        EVEN: lambda tokens_BT, came_N: 0.9 * letters[came_N] + np.float32(0.1 / 256),
    }


def learn(told: Told, seed: int) -> float:
    """Train a student on what it is told, and return its bits for each held-out byte."""
    student = LMTrainer(LMTrainSettings(**STUDENT, seed=seed))
    for _ in range(student.settings.steps):
        window_BT = student.windows.draw(student.data_rng, student.settings.batch)
        seen_BT, came_N = window_BT[:, :-1], window_BT[:, 1:].reshape(-1)
        ctx = student.model.forward(seen_BT)
        own_NV = np.exp(log_chances(student.model.output(ctx.h_ND)))
        slope_NV = (own_NV - told(seen_BT, came_N)) / len(came_N)
        _, grads = logits_backward(student.model, slope_NV, ctx)
        student.update(grads, ctx.routings)
    return student.evaluate().bits_per_byte


def measure(seed: int) -> dict[str, Any]:
    """Train one teacher, the same for each seed, and a student for each way to tell."""
    teacher = LMTrainer(TEACHER)
    *_, last = teacher.run()
    found: dict[str, Any] = {"seed": seed, "teacher": last.held_out}
    return found | {
        name: learn(told, seed) for name, told in ways_to_tell(teacher.model).items()
    }  # fmt: skip


def mean_bits(name: str) -> float:
    """Bits of one kind of student, or of the teacher, mean over the seeds."""
    return float(np.mean([run[name] for run in recorded("teacher")]))


def gain() -> float:
    """Bits that the teacher's chances save."""
    return mean_bits(TEXT) - mean_bits(CHANCES)


# Questions ---------------------------------------------------------------------------------------


def _three(rng: np.random.Generator) -> Values:
    a, x = (int(one) for one in rng.integers(2, 7, size=2))
    b, y = int(rng.integers(1, 9 - a)), int(rng.integers(1, 9 - x))
    return {"a": 10 * a, "b": 10 * b, "x": 10 * x, "y": 10 * y}


def _teacher(v: Values) -> np.ndarray:
    return np.array([v["a"], v["b"], 100 - v["a"] - v["b"]]) / 100


def _student(v: Values) -> np.ndarray:
    return np.array([v["x"], v["y"], 100 - v["x"] - v["y"]]) / 100


def _cross(p: np.ndarray, q: np.ndarray) -> float:
    return float(-(p * np.log2(q)).sum())


def _soft(rng: np.random.Generator) -> Values:
    return {"chance": int(rng.integers(70, 97)), "temperature": int(rng.integers(2, 5))}


def _softened(v: Values, temperature: float) -> float:
    odds = (v["chance"] / (100 - v["chance"])) ** (1 / temperature)
    return float(100 * odds / (1 + odds))


QUESTIONS = {
    "gain": Question(
        form=lambda v: gain(),
        tolerance=0.03,
        unit="bits",
        why="The same text and the same steps, and still it has learnt more.",
        slips=(
            Slip("nothing_new", lambda v: 0,
                 "The text is the same, so there is nothing new in it? One character is one draw. "
                 "The teacher says how likely all of them were."),
            Slip("all", lambda v: mean_bits(TEXT) - mean_bits("teacher"),
                 "Then the student would be as good as its teacher. It is far smaller, and has had "
                 "fewer steps."),
            Slip("half", lambda v: 0.5,
                 "A teacher says much, but the student is small, and has read little of it yet."),
        ),
    ),
    "cost": Question(
        draw=_three,
        form=lambda v: _cross(_teacher(v), _student(v)),
        tolerance=0.02,
        unit="bits",
        why="Each logarithm counts as often as the teacher expects that character.",
        slips=(
            Slip("one_letter", lambda v: float(-np.log2(_student(v)[_teacher(v).argmax()])),
                 "You took the teacher's likeliest character alone. It gives the others a chance, "
                 "and they count, too."),
            Slip("nats", lambda v: _cross(_teacher(v), _student(v)) * float(np.log(2)),
                 "You took natural logarithms. For bits the logarithm is binary."),
            Slip("swapped", lambda v: _cross(_student(v), _teacher(v)),
                 "You counted with the student's chances, and took the teacher's logarithms. It is "
                 "the other way round."),
            Slip("plain_mean", lambda v: float(-np.log2(_student(v)).mean()),
                 "You gave each character the same weight. The teacher says how much each counts."),
        ),
    ),
    "best": Question(
        form=lambda v: mean_bits(BEST) - mean_bits(TEXT),
        tolerance=0.05,
        unit="bits",
        why="It learns to be sure where nobody can be, and pays for each surprise.",
        slips=(
            Slip("better", lambda v: -gain(),
                 "So it would be if it did as well as with the chances. The best guess leaves out "
                 "all that is less likely, and it does come."),
            Slip("equal", lambda v: 0,
                 "A guess that is often right is not the text. It never says a rare character."),
        ),
    ),
    "soften": Question(
        draw=_soft,
        form=lambda v: _softened(v, v["temperature"]),
        tolerance=0.4,
        unit="%",
        why="The ratio of the two chances becomes its root.",
        slips=(
            Slip("divided", lambda v: v["chance"] / v["temperature"],
                 "You divided the chance. The *logits* are divided, and the softmax comes after."),
            Slip("sharper", lambda v: _softened(v, 1 / v["temperature"]),
                 "You multiplied the logits. That makes it surer; above 1 a temperature softens."),
            Slip("even", lambda v: 50,
                 "So it would be at an endless temperature."),
            Slip("unchanged", lambda v: v["chance"],
                 "The order stays, and the chances do not: only differences of logits count, and "
                 "those are divided."),
        ),
    ),
}  # fmt: skip


# Figure ------------------------------------------------------------------------------------------


def students() -> Picture:
    """Draw the bits of each student, a dot for each seed, with the mean in words."""
    rows: Rows = [
        {"told": said, "bits": run[name], "seed": run["seed"]}
        for run in recorded("teacher")
        for name, said in SAID.items()
    ]
    means: Rows = [
        {"told": said, "bits": mean_bits(name), "label": f"{mean_bits(name):.2f}"}
        for name, said in SAID.items()
    ]
    y = alt.Y("told:N", sort=None, axis=name_axis(labelLimit=170))
    x = alt.X("bits:Q", scale=alt.Scale(zero=False, nice=True),
              axis=alt.Axis(title="bits for each unseen character", tickCount=5))  # fmt: skip
    dots = draw("students").mark_point(filled=True, size=45, opacity=0.7, color=BLUE).encode(
        x=x, y=y, tooltip=["told:N", "seed:O", alt.Tooltip("bits:Q", format=".3f")]
    )  # fmt: skip
    words = end_labels(draw("means").encode(x=x, y=y), PAPER_INK, dx=14, dy=-9)
    rule = goal("teacher", FAIR, x="bits:Q")
    told = "; ".join(f"{row['told']} {row['label']}" for row in means)
    figure = Figure(
        "What a student is told, and how well it then guesses",
        Drawing(alt.LayerChart(layer=[rule, dots, words]).properties(height=alt.Step(38))),
        f"Dots in four rows, one for each seed, and a dashed line at the teacher's "
        f"{mean_bits('teacher'):.2f} bits. Means: {told}.",
        {"students": rows, "means": means, "teacher": [{"bits": mean_bits("teacher")}]},
    )
    numbers = {name: f"{mean_bits(name):.2f}" for name in (*SAID, "teacher")}
    return Picture(figure, {"seeds": len(recorded("teacher"))} | numbers)


FIGURES = {"students": students}
