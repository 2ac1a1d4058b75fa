"""The server's side of a visitor's run: what the browser wishes for, computed or taken up again.

The browser holds the plan of the run and sends it with each wish, so that nothing is lost when this
side is: the same plan gives the same records. What is kept here only saves time: the run at its
last step, and as it was at the starts of the last two chunks, because a visitor changes the run at
the step that she sees, which lies a little behind.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import check_int, shown
from ...training import LiveRecord, LiveRun
from ..shared.stage.packing import experts_for_stage, pack
from ..shared.stage.small_run import MOST_STEPS
from .plan import Plan, read
from .story import Teller

BUDGET = 0.06  # seconds of computing for one wish
MOST_WISHED = 400  # steps of one wish, when a run is taken up again
MARKS = 2


@dataclass(frozen=True)
class Wish:
    """Steps of a plan that the browser asks for.

    Attributes
    ----------
    plan, start, n
        Which run, the first step, and how many at most.
    number
        Comes back with the answer.
    keep
        The step at which the address should open the run; None to leave the address alone.
    """

    plan: Plan
    start: int
    n: int
    number: int
    keep: int | None = None

    @classmethod
    def of(cls, data: Any) -> Wish:
        """Read what the browser sent.

        Raises
        ------
        ValueError
            If it is no wish.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"wish: got {shown(data)}, allowed is a run and its steps")
        keep = data.get("keep")
        return cls(
            read(data.get("run", ""))[0],
            check_int("from", data.get("from"), 0, MOST_STEPS),
            check_int("n", data.get("n"), 1, MOST_WISHED),
            check_int("number", data.get("number"), 0),
            None if keep is None else check_int("keep", keep, 0, MOST_STEPS),
        )


@dataclass
class Mark:
    """A run at one of its steps, and what was said of it so far."""

    plan: Plan
    run: LiveRun
    teller: Teller = field(default_factory=Teller)

    def copy(self) -> Mark:
        """Return one that goes on by itself."""
        return Mark(self.plan, self.run.copy(), self.teller.copy())

    def leads_to(self, plan: Plan, step: int) -> bool:
        """Whether this is a plan's run at that step or before it."""
        done = self.run.n_steps

        def past(one: Plan) -> list[Any]:
            return [change for change in one.changes if change.step < done]

        alike = (plan.experts, plan.seed) == (self.plan.experts, self.plan.seed)
        return alike and done <= step and past(plan) == past(self.plan)

    def step(self) -> tuple[LiveRecord, list[tuple[int, str]]]:
        """Do one step; return its record, and a sentence if there is a new one."""
        record = self.run.step()
        return record, self.teller.tell(record, self.run.controls.off)


class PlaySession:
    """A visitor's run on the server."""

    def __init__(self) -> None:
        self._head: Mark | None = None
        self._marks: list[Mark] = []

    @property
    def n_bytes(self) -> int:
        """Bytes of the arrays of the runs that are kept."""
        held = [*self._marks, *([self._head] if self._head else [])]
        return sum(_bytes_of(mark.run) for mark in held)

    def answer(self, wish: Wish, budget: float = BUDGET) -> dict[str, Any]:
        """Compute the first of the wished steps, one or more, for about `budget` seconds.

        A run that has to be taken up again may need longer to get there than that: then `records`
        is None, and the browser asks again.
        """
        end = time.monotonic() + budget
        self._go_to(wish.plan, wish.start, end)
        head = self._head
        assert head is not None
        answer = {
            "number": wish.number,
            "experts": experts_for_stage(wish.plan.experts),
            "done": head.run.n_steps,
            "records": None,
        }
        if head.run.n_steps < wish.start:
            return answer
        self._marks = [*self._marks[1 - MARKS :], head.copy()]
        records: list[LiveRecord] = []
        said: list[tuple[int, str]] = []
        last = min(wish.start + wish.n, MOST_STEPS)
        while head.run.n_steps < last and (not records or time.monotonic() < end):
            record, words = head.step()
            records.append(record)
            said += words
        return answer | {"records": pack(records, said, every=1) if records else None}

    def _go_to(self, plan: Plan, step: int, end: float) -> None:
        """Make the head a plan's run at that step, or as far on the way as there is time for."""
        head = self._head
        if head is None or not head.leads_to(plan, step):
            self._marks = [mark for mark in self._marks if mark.leads_to(plan, step)]
            if self._marks:
                head = max(self._marks, key=lambda mark: mark.run.n_steps).copy()
            else:
                head = Mark(plan, LiveRun(plan.recipe.settings, plan.changes))
        if head.plan != plan:  # which takes a while, as each change is checked
            head.plan = plan
            head.run.schedule(plan.changes)
        while head.run.n_steps < step and time.monotonic() < end:
            head.step()
        self._head = head


def _bytes_of(run: LiveRun) -> int:
    optimizer: Any = run.trainer.optimizer
    groups = (run.trainer.arrays(), run.trainer.layer.buffers, optimizer.mean, optimizer.square)
    return sum(array.nbytes for group in groups for array in group.values())
