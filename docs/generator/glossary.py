"""The page of words, from those that the app explains where they stand."""

from __future__ import annotations

from moe.app.shared.glossary import WORDS

from .methods import page_text

PAGE = "glossary.md"


def page() -> str:
    """Return the words in the order of the alphabet, each with its meaning and its other forms."""
    words = sorted(WORDS, key=lambda word: word.name)
    parts = []
    for word in words:
        also = [form for form in word.forms if not form.startswith(word.name)]
        forms = f" Also: {', '.join(also)}." if also else ""
        parts.append(f"## {word.name.capitalize()}\n\n{word.meaning}{forms}")
    return page_text(
        "moe/app/shared/glossary.py",
        "# Glossary",
        f"The {len(WORDS)} words that the app's pages explain where they stand: point at one that "
        "is underlined with dots, or touch it.",
        *parts,
    )
