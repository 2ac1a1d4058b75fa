"""What a visitor takes along from the page: its runs as JSON, and what reproduces them."""

from __future__ import annotations

from collections.abc import Sequence

from ...pictures.figure import Rows
from ...studies.language_model import KINDS, Learned, settings_of
from ..shared.sharing import json_document
from .story import judge


def document(runs: Sequence[Learned]) -> bytes:
    """All runs that the page shows, look by look."""
    return json_document(
        "language model", {"words": judge(runs).words, "runs": [run.as_json() for run in runs]}
    )


def rows(runs: Sequence[Learned]) -> Rows:
    """Every look at every run, for a table."""
    return [
        {
            "model": KINDS[run.kind], "seed": run.seed, "step": look.step, "seconds": look.seconds,
            "bits per byte of new text": look.bits,
        }
        for run in runs for look in run.looks
    ]  # fmt: skip


def code(run: Learned) -> str:
    """Code of the page: a run, and what it came to."""
    return f"""\
from moe.studies.language_model import finished

run = finished({run.kind!r}, {run.seed})
for look in run.looks:
    print(look.step, f"{{look.bits:.3f}}", look.max_vio, look.samples[0])
"""


def command(run: Learned) -> str:
    """Command line that does the same run."""
    flags = settings_of(run.kind, run.seed).as_flags("seed")
    return " ".join(["moe", "lm", "train", "--out", "run", *flags])
