"""Yesterday's placement in words: made for one task, it carries another; a plan and a reflex."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ...cluster.eplb import gpu_loads, rebalance_experts
from ...cluster.least_loaded import spill
from ...cluster.placed_for import (
    IN_ORDER,
    MIXED,
    PlacedFor,
    origin,
    placed_for,
    published_loads,
)
from ...cluster.rebalancing import ASSUMPTIONS, BreakEven, Moving, break_evens
from ...cost import MODELS
from ...numbers import short

CHIPS, COPIES = 8, 72
SETTINGS = Moving(gpus=CHIPS, replicas=COPIES)
BATCHES = tuple(2**power for power in range(9, 20, 2))  # tokens of a batch, on all chips together
TASKS = published_loads().tasks


@lru_cache(maxsize=1)
def matrix() -> PlacedFor:
    """How even each placement is on each task."""
    return placed_for(published_loads(), published_loads(), COPIES, gpus=CHIPS)


@lru_cache(maxsize=1)
def costs() -> list[list[BreakEven]]:
    """From how many tokens on it pays to leave each placement, by the task that is carried."""
    return break_evens(matrix(), published_loads(), SETTINGS)


def matrix_words() -> str:
    """What placements come to on their own task, on others, for all and without any."""
    uneven_PM, n = matrix().uneven_PM, len(TASKS)
    own, others = np.diag(uneven_PM[:n]), uneven_PM[:n][~np.eye(n, dtype=bool)]
    mixed, plain = (uneven_PM[matrix().placed_for.index(name)] for name in (MIXED, IN_ORDER))
    return (
        f"On the task that it was made for, a placement leaves the fullest chip {_span(own)} fair "
        f"shares; on another task {_span(others)}. With no placement at all it is {_span(plain)}, "
        f"and placed for all tasks at once {_span(mixed)}."
    )


def _span(values: np.ndarray) -> str:
    return f"{values.min():.2f} to {values.max():.2f}"


def moving_words(made_for: str, carried: str) -> str:
    """What it costs to move from one task's placement to another's, and when that has paid."""
    one = costs()[matrix().placed_for.index(made_for)][TASKS.index(carried)]
    if not one.moved:
        return f"Placed for {made_for}, the experts are where this work wants them."
    start = (
        f"{one.moved:,} experts have to move, which takes {1e3 * one.moving_seconds:.0f} ms; the "
        f"fullest chip then has {one.fresh:.2f} instead of {one.stale:.2f} fair shares."
    )
    if one.tokens_or_none is None:
        return f"{start} That never pays."
    return f"{start} That pays from **{short(one.tokens)} tokens** of this work on."


@dataclass(frozen=True)
class Batch:
    """Milliseconds of one batch in all layers: as it is, planned for the task, and by reflex."""

    tokens: int
    plain_ms: float
    planned_ms: float
    reflex_ms: float

    def as_row(self) -> dict[str, str]:
        """The numbers as text, for a table."""
        return {
            "tokens of a batch": f"{self.tokens:,}",
            "plain order, ms": f"{self.plain_ms:.2f}",
            "placed for this task, ms": f"{self.planned_ms:.2f}",
            "least loaded, ms": f"{self.reflex_ms:.2f}",
        }


@lru_cache(maxsize=8)
def batches(carried: str) -> tuple[Batch, ...]:
    """Times of batches with a task's loads: in plain order, placed for it, and least loaded."""
    load_LE = published_loads().load_TLE[TASKS.index(carried)]
    k = MODELS[SETTINGS.model].top_k
    share_LE = load_LE / load_LE.sum(axis=1, keepdims=True) * k
    planned_LR = rebalance_experts(load_LE, COPIES, 1, 1, CHIPS)[0]
    in_order_LR = matrix().phy2log_PLR[matrix().placed_for.index(IN_ORDER)]
    found = []
    for tokens in BATCHES:
        rows_LE = np.rint(share_LE * tokens)
        plain, planned = (
            gpu_loads(rows_LE, placed_LR, CHIPS).max(axis=1).sum()
            for placed_LR in (in_order_LR, planned_LR)
        )
        spilled = [spill(rows_E, CHIPS) for rows_E in rows_LE]
        computed = sum(int(one.load_G.max()) for one in spilled) * SETTINGS.row_seconds
        sent = sum(one.most_moved(CHIPS) for one in spilled) * SETTINGS.expert_seconds
        times = (plain * SETTINGS.row_seconds, planned * SETTINGS.row_seconds, computed + sent)
        found.append(Batch(tokens, *(1e3 * float(seconds) for seconds in times)))
    return tuple(found)


def reflex_words(carried: str) -> str:
    """From which batch on a reflex beats no plan, and how it stands against a plan."""
    all_of_them = batches(carried)
    better = [one for one in all_of_them if one.reflex_ms < one.plain_ms]
    words = (
        "The other way is a reflex (LLEP): in every batch, what is too much for one chip goes to "
        "the idlest, together with the experts' weights. "
    )
    if not better:
        return f"{words}Sending them takes longer than it saves at every size here."
    last = all_of_them[-1]
    ahead = "ahead of" if last.reflex_ms < last.planned_ms else "behind"
    sizes = " and ".join(f"{one.tokens:,}" for one in better) + " tokens"
    if better == list(all_of_them[-len(better) :]):
        sizes = f"{better[0].tokens:,} tokens and more"
    return (
        f"{words}It beats the plain order in batches of {sizes}; at "
        f"{last.tokens:,} it is {ahead} a plan that knew the task "
        f"({last.reflex_ms:.1f} against {last.planned_ms:.1f} ms)."
    )


def about() -> str:
    """Where the loads are from, and how times follow."""
    commit = origin()["commit"][:8]
    return (
        f"Loads of DeepSeek-V2-Lite, counted from deepseek-ai/ESFT, commit {commit} (MIT). "
        f"{CHIPS} chips, {COPIES} copies of 64 experts in each layer. {ASSUMPTIONS}"
    )


def as_json() -> dict[str, Any]:
    """The matrix and the costs as plain numbers."""
    return matrix().as_json() | {
        "break_even_tokens": [[one.tokens_or_none for one in row] for row in costs()],
        "origin": origin(),
    }
