"""A lesson's Markdown as a list of parts: prose, code, its output, questions, figures.

The source is plain Markdown, so that every viewer shows it as it is. Four kinds of fences mean
something:

    ```python             runs, in order, in one namespace
    ```text               what the block before it prints; the tests compare
    ```question NAME      the text that asks; the lesson's module holds the numbers
    ```figure NAME        its caption; the lesson's module draws it

A head between two lines of three dashes says `title`, `minutes` and `needs`: the names of the
lessons that come before, with commas between them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import check_choice

PROSE = "prose"
KINDS = ("python", "text", "question", "figure")
NAMED = ("question", "figure")
HEAD = ("title", "minutes", "needs")
_FENCE = re.compile(r"^```(\w*) *([\w.]*)\n(.*?)^```$\n?", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """One piece of a lesson: its kind, its text, and its name if it has one.

    Attributes
    ----------
    kind
        'prose', or one of `KINDS`.
    """

    kind: str
    text: str
    name: str = ""


@dataclass(frozen=True)
class Lesson:
    """A lesson as it was read.

    Attributes
    ----------
    name, title
        Its short name, and the question that it answers.
    minutes
        What it takes.
    needs
        Names of the lessons that come before.
    parts
        In the order of the text.
    """

    name: str
    title: str
    minutes: int
    needs: tuple[str, ...]
    parts: tuple[Part, ...] = field(repr=False)

    def of(self, kind: str) -> list[Part]:
        """Return the parts of one kind."""
        return [part for part in self.parts if part.kind == kind]


def parse_lesson(name: str, text: str) -> Lesson:
    """Read a lesson's text.

    Raises
    ------
    ValueError
        If its head lacks something, a fence is of no known kind or has no end, or a question or
        a figure has no name that begins with the lesson's.
    """
    head, body = _head(name, text)
    parts, at = [], 0
    for fence in _FENCE.finditer(body):
        kind, label, inside = fence.groups()
        check_choice(f"fence of lesson {name}", kind, KINDS)
        if kind in NAMED and not label.startswith(f"{name}."):
            raise ValueError(f"{kind} of lesson {name}: got {label!r}, allowed is {name}.SOMETHING")
        parts += _prose(name, body[at : fence.start()])
        parts.append(Part(kind, inside, label))
        at = fence.end()
    parts += _prose(name, body[at:])
    needs = tuple(one.strip() for one in head["needs"].split(",") if one.strip())
    return Lesson(name, head["title"], int(head["minutes"]), needs, tuple(parts))


def _head(name: str, text: str) -> tuple[dict[str, str], str]:
    """The head as a dictionary, and what follows it."""
    start, _, rest = text.partition("---\n")
    lines, end, body = rest.partition("\n---\n")
    head = {
        key: value.strip() for key, _, value in (one.partition(":") for one in lines.split("\n"))
    }
    if start or not end or tuple(head) != HEAD or not head["minutes"].isdecimal():
        raise ValueError(f"head of lesson {name}: got {list(head)}, allowed is {', '.join(HEAD)}")
    return head, body


def _prose(name: str, text: str) -> list[Part]:
    """A stretch of prose, if there is one."""
    if "```" in text:
        raise ValueError(f"fence of lesson {name}: got one without an end near {text[-40:]!r}")
    return [Part(PROSE, text.strip("\n") + "\n")] if text.strip() else []
