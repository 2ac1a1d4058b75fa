"""What a visitor takes along from the page: its run as JSON, and what reproduces it."""

from __future__ import annotations

from dataclasses import asdict

from ..shared.sharing import json_document
from .best import best, race
from .story import Answers, Question
from .who_works import as_json


def document(answers: Answers, choice: str) -> bytes:
    """Who works on a text, and every model's sizes and its bounds on the chosen machine."""
    return json_document(
        "real-models",
        {
            "who_works": as_json(choice),
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


def code(question: Question, choice: str) -> str:
    """Code of the page on real models: who works on a text, which fit, how fast they can be."""
    return f"""\
from moe.app.real_models.best import best_words
from moe.app.real_models.story import Answers, Question
from moe.app.real_models.who_works import busiest_words, fair_shares, models_words, one_expert

print(busiest_words({choice!r}))
print(fair_shares({choice!r}))  # a row for each layer
print(one_expert().words())
print(models_words())
answers = Answers({question.as_call()})
print(best_words(answers))
for answer in answers.listed:
    print(answer.model.name, answer.model.total_params, answer.needed_gb, answer.speed)
"""
