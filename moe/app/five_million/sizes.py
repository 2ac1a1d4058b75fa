"""The published figure beside what it leaves out, as squares whose areas are the dollars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from ...cost import LEFT_OUT
from ...numbers import digits, dollars
from ..shared.question import Guess, Question, closest
from .story import MARKS, published_dollars, published_parts

RUN, TRIALS, SERVERS, GUESS = "run", "trials", "servers", "guess"
QUESTION = (
    "The company also bought servers. How much do you think all of them cost, as one firm "
    "estimates?"
)
# Answers to click, by their names in the address; four times apart.
OPTIONS: Mapping[str, float] = {"25": 25e6, "100": 100e6, "400": 400e6, "1600": 1600e6}


@dataclass(frozen=True)
class Square:
    """A sum of money as a square.

    Attributes
    ----------
    key, name
        One of `RUN`, `TRIALS`, `SERVERS` and `GUESS`, and its name for people.
    dollars
        The area.
    mark
        '†' where the figure was not read at its source.
    """

    key: str
    name: str
    dollars: float
    mark: str = ""

    @property
    def side(self) -> float:
        """The side, in the root of a dollar."""
        return sqrt(self.dollars)

    @property
    def amount(self) -> str:
        """'$22M†'."""
        return f"{dollars(self.dollars)}{self.mark}"

    @property
    def label(self) -> str:
        """'$22M†: trial runs'."""
        return f"{self.amount}: {self.name}"


def question() -> Question:
    """What the page asks first."""
    words = {name: f"About {dollars(amount)}" for name, amount in OPTIONS.items()}
    return Question(QUESTION, words)


def guessed(guess: Guess | None) -> float | None:
    """Dollars that a visitor guessed; None if she did not, or answered a teacher's question."""
    if guess is None or not guess.question.judged:
        return None
    return OPTIONS.get(guess.key)


def squares(guess: Guess | None = None) -> list[Square]:
    """Return the final run, trial runs, all servers and a guess, the smallest first.

    A guess that is written like one of them has no square of its own.
    """
    run = published_dollars()
    found = [Square(RUN, "the final run, as published", run)]
    for key, name in ((TRIALS, "trial runs, at most (a guess)"), (SERVERS, "all servers")):
        item = next(item for item in LEFT_OUT if item.key == key)
        span = item.dollars(run)
        assert span
        found.append(Square(key, name, span.high, MARKS.get(item.check, "")))
    amount = guessed(guess)
    if amount and all(dollars(one.dollars) != dollars(amount) for one in found):
        found.append(Square(GUESS, "your guess", amount))
    return sorted(found, key=lambda one: one.dollars)


def shares() -> list[tuple[str, float]]:
    """Return the parts of the final run and their shares of it."""
    return [(part.name, part.dollars / published_dollars()) for part in published_parts()]


def servers() -> Square:
    """What one firm estimates for all servers."""
    return next(one for one in squares() if one.key == SERVERS)


def times() -> float:
    """How many times the published figure the servers cost."""
    return servers().dollars / published_dollars()


def reply(guess: Guess) -> str:
    """What came out, beside a visitor's guess if there is one."""
    amount = guessed(guess)
    if not amount:
        return came_out()
    so_too = ", and so does the firm" if guess.key == truth() else ""
    return f"You said {dollars(amount)}{so_too}. {came_out()}"


def truth() -> str:
    """Name of the option that is nearest to the estimate."""
    return closest(OPTIONS, servers().dollars)


def came_out() -> str:
    """What the servers cost, in sentences."""
    return (
        f"One firm estimates **{dollars(servers().dollars)}**: {digits(times())} times the famous "
        "figure. It is disputed, and counts all of the company's machines. This training used a "
        "small part of them for two months."
    )


def told(found: list[Square]) -> str:
    """The squares in words, for those who do not see them."""
    return "; ".join(
        f"{one.label}, a square of side {one.side / found[0].side:.3g}" for one in found
    )


def parts_told() -> str:
    """The final run alone in words."""
    parts = "; ".join(f"{share:.1%} {name}" for name, share in shares())
    return f"{dollars(published_dollars(), 4)}, a square of {len(shares())} strips: {parts}"
