"""Every router with every balancer that suits it, on the same text and seed; rows kept on disk."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from moe.balance import BALANCERS
from moe.routers import ROUTERS
from moe.speed.machine import versions
from moe.training import Trainer, TrainSettings, suits
from moe.training.runs import Figures, Run

NONE = "none"
WORSE = 0.01  # a balancer that costs more than this share of the held-out loss is not the best

FULL = TrainSettings(capacity_factor=1.25, drop="order")
# Data that do not depend on the Python version, and so few steps that rounding does not grow.
BRIEF = TrainSettings(
    task="linear_maps", d_model=16, d_expert=8, n_experts=8, batch=64, steps=4,
    capacity_factor=1.25, drop="order",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One router with one balancer.

    Attributes
    ----------
    rate
        Strength of the balancer, that for short runs; None if it has none.
    full
        The run that the table shows.
    brief
        A run of a few steps by which a later reader, on another machine too, can tell whether
        the code still does what it did.
    seconds
        Wall-clock time of the full run's steps, on one machine.
    """

    router: str
    balance: str
    rate: float | None
    full: Figures
    brief: Figures
    seconds: float

    @classmethod
    def from_json(cls, line: str) -> Row:
        """Read what `as_json` wrote."""
        plain = json.loads(line)
        for name in ("full", "brief"):
            plain[name] = Figures(**plain[name])
        return cls(**plain)

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Pair:
    """A router without balancing and with its best balancer (the same row if none is better)."""

    none: Row
    best: Row


def plan() -> list[tuple[str, str]]:
    """Router and balancer of every row, in registry order."""
    return [
        (router, balance) for router in ROUTERS for balance in BALANCERS if suits(balance, router)
    ]


def measure(router: str, balance: str, settings: TrainSettings = FULL) -> Row:
    """Train one pair, in full and in brief."""
    full, seconds = _train(replace(settings, router=router, balance=balance))
    kind = BALANCERS[balance]
    rate = kind.short_run_rate if kind.rate_name else None
    return Row(router, balance, rate, full, brief(router, balance), seconds)


def brief(router: str, balance: str) -> Figures:
    """Figures of the few steps by which a row is told to be up to date."""
    return _train(replace(BRIEF, router=router, balance=balance))[0]


def _train(settings: TrainSettings) -> tuple[Figures, float]:
    trainer = Trainer(settings)
    start = time.perf_counter()
    records = list(trainer.run())
    seconds = time.perf_counter() - start
    return Figures.of(Run(settings, records, trainer.evaluate())), seconds


@cache
def conditions(settings: TrainSettings = FULL) -> dict[str, Any]:
    """What all rows have in common: settings, start of the data's hash, and versions."""
    return {
        "settings": asdict(settings),
        "data": Trainer(settings).task.sha256[:12],
        "versions": versions(),
    }


