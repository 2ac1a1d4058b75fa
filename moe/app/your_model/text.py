"""A trace's text page by page, each token with the experts that took it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import check_int
from ...pictures.experts import EXPERT_COLOURS
from ...traces import Trace

PAGE = 240  # tokens shown at once
MAX_NAMED = 16  # experts of a token that are named
ALL = "everything"


@dataclass(frozen=True)
class Token:
    """A token above the number of an expert.

    Attributes
    ----------
    text, expert
        The token, and the expert whose number and colour it gets.
    words
        Its experts in words, the first of very many.
    lit
        Whether it gets number and colour at all.
    begins
        Whether a document begins here.
    """

    text: str
    expert: int
    words: str
    lit: bool = True
    begins: bool = False


@dataclass(frozen=True)
class TextPage:
    """Some tokens in order, and what is shown in words."""

    tokens: tuple[Token, ...]
    words: str


def texts(trace: Trace) -> list[str]:
    """Names of what can be read by itself: everything, and each kind of text."""
    return [ALL, *(trace.domains if trace.domain_N is not None else ())]


def positions(trace: Trace, of: str) -> np.ndarray:
    """Places of the tokens of a kind of text, (n,)."""
    if of in trace.domains and trace.domain_N is not None:
        return np.flatnonzero(trace.domain_N == trace.domains.index(of))
    return np.arange(trace.n_tokens)


def n_pages(trace: Trace, of: str) -> int:
    """Pages of a kind of text, at least one."""
    return max(1, -(-len(positions(trace, of)) // PAGE))


def text_page(trace: Trace, at: int, of: str, page: int, focus: int | None) -> TextPage:
    """Return a page of the text with the experts of a layer.

    Parameters
    ----------
    at
        Layer, counted among those recorded.
    of
        One of `texts`.
    page
        From 1.
    focus
        Light up only the tokens of this expert, among all their choices; None: all tokens by
        their first choice.
    """
    check_int("page", page, 1, n_pages(trace, of))
    shown_n = positions(trace, of)[(page - 1) * PAGE : page * PAGE]
    begins = set(trace.start_S.tolist())
    tokens = []
    for n in shown_n.tolist():
        experts = trace.expert_LNK[at, n].tolist()
        weights = trace.weight_LNK[at, n].tolist()
        named = [
            f"expert {e} ({weight:.0%})"
            for e, weight in zip(experts, weights, strict=True)
            if e >= 0
        ]
        more = [f"and {len(named) - MAX_NAMED} more"] if len(named) > MAX_NAMED else []
        lit = experts[0] >= 0 if focus is None else focus in experts
        tokens.append(
            Token(
                trace.tokens[n],
                experts[0] if focus is None else focus,
                ", ".join(named[:MAX_NAMED] + more) or "no expert",
                lit,
                n in begins,
            )
        )
    lit_tokens = sum(token.lit for token in tokens)
    what = (
        "The number below a token is the expert that got it first; its colour says "
        f"{_colours(trace)}."
        if focus is None
        else f"Expert {focus} is among the choices of {lit_tokens} of these {len(tokens)} tokens."
    )
    return TextPage(tuple(tokens), what)


def _colours(trace: Trace) -> str:
    return "who it is" if trace.n_experts <= len(EXPERT_COLOURS) else "how busy that expert is"
