"""The best models for a machine, by a rule that is stated, and why a mixture is the faster one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...numbers import count, digits, gigabytes
from .story import MIXTURE, Answer, Answers, Question

WORDS_A_MINUTE = 250.0  # how fast people read
WORDS_A_TOKEN = 0.75  # a rule of thumb for English
LETTERS_A_TOKEN = 4  # another
READING = WORDS_A_MINUTE / 60 / WORDS_A_TOKEN  # tokens a second
MOST = 3  # models that are named
TEXT = (
    "This text appears as fast as the model could write it on your machine. To find the next piece "
    "of a word, a dense model reads all of its numbers from memory, every single time. A mixture "
    "of experts holds just as many numbers, but each piece of text is sent to a few experts only, "
    "and the numbers of all others stay where they are. Less to read means less to wait for. That "
    "is why a model that fills your memory to the brim can still write faster than you read. "
)


def each_tokens_per_s(answer: Answer, question: Question) -> float:
    """Tokens a second for each conversation."""
    return answer.decoding.tokens_per_s / question.batch


def best(answers: Answers) -> list[Answer]:
    """Up to three models that fit, the best first; `rule_words` says by which rule.

    If none writes as fast as people read, these are the fastest that fit.
    """
    checked = [a for a in answers.fitting if a.model.published_check == "verified"]
    quick = [a for a in checked if each_tokens_per_s(a, answers.question) >= READING]
    if quick:
        return sorted(quick, key=lambda a: -a.model.total_params)[:MOST]
    return sorted(checked, key=lambda a: -a.decoding.tokens_per_s)[:MOST]


def rule_words() -> str:
    """What 'best' means here."""
    return (
        "Best: the most parameters, among models whose published size was read at its source and "
        f"that can write at least as fast as people read. That is {WORDS_A_MINUTE:.0f} words a "
        f"minute, or {READING:.1f} tokens a second at {WORDS_A_TOKEN} words a token. “At most” "
        "means: memory read at its full speed, arithmetic at its peak, links between machines "
        "free. Real programs reach less."
    )


def best_words(answers: Answers) -> str:
    """How many models fit, and what the best one is like."""
    asked, found = answers.question, best(answers)
    fits = f"**{len(answers.fitting)} of {len(answers.rows)}** models fit"
    if not found:
        least = answers.rows[0]
        fits = fits if answers.fitting else "**No** model fits"
        return (
            f"{fits} in {answers.memory_words()}; {least.model.name} needs the least, "
            f"{gigabytes(least.needed_gb)}."
        )
    first, each = found[0], " in each conversation" if asked.batch > 1 else ""
    slow = each_tokens_per_s(first, asked) < READING
    return (
        f"{fits}. {'The fastest' if slow else 'The best'} is **{first.model.name}**: it writes at "
        f"most **{digits(each_tokens_per_s(first, asked))} tokens a second**{each}"
        f"{', slower than you read' if slow else ''}."
    )


def card(answer: Answer, question: Question) -> tuple[str, str, str]:
    """Name of a model, its speed, and what it needs."""
    words = each_tokens_per_s(answer, question) * 60 * WORDS_A_TOKEN
    return (
        answer.model.name,
        f"{digits(each_tokens_per_s(answer, question))} tokens/s",
        f"{answer.kind}, {gigabytes(answer.needed_gb)}; {digits(words)} words a minute at most",
    )


@dataclass(frozen=True)
class Typist:
    """A model that writes the text on the page at its speed.

    Attributes
    ----------
    name, about
        Which model, and how much of it each token uses.
    tokens_per_s
        For one conversation, at most.
    """

    name: str
    about: str
    tokens_per_s: float

    @property
    def letters_per_s(self) -> float:
        """Letters that appear in a second."""
        return self.tokens_per_s * LETTERS_A_TOKEN


def race(answers: Answers) -> list[Typist]:
    """A mixture that fits, and the same one with all its experts at work: as a dense model is.

    Returns
    -------
    The dense one first; nothing if no mixture fits.
    """
    question = answers.question
    mixtures = [a for a in (*best(answers), *answers.listed) if a.fits and a.kind == MIXTURE]
    if not mixtures:
        return []
    chosen = mixtures[0]
    whole = replace(chosen.model, top_k=chosen.model.experts)
    dense = Answer(whole, question.decoding(whole), whole.active(whole.active_convention))
    total = count(chosen.model.total_params, 3)
    return [
        Typist(
            "The same model, if it were dense",
            f"all {total} parameters for each token",
            each_tokens_per_s(dense, question),
        ),
        Typist(
            f"{chosen.model.name}, a mixture of experts",
            f"{count(chosen.active)} of {total} parameters for each token",
            each_tokens_per_s(chosen, question),
        ),
    ]


def race_words(typists: list[Typist]) -> str:
    """Both speeds in words, for those who do not see the text appear."""
    slow, fast = typists
    return (
        f"{fast.name}, writes at most {digits(fast.tokens_per_s)} tokens a second. "
        f"{slow.name}: {digits(slow.tokens_per_s)}, as it would read "
        f"{digits(fast.tokens_per_s / slow.tokens_per_s)} times as much."
    )
