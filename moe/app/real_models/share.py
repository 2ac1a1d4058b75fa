"""What a visitor takes along from the page: its run as JSON, and what reproduces it."""

from __future__ import annotations

from dataclasses import asdict

from ..shared.sharing import json_document
from .best import best, race
from .story import Answers, Question


def document(answers: Answers) -> bytes:
    """Every model's sizes and its bounds on the chosen machine."""
    return json_document(
        "real-models",
        {
            "question": asdict(answers.question),
            "machine": answers.machine_words(),
            "best": [a.model.name for a in best(answers)],
            "race": [asdict(typist) for typist in race(answers)],
            "models": [
                {"name": a.model.name, "fits": a.fits, "limit": a.decoding.limit}
                | asdict(a.decoding)
                for a in answers.rows
            ],
            "table": answers.table(),
        },
    )


def code(question: Question) -> str:
    """Code of the page on real models: which fit, and how fast they can be."""
    return f"""\
from moe.app.real_models.best import best_words
from moe.app.real_models.story import Answers, Question

answers = Answers({question.as_call()})
print(best_words(answers))
for answer in answers.listed:
    print(answer.model.name, answer.model.total_params, answer.needed_gb, answer.speed)
"""
