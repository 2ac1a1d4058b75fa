"""Tasks with answers: rewards, demonstrations, and the split into two parts."""

from __future__ import annotations

import re

import numpy as np
import pytest

from moe.lm.tasks import END, FILL, HELD_OUT, SIGNS, TASKS, decode, encode, is_held_out, lengths

every_task = pytest.mark.parametrize("name", TASKS)


def right_text(name: str, prompt: str, written: str) -> bool:
    """Whether an answer is right, worked out from the texts alone."""
    if name == "addition":
        a, b = prompt.rstrip("=").split("+")
        return written == f"{int(a) + int(b):03d}$"
    total = sum(int(sign) for sign in prompt.rstrip("=")) % 5
    return re.fullmatch(rf"[^>$]{{0,8}}>{total}\$", written) is not None


def spoilt(rng: np.random.Generator, written_BS: np.ndarray) -> np.ndarray:
    """The same answers with some signs changed, inserted or left out."""
    written_BS = written_BS.copy()
    for written_S in written_BS:
        change, place = rng.integers(4), rng.integers(len(written_S))
        if change == 1:
            written_S[place] = rng.integers(len(SIGNS))
        elif change == 2:
            written_S[place:] = np.roll(written_S[place:], 1)
        elif change == 3:
            written_S[:] = rng.integers(len(SIGNS), size=len(written_S))
    ended_BS = np.cumsum(written_BS == END, axis=1) - (written_BS == END) > 0
    return np.where(ended_BS, FILL, written_BS)


@every_task
@pytest.mark.parametrize("narrow", [0, 1])
def test_the_reward_is_for_right_answers_only(name: str, narrow: int) -> None:
    task, rng = TASKS[name], np.random.default_rng(0)
    problems = task.draw(rng, 600)
    written_BS = spoilt(rng, task.demonstrate(problems, rng, 0.5))
    written_BS = written_BS[:, : task.n_new - narrow]  # as if all had ended before
    expected = [
        right_text(name, decode(prompt_P), decode(written_S))
        for prompt_P, written_S in zip(problems.prompt_BP, written_BS)
    ]
    assert task.reward(problems, written_BS).tolist() == expected
    assert narrow or 0.1 < np.mean(expected) < 0.9


@every_task
def test_demonstrations_are_right(name: str) -> None:
    task, rng = TASKS[name], np.random.default_rng(1)
    for thinking in (0.0, 0.2, 1.0):
        problems = task.draw(rng, 1000)
        written_BS = task.demonstrate(problems, rng, thinking)
        assert task.reward(problems, written_BS).all()
        thinks = (task.scratch(written_BS) > 0).mean()
        assert abs(thinks - (thinking if task.n_scratch else 0)) < 0.05


def test_a_demonstration_that_thinks_writes_the_running_sums() -> None:
    task = TASKS["mod5"]
    problems = task.problems(np.array([int("031422", 5)]))
    for thinking, written in ((1.0, "034302>2$"), (0.0, ">2$")):
        shown_BS = task.demonstrate(problems, np.random.default_rng(0), thinking)
        assert decode(problems.prompt_BP[0]) == "031422="
        assert decode(shown_BS[0]) == written


def test_prompts_of_addition_read_as_sums() -> None:
    problems = TASKS["addition"].problems(np.array([3458, 9999]))
    assert [decode(one) for one in problems.prompt_BP] == ["34+58=", "99+99="]
    assert [decode(one) for one in problems.answer_BA] == ["092$", "198$"]


def answer_shares(name: str, number_B: np.ndarray) -> np.ndarray:
    """Share of each digit at each place of the answer, (A, 10)."""
    answer_BA = TASKS[name].problems(number_B).answer_BA
    return np.stack([np.bincount(a, minlength=len(SIGNS)) / len(a) for a in answer_BA.T])


@every_task
def test_every_answer_digit_is_equally_frequent_in_both_parts(name: str) -> None:
    held_B, open_B = (TASKS[name].numbers(part) for part in (True, False))
    everything = np.sort(np.concatenate([held_B, open_B]))
    assert np.array_equal(everything, np.arange(TASKS[name].n_problems))
    share = answer_shares(name, everything)
    for part_B in (held_B, open_B):
        deviation = np.sqrt(share * (1 - share) / len(part_B))
        assert (abs(answer_shares(name, part_B) - share) <= 4 * deviation + 1e-12).all()
    size = TASKS[name].n_problems / HELD_OUT
    assert abs(len(held_B) - size) < 4 * np.sqrt(size)


def test_a_split_by_a_formula_would_not_pass() -> None:
    number_B = np.arange(10_000)
    formula_B = (7919 * (number_B // 100) + 104729 * (number_B % 100)) % 5 == 0
    last_digit = answer_shares("addition", number_B[formula_B])[2]
    assert (last_digit == 0).sum() >= 8  # only sums that end in 0 or 5


def test_the_hash_is_that_of_its_publication() -> None:
    def split_mix(number: int) -> int:
        state, mask = number + 0x9E3779B97F4A7C15, 2**64 - 1
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        return state ^ (state >> 31)

    numbers = [0, 1, 5, 777, 15_624]
    assert split_mix(0) == 0xE220A8397B1DCDAF  # the first value of a generator seeded with 0
    assert is_held_out(np.array(numbers)).tolist() == [split_mix(n) % 5 == 0 for n in numbers]


@every_task
def test_an_examination_is_held_out_and_always_the_same(name: str) -> None:
    task = TASKS[name]
    exam = task.examination(500)
    assert is_held_out(exam.number_B).all() and len(set(exam.number_B)) == 500
    assert np.array_equal(exam.number_B, task.examination(500).number_B)
    assert not is_held_out(task.draw(np.random.default_rng(0), 500).number_B).any()
    with pytest.raises(ValueError, match="n: got 9999, allowed is a whole number in"):
        task.examination(9999)


def test_texts_and_signs() -> None:
    assert decode([*encode("12+3=15$"), FILL, 1]) == "12+3=15$"
    assert lengths(np.array([encode("1$__"), encode("1234")])).tolist() == [1, 4]
    with pytest.raises(ValueError, match="got the sign 'x', allowed are those of"):
        encode("x")
