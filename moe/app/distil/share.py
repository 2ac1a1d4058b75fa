"""What a visitor takes along from the page: its runs as JSON, and what reproduces them."""

from __future__ import annotations

from collections.abc import Sequence

from ...pictures.figure import Rows
from ...studies.distilling import Distilled
from ..shared.sharing import json_document
from .story import NAMES, judge


def document(runs: Sequence[Distilled]) -> bytes:
    """All students, look by look."""
    return json_document(
        "distil", {"words": judge(runs).words, "runs": [run.as_json() for run in runs]}
    )


def rows(runs: Sequence[Distilled]) -> Rows:
    """Every look at every student, for a table."""
    return [
        {
            "seed": run.seed, "student": NAMES[name], "step": look.step,
            "bits per byte of new text": look.bits, "seconds": look.seconds,
        }
        for run in runs for name, looks in run.students.items() for look in looks
    ]  # fmt: skip


def code(runs: Sequence[Distilled]) -> str:
    """Code of the page: students of each seed, and what the teacher saved."""
    seeds = [run.seed for run in runs]
    return f"""\
from moe.app.distil.story import judge, seconds_words, text_words
from moe.studies.distilling import finished

runs = [finished(seed) for seed in {seeds}]
print(judge(runs).words)
print(seconds_words(runs))
print(text_words(runs))
"""
