"""A visitor's guesses as a small file, read back, and those of a class counted by question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ...checkpoints.strict_json import parse_object, quoted
from .histogram import counted
from .question import MAX_QUESTION, Guess
from .sharing import json_document

KIND = "guesses"
MAX_BYTES, MAX_GUESSES, MAX_OPTIONS, MAX_TEXT = 100_000, 150, 12, 500
MAX_WRITTEN = 12  # answers in pupils' own words that a picture shows; the rest counts as one
OTHERS = "other answers"
LARGEST = 1e15  # number that is counted among others; no question has a larger answer


@dataclass(frozen=True)
class Given:
    """One guess, and what came out.

    Attributes
    ----------
    page, question
        Where it was asked, and the question.
    options
        The answers that could be clicked; none if it was to be written.
    said, right
        Her answer, and the one that is right; the latter is empty where no page can tell. Both are
        numbers with their unit if there are no options and one answer is right.
    told
        What came out, in a sentence.
    """

    page: str
    question: str
    options: tuple[str, ...]
    said: str
    right: str
    told: str

    @classmethod
    def of(cls, guess: Guess, page: str, told: str, truth: str) -> Given:
        """Return a guess that was answered on a page; `truth` names the right option."""
        asked = guess.question
        right = asked.options.get(truth, "") if asked.judged else ""
        return cls(page, asked.words, tuple(asked.options.values()), guess.words, right, told)


def file_of(given: Iterable[Given]) -> bytes:
    """Return guesses as JSON, which `read_guesses` reads."""
    return json_document(KIND, {"guesses": [asdict(one) for one in given]})


def read_guesses(raw: bytes) -> list[Given]:
    """Read a file of guesses.

    Raises
    ------
    ValueError
        If it is too large, no JSON, or holds anything else than guesses.
    """
    if len(raw) > MAX_BYTES:
        raise ValueError(f"file: got {len(raw):,} bytes, allowed are {MAX_BYTES:,}")
    document = parse_object(raw, "file")
    rows = document.get("guesses")
    if document.get("kind") != KIND or not isinstance(rows, list) or len(rows) > MAX_GUESSES:
        raise ValueError(
            f"file: got something else, allowed are up to {MAX_GUESSES} guesses as “My guesses” "
            "saves them"
        )
    return [_given(row) for row in rows]


def _given(row: Any) -> Given:
    names = [one.name for one in fields(Given)]
    if not isinstance(row, dict) or set(row) != set(names):
        raise ValueError(f"guess: got other parts, allowed are {', '.join(names)}")
    options = row["options"]
    if not isinstance(options, list) or len(options) > MAX_OPTIONS:
        raise ValueError(f"options: got other than a list, allowed are up to {MAX_OPTIONS} texts")
    texts = {name: _text(name, row[name]) for name in names if name != "options"}
    return Given(**texts, options=tuple(_text("option", one) for one in options))


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ValueError(f"{name}: got {quoted(value)}, allowed is a text of {MAX_TEXT} letters")
    return value


@dataclass(frozen=True)
class Tally:
    """How a class answered one question: every answer with how many gave it.

    Attributes
    ----------
    right
        The right one of the answers; empty where no page can tell.
    steps
        Whether the answers are steps of numbers, somewhere in one of which the right one is.
    """

    question: str
    told: str
    right: str
    counts: Mapping[str, int]
    steps: bool = False


def tallies(given: Iterable[Given]) -> list[Tally]:
    """Count guesses, apart for each question and what came out, in the order they come."""
    asked: dict[tuple[str, ...], list[Given]] = {}
    for one in given:
        asked.setdefault((one.page, one.question, one.told, one.right), []).append(one)
    return [_tally(group) for group in asked.values()]


def _tally(group: list[Given]) -> Tally:
    first = group[0]
    right = None if first.options else _number(first.right)
    said = [_number(one.said) for one in group]
    numbers = [number for number in said if number is not None]
    if right is None or not numbers:
        return Tally(first.question, first.told, first.right, _counts(group, first.right))
    counts, where = counted(numbers, right, first.right.partition(" ")[2])
    rest = len(said) - len(numbers)
    return Tally(
        first.question, first.told, where, counts | ({OTHERS: rest} if rest else {}), steps=True
    )


def _number(text: str) -> float | None:
    """The number that a text begins with, if it does."""
    try:
        number = float(text.split()[0])
    except (IndexError, ValueError):
        return None
    return number if abs(number) < LARGEST else None


def _counts(group: list[Given], right: str) -> dict[str, int]:
    """Answers that could be clicked in their order, then the others, most frequent first."""
    said = Counter(" ".join(one.said.split())[:MAX_QUESTION] for one in group)
    options = dict.fromkeys([*group[0].options, *filter(None, [right])])
    written = [(answer, n) for answer, n in said.most_common() if answer not in options]
    counts = {option: said[option] for option in options} | dict(written[:MAX_WRITTEN])
    rest = sum(n for _, n in written[MAX_WRITTEN:])
    return counts | ({OTHERS: rest} if rest else {})
