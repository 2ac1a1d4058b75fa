"""What the page on distillation says of students, in every case."""

from __future__ import annotations

import pytest

from moe.app.distil import share, story
from moe.app.distil.story import judge, rows, seconds_words, teacher_words, text_words
from moe.studies.distilling import ALONE, LONGER, READ, TAUGHT, Distilled, Interval, Look
from tests.app.visit import plain, read


def run(seed: int, gain: float, gain_seconds: float = 0.1, gain_read: float = 0.0) -> Distilled:
    taught = (Look(20, 2.0, 3.0),)
    return Distilled(seed, 1.8, 40.0, {
        TAUGHT: taught,
        ALONE: (Look(20, 2.0 + gain, 2.0),),
        LONGER: (Look(30, 2.0 + gain_seconds, 3.0),),
        READ: (Look(20, 2.0 + gain - gain_read, 2.5),),
    })  # fmt: skip


@pytest.mark.parametrize(
    ("gains", "truth"),
    [((0.2, 0.3, 0.4), "better"), ((-0.1, 0.3, 0.1), "same"), ((-0.2, -0.3, -0.4), "worse")],
)
def test_an_interval_that_leaves_zero_out_decides(gains, truth):
    verdict = judge([run(seed, gain) for seed, gain in enumerate(gains)])
    assert verdict.truth == truth and truth in story.QUESTION.options
    assert f"it helps in {sum(gain > 0 for gain in gains)} of 3 seeds." in verdict.words


def test_the_interval_is_students():
    found = Interval.of([0.168, 0.138, 0.165])
    assert (found.mean, found.low, found.high) == pytest.approx((0.157, 0.116, 0.198), abs=1e-4)
    assert (
        "0.300 bits a letter (95% interval 0.052 to 0.548)"
        in judge([run(seed, 0.2 + 0.1 * seed) for seed in range(3)]).words
    )


@pytest.mark.parametrize(
    ("gains", "said"),
    [((0.2, 0.3, 0.4), "The teacher still pays: it saves 0.300 bits a letter (95% interval 0.052"),
     ((-0.1, 0.3, 0.1), "cannot be told: +0.100 bits a letter (95% interval -0.397 to +0.597)"),
     ((-0.2, -0.3, -0.4), "learn alone, by 0.300 bits a letter (95% interval 0.052 to 0.548)")],
)  # fmt: skip
def test_equal_seconds_have_a_verdict_of_their_own(gains, said):
    words = seconds_words([run(seed, 0.2, gain) for seed, gain in enumerate(gains)])
    assert said in words and "1.5 to 1.5 times the steps" in words and "40 seconds" in words


def test_teacher_and_students_are_named():
    words = teacher_words([run(0, 0.2), run(1, 0.3)])
    assert "takes 1.80 bits" in words and "dense model, 2.00" in words
    assert list(rows([run(3, 0.2)])[0].values()) == [
        "3", "2.000 (20 steps, 3.0 s)", "2.200 (20 steps, 2.0 s)", "2.100 (30 steps, 3.0 s)",
        "2.200 (20 steps, 2.5 s)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("gains", "said"),
    [((0.2, 0.3, 0.4), "here it saves 0.300 bits"),
     ((-0.1, 0.3, 0.1), "cannot be told from the true text"),
     ((-0.2, -0.3, -0.4), "here it costs 0.300 bits")],
)  # fmt: skip
def test_the_teachers_text_has_a_verdict_of_its_own(gains, said):
    assert said in text_words([run(seed, 0.2, gain_read=gain) for seed, gain in enumerate(gains)])


def test_the_export_holds_every_student():
    runs = [run(seed, 0.2 + 0.1 * seed) for seed in range(3)]
    found = read(share.document(runs), "distil")
    assert found == {"words": judge(runs).words, "runs": plain([one.as_json() for one in runs])}
    assert len(share.rows(runs)) == 12 and "in [0, 1, 2]" in share.code(runs)
    compile(share.code(runs), "code", "exec")
