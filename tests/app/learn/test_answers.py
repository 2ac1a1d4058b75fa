"""Answers in the address: short, read back, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from moe.app.learn.answers import Answer, answered, read, written

GIVEN = [Answer(12.7, 0.39), Answer(3072, 3072), Answer(-1e-5, -1e-5)]


def test_answers_are_read_back_from_what_was_written() -> None:
    assert written(GIVEN) == "12.7~0.39_3072_-1e-05"
    assert read(written(GIVEN), 3) == GIVEN
    assert read(written([]), 3) == []
    large = [Answer(46_702_792_704, 46_702_792_704)]
    assert read(written(large), 1) == large
    longest = Answer(-1.23456789012e-300, -1.23456789013e300)
    assert read(written([longest] * 6), 6) == [longest] * 6


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("7_8_9_1", 3), ("7_x_8", 1), ("7_", 1), ("_7", 0), ("inf", 0), ("nan_1", 0),
        ("1e999", 0), ("7~8~9", 0), ("7~", 0), ("٣", 0), ("1" * 21, 0), (" 7", 0), ("0x7", 0),
        ("<script>", 0), ("7_" * 5000, 3), ("", 0),
    ],
)  # fmt: skip
def test_what_is_no_answer_ends_them(text: str, n: int) -> None:
    assert len(read(text, 3)) == n


def test_a_number_answers_the_next_question_or_replaces_the_last_try() -> None:
    assert answered([], 0, 5.0) == [Answer(5.0, 5.0)]
    assert answered(GIVEN[:1], 0, 1.0) == [Answer(12.7, 1.0)]
    assert answered(GIVEN[:2], 0, 12.7) == [Answer(12.7, 12.7), GIVEN[1]]
    assert answered(GIVEN[:1], 1, 2.0) == [GIVEN[0], Answer(2.0, 2.0)]
