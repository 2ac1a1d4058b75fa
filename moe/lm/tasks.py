"""Tasks whose answers can be checked: what a model that is rewarded for right answers learns from.

B   problems or answers       P   signs of a prompt        S   signs that a model may write

Every text consists of 16 signs. A fifth of the problems is held out by a hash of the problem, which
knows nothing of its answer: a rule such as (7919 a + 104729 b) mod 5 would hold out every sum that
ends in 0 or 5, and a model would be examined in answers that it never saw.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from ..errors import check_float, check_int

SIGNS = "0123456789+=>$_ "
END, FILL, ANSWER = (SIGNS.index(sign) for sign in "$_>")
HELD_OUT = 5  # one problem in so many


def encode(text: str) -> list[int]:
    """Signs of a text as numbers.

    Raises
    ------
    ValueError
        If it holds another sign.
    """
    for sign in text:
        if sign not in SIGNS:
            raise ValueError(f"text: got the sign {sign!r}, allowed are those of {SIGNS!r}")
    return [SIGNS.index(sign) for sign in text]


def decode(signs: Iterable[int]) -> str:
    """Text of signs, up to and including the end sign."""
    text = "".join(SIGNS[sign] for sign in signs)
    whole, end, _ = text.partition(SIGNS[END])
    return whole + end


def is_held_out(number_B: np.ndarray) -> np.ndarray:
    """Which problems are held out: a fifth of the values of a hash of their numbers, SplitMix64."""
    hash_B = number_B.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    hash_B = (hash_B ^ (hash_B >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hash_B = (hash_B ^ (hash_B >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((hash_B ^ (hash_B >> np.uint64(31))) % np.uint64(HELD_OUT) == 0)


@lru_cache(maxsize=8)
def _part(n_problems: int, held_out: bool) -> np.ndarray:
    number_B = np.arange(n_problems)
    return number_B[is_held_out(number_B) == held_out]


@dataclass(frozen=True)
class Problems:
    """Problems of one task.

    Attributes
    ----------
    number_B
        Which of the task's problems these are.
    prompt_BP
        What the model reads.
    answer_BA
        What the right answer is, the end sign included.
    """

    number_B: np.ndarray
    prompt_BP: np.ndarray
    answer_BA: np.ndarray

    def __len__(self) -> int:
        return len(self.number_B)

    @classmethod
    def join(cls, parts: Sequence[Problems]) -> Problems:
        """Those of one list after those of another."""
        return cls(*map(np.concatenate, zip(*(vars(one).values() for one in parts), strict=True)))

    def select(self, index_B: np.ndarray) -> Problems:
        """Some of them, by a mask or by their places."""
        return Problems(*(array[index_B] for array in vars(self).values()))

    def repeat(self, times: int) -> Problems:
        """Each problem `times` times, one after the other."""
        return self.select(np.repeat(np.arange(len(self)), times))


class Task(ABC):
    """Problems with a right answer, demonstrations of how to write it, and the reward.

    Class attributes
    ----------------
    name, title
        Name in the registry, and what it is.
    n_problems
        How many there are.
    n_scratch
        Signs that a model may write before its answer; the answer then begins with `>`.
    n_new
        Signs that a model writes at most, those of the answer included.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    n_problems: ClassVar[int]
    n_scratch: ClassVar[int]
    n_new: ClassVar[int]

    def numbers(self, held_out: bool) -> np.ndarray:
        """Numbers of all problems of one part."""
        return _part(self.n_problems, held_out)

    def draw(self, rng: np.random.Generator, n: int, held_out: bool = False) -> Problems:
        """Draw problems of one part, with repetition."""
        check_int("n", n, 1)
        part = self.numbers(held_out)
        return self.problems(part[rng.integers(len(part), size=n)])

    def examination(self, n: int) -> Problems:
        """The same held-out problems at every call, none of them twice."""
        part = self.numbers(held_out=True)
        check_int("n", n, 1, len(part), "held-out problems")
        return self.problems(np.random.default_rng(0).permutation(part)[:n])

    @abstractmethod
    def problems(self, number_B: np.ndarray) -> Problems:
        """The problems of these numbers."""

    @abstractmethod
    def demonstrate(
        self, problems: Problems, rng: np.random.Generator, thinking: float
    ) -> np.ndarray:
        """Right answers as a teacher writes them, (B, S), filled behind the end sign.

        Parameters
        ----------
        problems, rng
            What is answered, and the source of chance in how.
        thinking
            Share of the answers that show their steps, if the task has room for them.
        """

    def scratch(self, written_BS: np.ndarray) -> np.ndarray:
        """Signs in front of the answer, (B,): all of them where no answer begins."""
        if self.n_scratch == 0:
            return np.zeros(len(written_BS), np.int64)
        begins_BS = written_BS == ANSWER
        return np.where(begins_BS.any(axis=1), begins_BS.argmax(axis=1), lengths(written_BS))

    def reward(self, problems: Problems, written_BS: np.ndarray) -> np.ndarray:
        """1 where the answer is right and ended, else 0, (B,); nothing else counts."""
        answer_BA = problems.answer_BA
        n_answer = answer_BA.shape[1]
        missing = max(0, self.n_new - written_BS.shape[1])
        written_BS = np.pad(written_BS, ((0, 0), (0, missing)), constant_values=FILL)
        start_B = np.minimum(self.scratch(written_BS), self.n_new - n_answer)
        place_BA = start_B[:, None] + np.arange(n_answer)
        given_BA = np.take_along_axis(written_BS, place_BA, axis=1)
        return np.asarray((given_BA == answer_BA).all(axis=1), np.float64)


