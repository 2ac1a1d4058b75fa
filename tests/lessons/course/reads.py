"""Numbers of the lesson on attention, worked out apart from it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np

from moe.lessons import lesson
from tests.lessons.expected import Drawn, Worked, ran

SEEN = ["1", "2", "4", "8", "16", "32"]


def runs() -> list[dict[str, Any]]:
    """What ships, as it stands in its file."""
    text = files("moe.lessons").joinpath("records/reads.json").read_text("utf-8")
    found: list[dict[str, Any]] = json.loads(text)
    return found


def seen(model: str) -> list[float]:
    lines = [run[model]["seen"] for run in runs()]
    return [sum(values) / len(lines) for values in zip(*lines, strict=True)]


def table() -> float:
    return sum(run["table"] for run in runs()) / len(runs())


def near() -> float:
    one, _, four, *_, whole = seen("mixture")
    return 100 * (1 - (four - whole) / (one - whole))


def each_seed_says_it() -> None:
    assert [run["seed"] for run in runs()] == [0, 1, 2]
    for run in runs():
        mixture, dense = run["mixture"], run["dense"]
        one, _, four, eight, sixteen, whole = mixture["seen"]
        assert one > 4 > run["table"] > 3 and whole < run["table"] - 0.9
        assert 0.88 < (one - four) / (one - whole) < 0.95
        assert abs(sixteen - whole) < 0.05 and eight - whole < 0.05
        assert mixture["mixed"] > one  # shuffled letters are worse than none
        assert dense["seen"][-1] - whole > 0.1
        assert dense["all_places"] - mixture["all_places"] > 0.08
    assert 6.5 < 2 ** seen("mixture")[-1] < 7.5


def the_lesson_s_own_run_is_the_first_of_the_record() -> None:
    """Up to what other texts of another Python change."""
    names = ran(lesson("reads")).names
    first = runs()[0]
    assert abs(names["all_seen"] - first["mixture"]["seen"][-1]) < 0.1
    assert abs(names["one_seen"] - first["table"]) < 0.1


QUESTIONS = {
    "bits": [
        Worked(
            seen("mixture")[-1],
            {"unknown": 8, "letters": np.log2(27), "table": table(), "one_bit": 1, "nothing": 0},
        ),
    ],
    "mix": [
        Worked(
            (1 * 20 + 2 * 60 + 5 * 120) / 8,
            {"mean": 200 / 3, "likeliest": 120, "not_divided": 740,
             "no_softmax": 60 * np.log(2) + 120 * np.log(5), "looked_away": 140 / 3},
            {"a": 1, "b": 2, "c": 5, "x": 20, "y": 60, "z": 120},
        ),
    ],
    "pairs": [Worked(10, {"ahead": 16, "not_itself": 6, "one_each": 4}, {"tokens": 4})],
    "near": [Worked(near(), {"by_length": 12.5, "half": 50, "all": 100, "nothing": 0})],
}  # fmt: skip


def drawn() -> Drawn:
    rows = [
        {"model": model, "seen": n, "bits": value}
        for model in ("mixture", "dense")
        for n, value in zip(SEEN, seen(model), strict=True)
    ]
    one, _, four, *_, whole = seen("mixture")
    return Drawn(
        {"bits": 12, "table": 1},
        {"bits": rows, "table": [{"bits": table()}]},
        (f"mixture {one:.2f} with one, {four:.2f} with 4, {whole:.2f} with all 32",
         f"dense {seen('dense')[0]:.2f} with one", f"at {table():.2f} bits"),
        ("Mean of 3 seeds", f"needs {one:.2f} bits, with four {four:.2f}, with all 32 {whole:.2f}",
         f"needs {table():.2f}", f"each token {seen('dense')[-1]:.2f}"),
    )  # fmt: skip


FIGURES = {"seen": drawn}
CLAIMS = [each_seed_says_it, the_lesson_s_own_run_is_the_first_of_the_record]
