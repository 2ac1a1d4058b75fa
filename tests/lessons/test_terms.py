"""No term of the field stands in a lesson before it is explained or linked."""

from __future__ import annotations

import re

import pytest

from docs.generator.search import TERMS
from moe.app.shared.glossary import WORDS
from moe.lessons import lesson, lessons
from moe.lessons.course import FILES
from moe.lessons.reader import Lesson

# Words of the app's glossary that everybody knows in the sense in which lessons use them.
EVERYDAY = {"active", "character", "room", "step", "work"}
FORMS = [
    *((word.name, *word.forms) for word in WORDS if word.name not in EVERYDAY),
    *TERMS,
]
FIELD = re.compile(r"mixtures? of experts", re.I)  # a term of its own, said before an expert is
# A link, or words in italics, which may go on in the next line.
MARKED = re.compile(r"\[[^\]]+\]\([^)\s]+\)|\*(?:[^*\n]|\n(?!\n))+\*")
MOST_WORDS = 3  # in italics, that introduce a term; more of them are a sentence that is discussed
CODE = re.compile(r"`[^`]*`")


def prose(one: Lesson) -> str:
    """Everything that is read as text, in its order."""
    said = [part.text for part in one.parts if part.kind not in ("python", "text")]
    return CODE.sub("X", "\n".join(said))


def unexplained(text: str, forms: tuple[str, ...]) -> str | None:
    """The line in which a term first stands, unless it is in italics or in a link there."""
    found = re.search(rf"\b({'|'.join(map(re.escape, forms))})\b", FIELD.sub("X", text), re.I)
    if found is None:
        return None
    plain = FIELD.sub("X", text)
    if any(
        mark.start() <= found.start() and found.end() <= mark.end()
        for mark in MARKED.finditer(plain)
        if mark[0][0] == "[" or len(mark[0].split()) <= MOST_WORDS
    ):
        return None
    line = plain[plain.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0]
    return f"{found[0]}: {line}"


def test_a_term_is_found_and_an_explained_one_is_none() -> None:
    assert unexplained("A mixture of experts.\nIts logits are", ("logit", "logits"))
    assert unexplained("The *logit* is. Logits are", ("logit", "logits")) is None
    assert unexplained("Its [*expert*](a.md#b), experts", ("expert", "experts")) is None
    assert unexplained("*Only a few experts run here.*", ("expert", "experts"))
    assert unexplained("*One\nis this.* Now a *batch* is", ("batch",)) is None
    assert unexplained("A mixture of experts", ("expert", "experts")) is None


@pytest.mark.parametrize("forms", FORMS, ids=lambda forms: forms[0])
def test_a_term_is_explained_or_linked_where_it_first_stands(forms: tuple[str, ...]) -> None:
    for one in lessons():
        text = prose(one)
        if re.search(rf"\b({'|'.join(map(re.escape, forms))})\b", FIELD.sub("X", text), re.I):
            assert unexplained(text, forms) is None, (
                f"lesson {one.name}, {unexplained(text, forms)}"
            )
            return


@pytest.mark.parametrize("name", FILES)
def test_a_lesson_needs_only_what_stands_before_it(name: str) -> None:
    assert {FILES.index(needed) < FILES.index(name) for needed in lesson(name).needs} <= {True}