def lengths(written_BS: np.ndarray) -> np.ndarray:
    """Signs in front of the end sign, (B,); all of them where there is none."""
    ends_BS = written_BS == END
    return np.where(ends_BS.any(axis=1), ends_BS.argmax(axis=1), written_BS.shape[1])


def digits(number_B: np.ndarray, base: int, n_digits: int) -> np.ndarray:
    """Digits of numbers, (B, n_digits), the most significant first."""
    powers = base ** np.arange(n_digits - 1, -1, -1)
    return np.asarray(number_B[:, None] // powers % base)


class SumModulo5(Task):
    """The sum of six digits 0 to 4, modulo 5: `031422=` to `>2$`, with eight free signs before `>`.

    A demonstration answers at once, or first writes the running sums: `034302>2$`.
    """

    name = "mod5"
    title = "Sum of six digits, modulo 5"
    base, n_terms = 5, 6
    n_problems = 5**6
    n_scratch = 8
    n_new = n_scratch + 3

    def problems(self, number_B: np.ndarray) -> Problems:
        """See `Task.problems`."""
        terms_BP = digits(number_B, self.base, self.n_terms)
        prompt_BP = np.pad(terms_BP, ((0, 0), (0, 1)), constant_values=SIGNS.index("="))
        answer_BA = np.full((len(number_B), 3), ANSWER)
        answer_BA[:, 1] = terms_BP.sum(axis=1) % self.base
        answer_BA[:, 2] = END
        return Problems(number_B, prompt_BP, answer_BA)

    def demonstrate(
        self, problems: Problems, rng: np.random.Generator, thinking: float
    ) -> np.ndarray:
        """See `Task.demonstrate`."""
        check_float("thinking", thinking, 0.0, 1.0)
        n_answer = problems.answer_BA.shape[1]
        written_BS = np.full((len(problems), self.n_new), FILL)
        written_BS[:, :n_answer] = problems.answer_BA
        thinks_B = rng.random(len(problems)) < thinking
        sums_BP = np.cumsum(problems.prompt_BP[:, : self.n_terms], axis=1) % self.base
        written_BS[thinks_B, : self.n_terms] = sums_BP[thinks_B]
        behind = slice(self.n_terms, self.n_terms + n_answer)
        written_BS[thinks_B, behind] = problems.answer_BA[thinks_B]
        return written_BS


class Addition(Task):
    """Two numbers of two digits, `34+58=` to `092$`: the most significant digit comes first."""

    name = "addition"
    title = "Addition of two numbers of two digits"
    n_problems = 100 * 100
    n_scratch = 0
    n_new = 4

    def problems(self, number_B: np.ndarray) -> Problems:
        """See `Task.problems`."""
        a_B, b_B = number_B // 100, number_B % 100
        plus, equals = (np.full((len(number_B), 1), SIGNS.index(sign)) for sign in "+=")
        parts = digits(a_B, 10, 2), plus, digits(b_B, 10, 2), equals
        end_B1 = np.full((len(number_B), 1), END)
        answer_BA = np.concatenate([digits(a_B + b_B, 10, 3), end_B1], axis=1)
        return Problems(number_B, np.concatenate(parts, axis=1), answer_BA)

    def demonstrate(
        self, problems: Problems, rng: np.random.Generator, thinking: float
    ) -> np.ndarray:
        """See `Task.demonstrate`; there is no room for steps."""
        return problems.answer_BA.copy()


TASKS: dict[str, Task] = {task.name: task for task in (SumModulo5(), Addition())}
