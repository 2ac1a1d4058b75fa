"""Words in plain language: shown on the pages' words themselves, and in the documentation.

`marked` makes the first place of each word in a text of ours a small button; `moe/app/frame.css`
shows its meaning while the pointer or the keyboard's focus is on it, or once a finger touched it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from html import escape

from .component import UNSEEN, component

DESCRIPTION = "moe-word-"  # ids of the meanings that the frame holds for screen readers


@dataclass(frozen=True)
class Word:
    """A word, what it means in a sentence or two, and other forms in which texts have it."""

    name: str
    meaning: str
    forms: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Where its meaning stands for screen readers."""
        return DESCRIPTION + self.name.replace(" ", "-")


WORDS = (
    Word(
        "expert",
        "One of many small networks inside of a model, each with weights of its own. "
        "Most of them rest while a few work.",
        ("experts",),
    ),
    Word(
        "router",
        "The part that decides which experts get a character. It learns together with them. "
        "Papers also call it the gate.",
        ("routers",),
    ),
    Word(
        "token",
        "A piece of text that a model reads at once: a word or a part of one. "
        "In the small models of these pages it is a single character.",
        ("tokens",),
    ),
    Word(
        "character",
        "A letter, a digit, a space or another sign of a text: what the small models here read "
        "one by one.",
        ("characters",),
    ),
    Word(
        "step",
        "One round of learning: the model guesses on a batch of text, and all its weights move a "
        "little towards better guesses.",
        ("steps",),
    ),
    Word(
        "work",
        "What an expert has to do, counted in characters that the router sends to it. "
        "Papers call it the load.",
    ),
    Word(
        "fair share",
        "The work that each expert would have if all had the same: of eight experts, an eighth.",
        ("fair shares",),
    ),
    Word(
        "loss",
        "How wrong the guesses of a model are, on average. Lower is better; zero would be always "
        "right and always sure.",
        ("losses",),
    ),
    Word(
        "dense",
        "Without a choice of experts: all weights work on every token. The ordinary kind of model.",
    ),
    Word(
        "active",
        "Of a model's weights, those that one token uses. A mixture of experts stores many and "
        "has few of them active.",
    ),
    Word(
        "balancing",
        "Whatever keeps the work of the experts even while they learn, such as a small bonus for "
        "those who have too little.",
        ("balance", "balanced"),
    ),
    Word(
        "room",
        "How much work an expert can take in one step, in fair shares. What does not fit is "
        "dropped or goes elsewhere. Papers call it the capacity.",
        ("capacity",),
    ),
    Word(
        "attention",
        "The part of a model through which a token reads those before it: a weighted mean, with "
        "weights that the tokens themselves decide.",
    ),
    Word(
        "transformer",
        "The usual kind of language model: a stack of blocks, each with attention and a layer "
        "that looks at one token alone.",
        ("transformers",),
    ),
    Word(
        "distillation",
        "Training a small model, the student, on what a bigger one says, its teacher: on its "
        "chances of all answers, or on text that it wrote.",
    ),
    Word(
        "policy",
        "A model that acts: it says how likely each next step is, and one is drawn. Of a language "
        "model, the next sign that it writes.",
    ),
    Word(
        "reward",
        "A number that says how good a whole answer was, such as 1 if it is right. Nothing tells "
        "the model which part of it was good.",
        ("rewards", "rewarded"),
    ),
    Word(
        "reinforcement learning",
        "Learning by trying: a model answers, gets rewards, and makes those answers likelier that "
        "got more than others.",
    ),
)
_CODE_OR_LINK = re.compile(r"(`[^`]*`|\[[^\]]*\]\([^)]*\)|<[^>]*>)")


@cache
def _by_form() -> dict[str, Word]:
    return {form: word for word in WORDS for form in (word.name, *word.forms)}


@cache
def _any_form() -> re.Pattern[str]:
    longest_first = sorted(_by_form(), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})\b", re.IGNORECASE)


def marked(text: str) -> str:
    """Return Markdown of ours in which the first place of each word can be asked for its meaning.

    Code, links and tags stay as they are. The result holds HTML, so no text of a visitor's may be
    in it.
    """
    seen: set[str] = set()

    def mark(found: re.Match[str]) -> str:
        word = _by_form()[found[0].lower()]
        if word.name in seen:
            return found[0]
        seen.add(word.name)
        return (
            f'<button type="button" class="moe-word" data-meaning="{escape(word.meaning)}" '
            f'aria-describedby="{word.id}">{found[0]}</button>'
        )

    parts = _CODE_OR_LINK.split(text)
    parts[::2] = [_any_form().sub(mark, part) for part in parts[::2]]
    return "".join(parts)


def meanings() -> str:
    """Return all meanings as HTML for screen readers, to which the marked words refer."""
    spans = "".join(f'<span id="{word.id}">{escape(word.meaning)}</span>' for word in WORDS)
    return f"{UNSEEN}<div hidden>{spans}</div>"


_meanings = component("glossary", __file__, meanings, "glossary.js", on_page=True)


def hold_meanings() -> None:
    """Put the meanings of all words on the page, and what shows them in its place."""
    _meanings(key="glossary")
