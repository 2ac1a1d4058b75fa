"""How hard a lesson's prose is to read: its sentences and words, counted."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .links import without_links
from .reader import PROSE, Lesson

# Flesch-Kincaid grade (1975): years of school that a text asks for.
PER_WORD, PER_SYLLABLE, OFFSET = 0.39, 11.8, 15.59
_VOWELS = re.compile(r"[aeiouy]+")
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*|\d[\d.,/×%]*")
_END = re.compile(r"(?<=[.!?])[\"”')*]*\s+(?=[\"“'(*A-Z0-9`])")
_BLOCK = re.compile(r"\n\s*\n")
_CODE = re.compile(r"`[^`]*`")
_MARKER = re.compile(r"^\s*(?:[-*>] |#+ |\||\d+\. )", re.MULTILINE)


@dataclass(frozen=True)
class Readability:
    """Figures of a lesson's prose; code is left out.

    Attributes
    ----------
    words, sentences
        Counted in prose, questions and captions.
    longest
        Words of the longest sentence.
    longest_sentence
        That sentence.
    grade
        Flesch-Kincaid grade: years of school that the text asks for. Syllables are counted by
        groups of vowels, without a silent e at the end.
    """

    words: int
    sentences: int
    longest: int
    longest_sentence: str
    grade: float


def sentences(text: str) -> list[str]:
    r"""Return the sentences of a Markdown text; an item of a list or a heading ends one.

    Examples
    --------
    >>> sentences("One, e.g. two. `a.b` is code!\n\n- three\n- four")
    ['One, e.g. two.', 'X is code!', 'three', 'four']
    """
    plain = _CODE.sub("X", without_links(text))
    blocks = [" ".join(one.split()) for one in _BLOCK.split(_MARKER.sub("\n\n", plain))]
    return [one for block in blocks for one in _END.split(block) if _WORD.search(one)]


def readability_of(lesson: Lesson) -> Readability:
    """Count a lesson's prose."""
    found = [
        one for part in lesson.parts if part.kind in (PROSE, "question", "figure")
        for one in sentences(part.text)
    ]  # fmt: skip
    counted = [_WORD.findall(one) for one in found]
    words = [word for one in counted for word in one]
    longest = max(range(len(found)), key=lambda i: len(counted[i]))
    syllables = sum(max(1, len(_VOWELS.findall(word.lower().rstrip("e")))) for word in words)
    grade = PER_WORD * len(words) / len(found) + PER_SYLLABLE * syllables / len(words) - OFFSET
    return Readability(len(words), len(found), len(counted[longest]), found[longest], grade)
