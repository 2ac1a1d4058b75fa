"""What a visitor takes along from the page: its run as JSON, and what reproduces it."""

from __future__ import annotations

from dataclasses import asdict

from ...pictures.experts import expert_name
from ...pictures.figure import Rows
from ...training import TrainSettings
from ...training.runs import Run
from ..shared.sharing import json_document
from .story import compare


def document(run_a: Run, run_b: Run) -> bytes:
    """Both runs, step by step."""
    runs = {
        name: {
            "settings": asdict(run.settings),
            "held_out_loss": run.held_out_loss,
            "summary": asdict(run.summary()),
            "records": [record.as_json() for record in run.records],
        }
        for name, run in (("A", run_a), ("B", run_b))
    }
    return json_document("balance", {"runs": runs, "words": compare(run_a, run_b).words})


def rows(run_a: Run, run_b: Run) -> Rows:
    """Every step of both runs with the work of each expert, for a table."""
    return [
        {
            "run": name, "step": record.step + 1, "loss": record.loss, "MaxVio": record.max_vio,
            "idle experts": record.dead, "turned away": record.dropped,
        } | {f"work of {expert_name(e)}": int(n) for e, n in enumerate(record.load)}
        for name, run in (("A", run_a), ("B", run_b)) for record in run.records
    ]  # fmt: skip


def code(a: TrainSettings, b: TrainSettings) -> str:
    """Code of the page on balance: two runs on the same seed."""
    return f"""\
import moe
from moe.app.balance.story import compare
from moe.training.runs import run

run_a = run(moe.{a.as_call()})
run_b = run(moe.{b.as_call()})

print(run_a.records[-1].load)  # tokens per expert in the last step
print(run_a.summary().max_vio, run_b.summary().max_vio)
print(compare(run_a, run_b).words)
"""
