"""Words that the site's search finds first where they are explained.

A lesson explains a term where it puts it in italics for the first time in the course; the glossary
explains its own words. Both pages carry them as tags, which the search weighs above all else.
"""

from __future__ import annotations

import re

from moe.app.shared.glossary import WORDS
from moe.lessons import lessons

from . import glossary
from .lessons import FOLDER

# Terms of the lessons beside those of the glossary, each with all of its forms.
TERMS = (
    ("vector", "vectors"),
    ("embedding", "embed"),
    ("logit", "logits"),
    ("softmax",),
    ("SwiGLU",),
    ("matrix", "matrices"),
    ("top-k", "top-k routing"),
    ("batch", "batches"),
    ("load", "loads"),
    ("collapse",),
    ("MaxVio",),
    ("gradient", "gradients"),
    ("causal",),
    ("FLOPs",),
    ("auxiliary loss",),
)


def tags() -> dict[str, list[str]]:
    """Return the terms that a page explains, by its path."""
    found = {glossary.PAGE: [word.name for word in WORDS]}
    for forms in TERMS:
        italic = re.compile(rf"\*({'|'.join(map(re.escape, forms))})\*", re.IGNORECASE)
        for one in lessons():
            if any(italic.search(part.text) for part in one.of("prose")):
                found.setdefault(f"{FOLDER}/{one.name}.md", []).append(forms[0])
                break
    return found
