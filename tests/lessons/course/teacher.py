"""Numbers of the lesson on distillation, worked out apart from it."""

from __future__ import annotations

import json
from importlib.resources import files
from math import log, log2
from typing import Any

from moe.lessons import lesson
from tests.lessons.expected import Drawn, Worked, ran

SAID = {
    "text": "what came", "chances": "teacher's chances", "best": "teacher's best guess",
    "even": "what came, softened",
}  # fmt: skip


def runs() -> list[dict[str, Any]]:
    """What ships, as it stands in its file."""
    text = files("moe.lessons").joinpath("records/teacher.json").read_text("utf-8")
    found: list[dict[str, Any]] = json.loads(text)
    return found


def mean(name: str) -> float:
    return float(sum(run[name] for run in runs()) / len(runs()))


def each_seed_says_it() -> None:
    assert [run["seed"] for run in runs()] == [0, 1, 2]
    for run in runs():
        assert run["teacher"] < run["chances"] < run["text"] - 0.1
        assert run["best"] > run["text"] + 0.5
        assert run["even"] > run["chances"] + 0.1


def the_lesson_s_own_run_is_the_first_of_the_record() -> None:
    """Up to what other texts of another Python change."""
    names, first = ran(lesson("teacher")).names, runs()[0]
    for name, own in (("text", "alone"), ("chances", "taught"), ("best", "best"), ("even", "soft")):
        assert abs(names[own] - first[name]) < 0.15, name


QUESTIONS = {
    "gain": [
        Worked(
            mean("text") - mean("chances"),
            {"nothing_new": 0, "all": mean("text") - mean("teacher"), "half": 0.5},
        ),
    ],
    "cost": [
        Worked(
            0.5 * 1 + 0.2 * 2 + 0.3 * 2,
            {"one_letter": 1, "nats": 1.5 * log(2), "plain_mean": 5 / 3,
             "swapped": 0.5 * 1 + 0.25 * log2(5) + 0.25 * log2(10 / 3)},
            {"a": 50, "b": 20, "x": 50, "y": 25},
        ),
    ],
    "best": [
        Worked(
            mean("best") - mean("text"), {"better": mean("chances") - mean("text"), "equal": 0}
        ),
    ],
    "soften": [
        Worked(
            75, {"divided": 45, "sharper": 100 * 81 / 82, "even": 50, "unchanged": 90},
            {"chance": 90, "temperature": 2},
        ),
    ],
}  # fmt: skip


def drawn() -> Drawn:
    rows = [
        {"told": said, "bits": run[name], "seed": run["seed"]}
        for run in runs()
        for name, said in SAID.items()
    ]
    return Drawn(
        {"students": 12, "means": 4, "teacher": 1},
        {"students": rows, "teacher": [{"bits": mean("teacher")}]},
        tuple(f"{said} {mean(name):.2f}" for name, said in SAID.items()),
        ("Mean of 3 seeds", f"{mean('text'):.2f} bits with the text, {mean('chances'):.2f} with",
         f"{mean('best'):.2f} with its best guess, and {mean('even'):.2f}",
         f"itself needs {mean('teacher'):.2f}"),
    )  # fmt: skip


FIGURES = {"students": drawn}
CLAIMS = [each_seed_says_it, the_lesson_s_own_run_is_the_first_of_the_record]
