"""What if …: pairs of routers that show a difference, and the difference in numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...numbers import plural
from ..shared.question import Question
from .story import Choice, SideBySide, SideSettings

CHANGED = {"none": 0.0, "quarter": 0.25, "half": 0.5, "all": 1.0}  # by the guess in the address
_CHANGED_WORDS = {
    "none": "none", "quarter": "{} (a quarter)", "half": "{} (half)", "all": "{} (all)",
}  # fmt: skip


@dataclass(frozen=True)
class WhatIf:
    """A pair of routers that differ in one thing.

    Attributes
    ----------
    words
        The question that a button asks.
    settings
        Both routers, and the room of experts.
    shows
        The difference on a sentence, in words.
    holds
        Whether the difference is there on a sentence.
    """

    words: str
    settings: SideSettings
    shows: Callable[[SideBySide], str]
    holds: Callable[[SideBySide], bool]


def _per_character(both: SideBySide) -> tuple[np.ndarray, np.ndarray]:
    """Experts of each character in A and in B."""
    return both.a.chosen_NE.sum(axis=1), both.b.chosen_NE.sum(axis=1)


def _even(both: SideBySide) -> str:
    left_out = f", but {plural(both.b.unserved, 'character')} got none" if both.b.unserved else ""
    return (
        f"The busiest expert has {both.a.share_E.max():.0%} of the work in A and "
        f"{both.b.share_E.max():.0%} in B{left_out}."
    )


def _turned_away(both: SideBySide) -> str:
    return (
        f"With room for its fair share only, A turns {plural(both.a.dropped, 'choice')} away, "
        f"B {both.b.dropped}."
    )


def _fewer(both: SideBySide) -> str:
    a_N, b_N = _per_character(both)
    return f"A calls {a_N.mean():.3g} experts for a character, B {b_N.mean():.3g}: less work."


def _between(both: SideBySide) -> str:
    _, b_N = _per_character(both)
    return (
        f"B gives {plural(int(b_N.min()), 'expert')} to the characters that it is sure of, and up "
        f"to {b_N.max()} to others; {b_N.mean():.2g} on average."
    )


def _sets_of_repeated(both: SideBySide, b: bool) -> list[int]:
    """Number of different sets of experts of each character that occurs more than once."""
    chosen_NE = both.b.chosen_NE if b else both.a.chosen_NE
    places = {t: [n for n, u in enumerate(both.tokens) if u == t] for t in set(both.tokens)}
    return [len({chosen_NE[n].tobytes() for n in at}) for at in places.values() if len(at) > 1]


def _fixed(both: SideBySide) -> str:
    a, b = _sets_of_repeated(both, False), _sets_of_repeated(both, True)
    return (
        f"Of {plural(len(a), 'repeated character')}, A sends {sum(n > 1 for n in a)} to changing "
        f"experts, by what stands before them; B sends {sum(n > 1 for n in b)}."
    )


_TOPK = Choice("topk")
WHAT_IFS = {
    "choose": WhatIf(
        "… the experts choose?", SideSettings(_TOPK, Choice("expert_choice")), _even,
        lambda both: both.b.share_E.max() < both.a.share_E.max(),
    ),
    "full": WhatIf(
        "… experts can be full?", SideSettings(_TOPK, Choice("sinkhorn"), room=1.0), _turned_away,
        lambda both: both.b.dropped < both.a.dropped,
    ),
    "one": WhatIf(
        "… each gets one expert?", SideSettings(_TOPK, Choice("switch")), _fewer,
        lambda both: bool((_per_character(both)[1] < _per_character(both)[0]).all()),
    ),
    "even": WhatIf(
        "… work must come out even?", SideSettings(_TOPK, Choice("base")), _even,
        lambda both: both.b.share_E.max() < both.a.share_E.max(),
    ),
    "unsure": WhatIf(
        "… unsure ones get more?", SideSettings(_TOPK, Choice("top_p")), _between,
        lambda both: bool(np.ptp(_per_character(both)[0]) == 0 < np.ptp(_per_character(both)[1])),
    ),
    "fixed": WhatIf(
        "… a fixed table decides?", SideSettings(_TOPK, Choice("hash")), _fixed,
        lambda both: max(_sets_of_repeated(both, True), default=0) == 1
        < max(_sets_of_repeated(both, False), default=0),
    ),
}  # fmt: skip


def difference(both: SideBySide) -> str:
    """Say what a pair was chosen to show; empty if it is none of these pairs, or does not hold."""
    s = both.settings
    for what_if in WHAT_IFS.values():
        w = what_if.settings
        if (s.a, s.b, s.room) == (w.a, w.b, w.room):
            return what_if.shows(both) if what_if.holds(both) else ""
    return ""


def question(n_tokens: int) -> Question:
    """Ask how many characters change their experts."""
    words = {
        key: _CHANGED_WORDS[key].format(round(share * n_tokens)) for key, share in CHANGED.items()
    }
    return Question(
        f"How many of {n_tokens} characters will B send to other experts?", words, by="B"
    )


def answer(both: SideBySide) -> tuple[str, str]:
    """Name of the option that is nearest to what happened, and what happened in a sentence."""
    share = float(both.changed_N.mean())
    key = min(CHANGED, key=lambda name: abs(CHANGED[name] - share))
    return key, both.changed_words()
