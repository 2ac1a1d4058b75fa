"""Numbers of the lesson on rewards, worked out apart from it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from moe.lessons import lesson
from tests.lessons.expected import Drawn, Worked, ran

ROUNDS = 12


def runs() -> list[dict[str, Any]]:
    """What ships, as it stands in its file."""
    text = files("moe.lessons").joinpath("records/thinking.json").read_text("utf-8")
    found: list[dict[str, Any]] = json.loads(text)
    return found


def mean(figure: str, at: int, start: str = "rounds") -> float:
    return float(sum(run[start][at][figure] for run in runs()) / len(runs()))


def answers(look: dict[str, float], thinks: float) -> float:
    """Share of right answers if such a share thinks."""
    return thinks * look["if_thinks"] + (1 - thinks) * look["if_not"]


def each_seed_says_it() -> None:
    assert [run["seed"] for run in runs()] == [0, 1, 2]
    for run in runs():
        assert len(run["rounds"]) == len(run["weak"]) == ROUNDS + 1
        before, after = run["rounds"][0], run["rounds"][-1]
        assert 50 <= run["steps"] < 800
        assert before["right"] < 0.3 and after["right"] > 0.9
        assert 0.1 < before["thinks"] < 0.3 and after["thinks"] > 0.8
        assert after["length"] > 2 * before["length"]
        assert before["if_thinks"] > 0.7 > 0.3 > before["if_not"]
        selected = answers(before, after["thinks"]) - answers(before, before["thinks"])
        gained = answers(after, after["thinks"]) - answers(before, before["thinks"])
        assert selected / gained > 0.8
        weak, still = run["weak"][0], run["weak"][-1]
        assert weak["if_thinks"] < 0.4 and still["right"] < 0.35
        assert abs(weak["thinks"] - before["thinks"]) < 0.1
    drifted = sorted(run["weak"][-1]["thinks"] for run in runs())
    assert drifted[0] < 0.1 and drifted[1] < 0.1 and drifted[2] > 0.9


def the_lesson_s_own_run_is_the_first_of_the_record() -> None:
    names, first = ran(lesson("thinking")).names, runs()[0]["rounds"]
    for own, look in ((names["before"], first[0]), (names["after"], first[-1])):
        assert own["right"] == pytest.approx(look["right"], abs=0.08)
        assert own["thinks"] == pytest.approx(look["thinks"], abs=0.08)


QUESTIONS = {
    "after": [
        Worked(
            100 * mean("right", ROUNDS),
            {"chance": 20, "mixture": 20 * mean("if_thinks", 0) + 16, "half": 60},
        ),
    ],
    "advantage": [
        Worked(
            3**0.5,
            {"not_divided": 0.75, "wrong_one": -(3**-0.5), "variance": 4,
             "mean_forgotten": 4 / 3**0.5},
            {"n": 16, "right": 4},
        ),
    ],
    "selection": [
        Worked(
            76, {"others_forgotten": 72, "all_think": 90, "swapped": 34, "plain_mean": 55},
            {"good": 90, "bad": 20, "share": 80},
        ),
    ],
    "weak": [
        Worked(
            100 * mean("right", ROUNDS, "weak"),
            {"as_before": 100 * mean("right", ROUNDS), "half": 60, "nothing": 0},
        ),
    ],
    "silent": [
        Worked(
            65.62,
            {"one_right": 34.38, "all_right": 0.01, "one_answer": 90},
            {"chance": 10, "n": 4},
        ),
    ],
}  # fmt: skip


def drawn() -> Drawn:
    rows = [
        {"what": words, "round": at, "value": mean(figure, at, start)}
        for words, figure, start in (
            ("right", "right", "rounds"), ("think", "thinks", "rounds"),
            ("right, of those that think", "if_thinks", "rounds"),
            ("right, weak start", "right", "weak"),
        )
        for at in range(ROUNDS + 1)
    ]  # fmt: skip
    ends = {
        figure: (mean(figure, 0), mean(figure, ROUNDS)) for figure in ("right", "thinks", "length")
    }
    told = {figure: tuple(f"{one:.0%}" for one in pair) for figure, pair in ends.items()}
    before, after = (f"{one:.1f}" for one in ends["length"])
    return Drawn(
        {"rounds": 52, "chance": 1},
        {"rounds": rows, "chance": [{"value": 0.2}]},
        (f"think from {told['thinks'][0]} to {told['thinks'][1]}",
         f"weak start from {mean('right', 0, 'weak'):.0%} to {mean('right', ROUNDS, 'weak'):.0%}"),
        (f"go from {told['right'][0]} to {told['right'][1]}",
         f"{told['thinks'][0]} to {told['thinks'][1]}", f"from {before} signs to {after}"),
    )  # fmt: skip


FIGURES = {"rounds": drawn}
CLAIMS = [each_seed_says_it, the_lesson_s_own_run_is_the_first_of_the_record]
