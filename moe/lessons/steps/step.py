"""One step of building a layer: what is to be written, its cases, the right answer, mistakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Function = Callable[..., Any]


class Learner(Protocol):
    """Somebody's functions, wherever they run."""

    def call(self, function: str, *given: Any) -> tuple[Any, list[Any]]:
        """Return what a function returns, and what its arguments are afterwards."""


@dataclass(frozen=True)
class Mistake:
    """A mistake that is recognised.

    Attributes
    ----------
    name
        Identifier.
    run
        What code with this mistake computes, of the arguments of a case.
    says
        What to tell who made it: what happened and why, not the answer.
    also
        Other ways to write the same mistake, which compute something else.
    """

    name: str
    run: Function
    says: str
    also: tuple[Function, ...] = ()


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes
    ----------
    name
        Of the step, and of the function unless `parts` says otherwise.
    signature
        How the function is called and what it returns, with shapes.
    cases
        Arguments that it is called with; the smallest first.
    right
        The library's own answer to the arguments of a case.
    mistakes
        The first that explains every case is named.
    parts
        Of each case, the function that is called, if there are several.
    trial
        What else has to hold once every case is right: returns whether it does, and words.
    """

    name: str
    signature: str
    cases: tuple[tuple[Any, ...], ...]
    right: Function
    mistakes: tuple[Mistake, ...]
    parts: tuple[str, ...] = ()
    trial: Callable[[Learner], tuple[bool, str]] | None = None

    def functions(self) -> tuple[str, ...]:
        """The function that each case calls."""
        return self.parts or (self.name,) * len(self.cases)
