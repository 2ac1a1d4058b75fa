"""NumPy-style docstrings taken apart, as Markdown."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import dataclass
from typing import Any

SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
ENTRY = re.compile(r"^(\w+(?:, \w+)*)\n((?:(?: +.*)?(?:\n|$))+)", re.MULTILINE)
VALUE = re.compile(r"(?:^|- |; )'(\w+)': (.*?)(?=$|\n- |; '\w+': )", re.MULTILINE)
ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")


@dataclass(frozen=True)
class Docstring:
    """A docstring in parts.

    Attributes
    ----------
    prose
        Everything before the first section.
    parameters
        Meaning of each parameter by name.
    example
        Lines of the interpreter, code and output, or ''.
    """

    prose: str
    parameters: dict[str, str]
    example: str


def sections(text: str | None) -> dict[str, str]:
    """Text of each section by its title; what stands before the first has an empty one."""
    prose, *rest = SECTION.split(inspect.cleandoc(text or ""))
    return {"": prose} | dict(zip(rest[::2], rest[1::2], strict=True))


def entries(section: str) -> list[tuple[str, str]]:
    """Names of each entry of a section, as they stand there, and what they mean."""
    return [(names, _flowing(meaning)) for names, meaning in ENTRY.findall(section)]


def parse(text: str | None) -> Docstring:
    """Take a docstring apart; without one, all parts are empty."""
    found = sections(text)
    parameters = {
        name: meaning
        for names, meaning in entries(found.get("Parameters", ""))
        for name in names.split(", ")
    }
    return Docstring(found[""].strip(), parameters, found.get("Examples", "").strip())


def _flowing(text: str) -> str:
    """Join lines; an item of a list stays a line of its own, begun by '- '."""
    return "\n- ".join(" ".join(part.split()) for part in re.split(r"\n *- ", text))


def of_class(kind: type) -> Docstring:
    """A class's own docstring, with the meaning of inherited options from its bases."""
    own = parse(kind.__dict__.get("__doc__"))
    parameters: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__ != "builtins":
            parameters |= parse(base.__dict__.get("__doc__")).parameters
    return Docstring(own.prose, parameters, own.example)


def module_prose(member: Any) -> str:
    """Prose of the module that a class or function stands in."""
    return parse(sys.modules[member.__module__].__doc__).prose


def values_of(meaning: str) -> dict[str, str]:
    """Meaning of each value of an option, written as `'value': what it means`."""
    return {name: text[0].upper() + text[1:] for name, text in VALUE.findall(meaning)}


def linked(text: str) -> str:
    """Return a text with its arXiv numbers as links."""
    return ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", text)


def to_markdown(text: str) -> str:
    """Escape what Markdown would read as emphasis, links, tables or tags, outside `code`."""
    parts = re.split(r"(`[^`]*`)", text)
    plain = [re.sub(r"([\\*_<>\[\]|])", r"\\\1", part) for part in parts[::2]]
    parts[::2] = [linked(part) for part in plain]
    return "".join(parts)


def to_cell(text: str) -> str:
    """Markdown for a cell of a table, which has one line."""
    return to_markdown(text).replace("\n- ", "<br>• ").replace("\n", " ")
