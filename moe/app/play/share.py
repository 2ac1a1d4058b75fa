"""What a visitor takes along from Play: the run as it stands, replayed, and what replays it."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from ...speed.turns import TURNS
from ...training import LiveRecord, LiveRun
from ..shared.share_box import share_box
from ..shared.sharing import json_document
from .chart import shares
from .plan import Plan, read

RUN = "run"  # in the address


@lru_cache(maxsize=8)
def replayed(plan: Plan, steps: int) -> list[LiveRecord]:
    """Return the records of a plan's first steps, one at least; same plan, same bits."""
    run = LiveRun(plan.recipe.settings, plan.changes)
    with TURNS.training():
        return [run.step() for _ in range(max(steps, 1))]


def document(plan: Plan, steps: int) -> bytes:
    """The plan and what each step showed."""
    return json_document(
        "play",
        {
            "run": plan.written(),
            "recipe": plan.recipe.as_json(),
            "records": [
                {
                    "step": one.step, "loss": one.loss, "share": one.share_E.tolist(),
                    "max_vio": one.max_vio, "idle": one.idle, "dropped": one.dropped,
                }
                for one in replayed(plan, steps)
            ],
        },
    )  # fmt: skip


def code(plan: Plan, steps: int) -> str:
    """Code of the page: the same run, to the same step."""
    return f"""\
from moe.app.play.plan import read
from moe.training import LiveRun

plan, _ = read({plan.written()!r})
run = LiveRun(plan.recipe.settings, plan.changes)
for _ in range({max(steps, 1)}):
    record = run.step()
print(record.share_E, record.max_vio, record.loss)  # of the last step
"""


@st.fragment
def share_run() -> None:
    """Offer the run of the address once a visitor asks for it: while it plays, it moves on."""
    if not st.button("Share this run as it stands"):
        return
    try:
        plan, steps = read(st.query_params.get(RUN, Plan().written()))
    except ValueError:  # which the page has said
        plan, steps = Plan(), 0
    share_box(
        "play",
        code(plan, steps),
        None,
        lambda: document(plan, steps),
        lambda: shares(plan, replayed(plan, steps)[-1]),
        f"run {plan.written(steps)}",
    )
