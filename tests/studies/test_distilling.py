"""Students as they are watched: looks over their steps, and the runs that ship."""

from __future__ import annotations

import pytest

from moe.errors import CheckpointError
from moe.lm import shipped
from moe.lm.distil import PLAIN
from moe.studies.distilling import ALONE, LONGER, READ, TAUGHT, Distilled, settings_of, watch


@pytest.fixture(scope="module")
def runs() -> list[Distilled]:
    return [Distilled.read(run) for run in shipped.unpack("distil")["runs"]]


def test_a_student_is_looked_at_now_and_then_and_at_its_end():
    looks = list(watch(settings_of(0, PLAIN, steps=3)))
    assert [look.step for look in looks] == [1, 2, 3]
    assert looks[-1].bits < looks[0].bits
    assert 0 < looks[0].seconds < looks[1].seconds < looks[2].seconds


def test_a_run_is_read_as_it_was_written(runs):
    given = runs[0].as_json()
    assert Distilled.read(given) == runs[0]
    students = given["students"]
    for broken in (
        {}, {**given, "seed": None}, {**given, "students": {}},
        {**given, "students": {**students, ALONE: []}},
        {**given, "students": {**students, ALONE: [{"step": 1}]}},
    ):  # fmt: skip
        with pytest.raises(CheckpointError, match=r"^distilled: got"):
            Distilled.read(broken)


def test_the_shipped_students_are_those_of_the_settings_of_today(runs):
    from docs.generator.lm_runs import RUNS, is_of

    kept = shipped.unpack("distil")["runs"]
    assert all(is_of(*pair) for pair in zip(RUNS["distil"](), kept, strict=True))
    assert len({run.seed for run in runs}) == len(runs) >= 3


def test_the_longer_student_learns_for_as_many_seconds_as_its_steps_say(runs):
    for run in runs:
        taught, alone, longer, read = (
            run.students[name][-1] for name in (TAUGHT, ALONE, LONGER, READ)
        )
        assert taught.step == alone.step == read.step
        assert longer.step == max(alone.step, round(alone.step * taught.seconds / alone.seconds))
        assert longer.seconds == pytest.approx(taught.seconds, rel=0.4)  # on a busy machine
        assert run.gain_read == alone.bits - read.bits
        assert run.gain == alone.bits - taught.bits
        assert run.gain_seconds == longer.bits - taught.bits
