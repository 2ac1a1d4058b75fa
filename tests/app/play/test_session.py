"""The server's side of a run: any chunks, in any order, are the plan's own records."""

from __future__ import annotations

import json
import random
from base64 import b64decode
from typing import Any

import numpy as np
import pytest

from moe.app.play.pace import FASTEST, SLOWEST, Pace
from moe.app.play.plan import read
from moe.app.play.session import PlaySession, Wish
from moe.app.shared.stage.small_run import MOST_STEPS
from moe.training import LiveRun

FOREVER = 60.0


def wish(run: str, start: int, n: int, number: int = 1) -> Wish:
    return Wish.of({"run": run, "from": start, "n": n, "number": number})


def losses(answer: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(b64decode(answer["records"]["loss"]), "<f4")


def alone(run: str, steps: int) -> np.ndarray:
    recipe = read(run)[0].recipe
    live = LiveRun(recipe.settings, recipe.changes)
    return np.float32([live.step().loss for _ in range(steps)])


CHANGES = ("bdeepseek", "k1", "x3", "x", "r1")


@pytest.mark.parametrize("chunks", [8, pytest.param(14, marks=pytest.mark.soak)])
def test_chunks_are_the_run_whatever_is_changed_in_between(chunks: int) -> None:
    """Each chunk is compared with the run from its start, which costs the more the later it is."""
    session, draw = PlaySession(), random.Random(3)
    run, at = "8-0", 0
    for number in range(chunks):
        answer = session.answer(wish(run, at, 9), FOREVER)
        assert json.loads(json.dumps(answer)) == answer
        n = answer["records"]["n"]
        assert answer["records"]["from"] == at and n == 9
        assert np.array_equal(losses(answer), alone(run, at + n)[at:])
        back = draw.randrange(0, 9)  # the browser shows a step that lies behind
        at += n - back
        if number % 4:  # sometimes nothing is changed
            run += f"_{at}{CHANGES[(number - 1 - number // 4) % len(CHANGES)]}"


def test_a_new_session_takes_a_run_up_where_it_was() -> None:
    run = "8-1_20bdeepseek_30x2_45k1"
    taken_up = PlaySession().answer(wish(run, 50, 5), FOREVER)
    assert np.array_equal(losses(taken_up), alone(run, 55)[50:])


def test_far_away_steps_are_reached_in_several_wishes() -> None:
    session, asked = PlaySession(), wish("8-0", 120, 4, 7)
    answers = []
    while not answers or answers[-1]["records"] is None:
        answers.append(session.answer(asked, 0.05))
    assert len(answers) > 1 and answers[-1]["number"] == 7
    done = [answer["done"] for answer in answers[:-1]]
    assert done == sorted(done) and done[0] > 0
    assert np.array_equal(losses(answers[-1])[:1], alone("8-0", 121)[120:])


def test_a_run_ends_at_its_last_step() -> None:
    run = "8-0_0k1"
    session = PlaySession()
    session.answer(wish(run, 100, 1), FOREVER)
    assert session.answer(wish(run, 100, 3), FOREVER)["records"]["n"] == 3
    with pytest.raises(ValueError, match="from: got"):
        wish(run, MOST_STEPS + 1, 1)


@pytest.mark.parametrize("experts", [8, 16, 32, 64])
def test_a_session_weighs_less_than_three_megabytes(experts: int) -> None:
    session = PlaySession()
    for at in (0, 4, 8, 12):
        session.answer(wish(f"{experts}-0", at, 4), FOREVER)
    assert 1e5 < session.n_bytes < 3.6e6


@pytest.mark.parametrize(
    "data",
    [
        None, 3, [], "8-0", {}, {"run": "8-0"}, {"run": "8-0", "from": 0, "n": 0, "number": 1},
        {"run": "8-0", "from": -1, "n": 5, "number": 1},
        {"run": "8-0", "from": 0, "n": 10**9, "number": 1},
        {"run": "8-0", "from": 0.5, "n": 5, "number": 1},
        {"run": ["8-0"], "from": 0, "n": 5, "number": 1},
        {"run": "8-0", "from": 0, "n": 5, "number": "x"},
        {"run": "8-0", "from": 0, "n": 5, "number": 1, "keep": -4},
        {"run": "999-0", "from": 0, "n": 5, "number": 1},
    ],
)  # fmt: skip
def test_what_is_no_wish_says_so(data: object) -> None:
    with pytest.raises(ValueError, match="got"):
        Wish.of(data)


def test_many_visitors_share_the_pace() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert pace.of("one") == FASTEST
    rates = [pace.of(n) for n in range(100)]
    assert rates == sorted(rates, reverse=True) and rates[-1] == SLOWEST
    now[0] = 60
    assert pace.of("one") == FASTEST