def read(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """Conditions and finished rows of a file; a line cut short by a killed run is left out."""
    lines = path.read_text("utf-8").split("\n")[:-1]
    return json.loads(lines[0]), [Row.from_json(line) for line in lines[1:]]


def ablate(
    path: Path, pairs: list[tuple[str, str]] | None = None, settings: TrainSettings = FULL
) -> Iterator[tuple[Row, bool]]:
    """Yield every row, and whether it was run just now; each is on disk before it is yielded.

    Rows that the file holds are taken from it as long as a brief run still comes to the same.

    Parameters
    ----------
    path
        JSON lines: the conditions, then a row a line.
    pairs
        Router and balancer of the rows; by default `plan()`.
    settings
        What all rows have in common.

    Raises
    ------
    ValueError
        If the file's rows were made under other conditions.
    """
    pairs = plan() if pairs is None else pairs
    kept = _still_true(path, pairs, settings)
    _write(path, list(kept.values()), settings)
    done = []
    for pair in pairs:
        row = kept.get(pair) or measure(*pair, settings)
        if pair not in kept:
            with path.open("a", encoding="utf-8") as file:
                file.write(row.as_json() + "\n")
        done.append(row)
        yield row, pair not in kept
    _write(path, done, settings)  # in order


def _still_true(
    path: Path, pairs: list[tuple[str, str]], settings: TrainSettings
) -> dict[tuple[str, str], Row]:
    """Rows of the file that need no new run."""
    if not path.exists():
        return {}
    found, rows = read(path)
    # An option that came after the file has its default in it.
    complete = asdict(TrainSettings(**found["settings"]))
    if found | {"settings": complete} != conditions(settings):
        raise ValueError(
            f"path: got {path} with rows of other settings, data or versions, allowed is one of "
            "these or a new one"
        )
    finished = {(row.router, row.balance): row for row in rows}
    return {
        pair: finished[pair]
        for pair in pairs
        if pair in finished and finished[pair].brief.close_to(brief(*pair))
    }


def _write(path: Path, rows: list[Row], settings: TrainSettings) -> None:
    lines = [json.dumps(conditions(settings)), *(row.as_json() for row in rows)]
    beside = path.with_name(path.name + ".new")  # a kill while writing leaves the old file whole
    beside.write_text("".join(line + "\n" for line in lines), "utf-8")
    beside.replace(path)


def pairs_of(rows: list[Row]) -> list[Pair]:
    """Each router without balancing and with its best balancer, in registry order.

    The best has the lowest MaxVio among those whose held-out loss is at most 1 % above that
    without balancing.
    """
    by_router: dict[str, list[Row]] = {name: [] for name in ROUTERS}
    for row in rows:
        by_router[row.router].append(row)
    pairs = []
    for own in by_router.values():
        if not own:
            continue
        (none,) = [row for row in own if row.balance == NONE]
        limit = (1 + WORSE) * none.full.held_out_loss
        good = [row for row in own if row is none or row.full.held_out_loss <= limit]
        pairs.append(Pair(none, min(good, key=lambda row: (row.full.max_vio, row is not none))))
    return pairs


def table_rows(rows: list[Row]) -> list[dict[str, str]]:
    """Formatted rows: every router without balancing and with its best balancer."""
    shown = []
    for pair in pairs_of(rows):
        shown += [pair.none] if pair.best is pair.none else [pair.none, pair.best]
    return [
        {
            "router": row.router,
            "balance": row.balance,
            "loss": f"{row.full.loss:.3f}",
            "held-out loss": f"{row.full.held_out_loss:.3f}",
            "MaxVio": f"{row.full.max_vio:.2f}",
            "dropped": f"{row.full.dropped:.1%}",
            "FLOPs per token": f"{row.full.flops_per_token:,.0f}",
            "seconds": f"{row.seconds:.1f}",
        }
        for row in shown
    ]


def words(rows: list[Row]) -> list[str]:
    """What the table says, a sentence or two a point; every figure computed from the rows."""
    pairs = pairs_of(rows)
    helped = [pair for pair in pairs if pair.best is not pair.none]
    return [
        _collapse_words(pairs),
        *([_cure_words(pairs, helped)] if helped else []),
        _loss_words(pairs),
        _work_words(pairs),
    ]


def _collapse_words(pairs: list[Pair]) -> str:
    worst = max(pairs, key=lambda pair: pair.none.full.max_vio).none
    uneven = [pair for pair in pairs if pair.none.full.max_vio > 1]
    even = [pair.none.router for pair in pairs if pair.none.full.max_vio < 0.1]
    by_itself = f" Even without help (below 0.1): {', '.join(even)}." if even else ""
    return (
        f"Left alone, {len(uneven)} of {len(pairs)} routers give one expert more than twice its "
        f"fair share (MaxVio above 1); the most uneven is {worst.router} with MaxVio "
        f"{worst.full.max_vio:.2f}, and it drops {worst.full.dropped:.0%} of its "
        f"assignments.{by_itself}"
    )


def _cure_words(pairs: list[Pair], helped: list[Pair]) -> str:
    before, after = (
        np.median([getattr(pair, side).full.max_vio for pair in helped])
        for side in ("none", "best")
    )
    lost, saved = (
        np.median([getattr(pair, side).full.dropped for pair in helped])
        for side in ("none", "best")
    )
    (name, times), *_ = Counter(pair.best.balance for pair in helped).most_common()
    return (
        f"A balancer makes {len(helped)} of {len(pairs)} more even. Their median MaxVio goes from "
        f"{before:.2f} to {after:.2f} and the median share that is dropped from {lost:.1%} to "
        f"{saved:.1%}. The best is {name} most often, {times} times."
    )


def _loss_words(pairs: list[Pair]) -> str:
    changes = {
        pair.best.router: pair.best.full.held_out_loss / pair.none.full.held_out_loss - 1
        for pair in pairs
        if pair.best is not pair.none
    }
    lowest = min(pairs, key=lambda pair: pair.best.full.held_out_loss).best
    highest = max(pairs, key=lambda pair: pair.best.full.held_out_loss).best
    text = ""
    if changes:
        better = [router for router, change in changes.items() if change < 0]
        most = min(changes, key=lambda router: changes[router])
        text = (
            f"Balance lowers the loss on text not seen in {len(better)} of {len(changes)} cases, "
            f"most in {most}, by {-changes[most]:.1%}; part of that is what dropping costs "
            "where room is limited. "
        )
    return (
        f"{text}The lowest held-out loss is {lowest.full.held_out_loss:.3f} ({lowest.router} with "
        f"{lowest.balance}), the highest {highest.full.held_out_loss:.3f} ({highest.router} with "
        f"{highest.balance})."
    )


def _work_words(pairs: list[Pair]) -> str:
    best = [pair.best for pair in pairs]
    least, most = (pick(best, key=lambda row: row.full.flops_per_token) for pick in (min, max))
    return (
        f"The routers do not do the same work: from {least.full.flops_per_token:,.0f} operations "
        f"per token ({least.router}) to {most.full.flops_per_token:,.0f} ({most.router}), so "
        "compare losses together with it."
    )
