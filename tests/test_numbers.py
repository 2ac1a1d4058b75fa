"""Numbers as people read them."""

from __future__ import annotations

import pytest

from moe.numbers import count, digits, dollars, gigabytes, percent, plural, short
from moe.settings import setting


@pytest.mark.parametrize(
    ("value", "said"),
    [(1e9, "$1B"), (9.9e8, "$990M"), (1e6, "$1M"), (1e3, "$1K"), (990.0, "$990"), (1.5, "$1.5"),
     (2_640_000, "$2.6M")],
)  # fmt: skip
def test_money_changes_its_unit_at_a_thousand(value: float, said: str) -> None:
    assert dollars(value) == said


@pytest.mark.parametrize(
    ("value", "n", "said"),
    [(5_576_000, 4, "$5.576M"), (10_000, 4, "$10K"), (1.6e9, 2, "$1.6B"), (2, 3, "$2"),
     (16_657_674, 2, "$17M"), (999_999, 2, "$1,000K")],
)  # fmt: skip
def test_money_is_written_for_people(value: float, n: int, said: str) -> None:
    assert dollars(value, n) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(1e12, "1 trillion"), (9.9e11, "990 billion"), (1e9, "1 billion"), (1e6, "1 million"),
     (990_000, "990,000"), (93_456, "93,000"), (12.0, "12"), (2_640_000, "2.6 million")],
)  # fmt: skip
def test_counts_change_their_word_at_a_thousand(value: float, said: str) -> None:
    assert count(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (9.94, "9.9 GB"),
        (10.0, "10 GB"),
        (3.84, "3.8 GB"),
        (1376.6, "1,377 GB"),
        (0.1, "0.1 GB"),
        (0.0713, "71 MB"),
        (0.00421, "4.2 MB"),
        (0.0, "0.0 GB"),
    ],
)
def test_gigabytes_for_people(value: float, said: str) -> None:
    assert gigabytes(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(1234.0, "1,200"), (10.4, "10"), (9.96, "10"), (9.94, "9.9"), (0.123, "0.12")],
)
def test_bounds_have_two_digits(value: float, said: str) -> None:
    assert digits(value) == said


def test_sizes_have_three_digits() -> None:
    assert count(37.56e9, 3) == "37.6 billion"
    assert count(671_026_419_200, 3) == "671 billion"


@pytest.mark.parametrize(
    ("value", "said"),
    [(1e12, "1T"), (9.996e11, "999.6B"), (1e9, "1B"), (1e6, "1M"), (-2.5e6, "-2.5M"),
     (999_999, "999,999"), (1000, "1,000"), (-1234.5, "-1,234"), (999.94, "999.9"),
     (0.38941, "0.3894"), (1.23456e9, "1.235B")],
)  # fmt: skip
def test_large_numbers_are_written_short(value: float, said: str) -> None:
    assert short(value) == said


def test_published_figures_are_written_short() -> None:
    assert [short(v) for v in (671.026e9, 14.8e12, 2.664e6, 70272, 0.389)] == [
        "671B", "14.8T", "2.664M", "70,272", "0.389",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("share", "said"), [(0.0251, "2.5%"), (0.0949, "9.5%"), (0.095, "10%"), (1.234, "123%")]
)
def test_small_shares_have_a_digit_behind_the_point(share: float, said: str) -> None:
    assert percent(share) == said


def test_things_are_counted_in_their_plural() -> None:
    assert [plural(n, "token") for n in (0, 1, 2048)] == ["0 tokens", "1 token", "2,048 tokens"]
    assert plural(1, "batch") == "1 batch" and plural(3, "batch") == "3 batches"


def test_settings_are_written_as_one_types_them() -> None:
    assert [setting(one) for one in (None, 0.010, 3, "topk", True)] == [
        "none", "0.01", "3", "topk", "True",
    ]  # fmt: skip


def test_numbers_of_few_digits_have_no_exponent() -> None:
    assert digits(12_345_678, 4) == "12,350,000" and digits(999.96, 4) == "1,000"
    assert digits(5.0, 4) == "5" and digits(-1234.0) == "-1,200"
