"""What a visitor takes along from the page: its runs as JSON, and what reproduces them."""

from __future__ import annotations

from collections.abc import Sequence

from ...pictures.figure import Rows
from ...studies.thinking import Thinking, prompts
from ..shared.sharing import json_document
from .story import judge


def document(runs: Sequence[Thinking]) -> bytes:
    """All runs that the page shows, update by update."""
    return json_document(
        "think",
        {
            "words": judge(runs[0].looks).words,
            "prompts": list(prompts()),
            "runs": [run.as_json() for run in runs],
        },
    )


def rows(run: Thinking) -> Rows:
    """Every look at a run, for a table."""
    return [
        {
            "updates": look.iteration, "right (held out)": look.accuracy, "signs": look.length,
            "write something first": look.thinks,
            "groups that teach nothing": look.zero_variance,
        } | dict(zip(prompts(), look.written, strict=True))
        for look in run.looks
    ]  # fmt: skip


def code(run: Thinking) -> str:
    """Code of the page: the run, and what it came to."""
    return f"""\
from moe.app.think.story import judge, why
from moe.studies.thinking import finished

run = finished({run.seed})
for look in run.looks:
    print(look.iteration, f"{{look.accuracy:.1%}}", f"{{look.length:.1f}}", look.written[0])
print(judge(run.looks).words)
"""


def command(run: Thinking) -> str:
    """Command line that does the same run."""
    return f"moe lm reason --task mod5 --seed {run.seed}"
