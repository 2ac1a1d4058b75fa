"""Runs that go on while their visitor is on another page: each in a thread of its own, few at once.

A page begins one with a click, comes back at any time and looks at its records so far. The thread
takes long turns (`moe.speed.turns`), short enough that others get between, and ends by itself once
its visitor has left. Nothing else starts a thread: a page that runs again only looks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import islice
from typing import Any

from streamlit.runtime import exists, get_instance

from ... import kernels
from ...speed.turns import PATIENCE, TURNS, Turn, Turns, queue_words
from .kept import KEPT, Kept
from .run_slots import RunSlot
from .tally import TALLY

WAITS, RUNS, PAUSED = "waits", "runs", "paused"  # it goes on, or may
DONE, STOPPED, LEFT, TOO_LONG, BROKEN = "done", "stopped", "left", "too long", "broken"
UNDER_WAY = (WAITS, RUNS, PAUSED)
MOST = 8  # runs of all visitors that are under way at once
# Seconds after which a run stands in the queue again if others wait there, its own visitor's other
# trainings among them, to which a turn does not give way.
SLICE = 4.0
AWAY = 60.0  # seconds without their visitor after which runs end
LOOK = 1.0  # seconds between two looks at whether she is there


def is_here(visitor: Hashable) -> bool:
    """Whether a session is open; always so where no server runs."""
    return not exists() or get_instance().is_active_session(str(visitor))


class Work:
    """A run in a thread of its own; `Works.begin` starts it.

    Parameters
    ----------
    visitor
        Whose run it is.
    key
        Under which its records are kept when it has ended.
    make
        Begins the run: a generator of records, which is closed if the run ends early.
    here
        Whether its visitor is still there.
    turns, kept
        Where it stands in the queue, and where its records go.
    """

    def __init__(
        self,
        visitor: Hashable,
        key: Hashable,
        make: Callable[[], Iterator[Any]],
        here: Callable[[Hashable], bool] = is_here,
        turns: Turns = TURNS,
        kept: Kept = KEPT,
    ) -> None:
        self.visitor, self.key = visitor, key
        self._make, self._here, self._turns, self._kept = make, here, turns, kept
        self._changed = threading.Condition()
        self._records: list[Any] | None = []
        self._state, self._place, self._computed = WAITS, 0, 0.0
        self._asked = RUNS  # what the visitor wants of it: RUNS, PAUSED or STOPPED
        self._seen = self._looked = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="moe-work", daemon=True)

    # For pages ------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Where it is: one of `UNDER_WAY`, or how it ended."""
        return self._state

    @property
    def wants(self) -> str:
        """What its visitor wants of it: `RUNS`, `PAUSED` or `STOPPED`."""
        return self._asked

    @property
    def under_way(self) -> bool:
        """Whether it goes on, or may."""
        return self._state in UNDER_WAY

    @property
    def records(self) -> Sequence[Any]:
        """What it has shown so far; nothing if others' results took the room of an ended run."""
        with self._changed:
            if self._records is not None:
                return tuple(self._records)
        return self._kept.get(self.key) or ()

    @property
    def words(self) -> str:
        """Where it is, in a sentence."""
        if self._state == WAITS:
            return f"{queue_words(max(self._place, 1))}."
        if self._state == TOO_LONG:
            return (
                f"It took more than {RunSlot.longest:.0f} seconds of computing, the most on this "
                "server, and was ended."
            )
        return {
            RUNS: "It learns now. You may go to another page and come back.",
            PAUSED: "It stands still until you let it go on.",
            DONE: "It has ended.",
            STOPPED: "You stopped it.",
            LEFT: "It ended when you left.",
            BROKEN: "It broke off by a mistake of ours.",
        }[self._state]

    def pause(self) -> None:
        """Let it stand still after its step; its seat is free meanwhile."""
        self._ask(PAUSED)

    def resume(self) -> None:
        """Let it go on."""
        self._ask(RUNS)

    def stop(self) -> None:
        """End it after its step; what it has shown stays."""
        self._ask(STOPPED)

    def wait(self, seconds: float, until: Callable[[Work], bool] | None = None) -> bool:
        """Wait until it has ended, or until something holds; return whether that came in time."""
        holds = until or (lambda work: not work.under_way)
        with self._changed:
            return self._changed.wait_for(lambda: holds(self), seconds)

    def join(self, seconds: float) -> None:
        """Wait until its thread has ended."""
        self._thread.join(seconds)

    # The thread -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def _ask(self, what: str) -> None:
        with self._changed:
            if self._asked != STOPPED:
                self._asked = what
            self._changed.notify_all()

    def _become(self, state: str, place: int = 0) -> None:
        with self._changed:
            self._state, self._place = state, place
            self._changed.notify_all()

    def _work(self) -> None:
        ended = BROKEN
        try:
            with kernels.steady():
                ended = self._run(self._make())
        finally:
            with self._changed:
                self._kept.put(self.key, tuple(self._records or ()))
                self._records = None
            self._become(ended)

    def _run(self, steps: Iterator[Any]) -> str:
        """Do all steps, turn after turn; return how it ended."""
        ended = ""
        while not ended:
            if ended := self._rest():
                break
            with Turn(self._turns, self.visitor, short=False, alone=False) as turn:
                for place in turn.places():
                    self._become(WAITS, place)
                    if ended := self._wish():
                        break
                else:
                    self._become(RUNS)
                    ended = self._slice(steps, turn)
            if ended == PAUSED:
                ended = ""
        getattr(steps, "close", bool)()
        return ended

    def _slice(self, steps: Iterator[Any], turn: Turn) -> str:
        """Do steps until the turn should be another's; return what ended them, if anything did."""
        until = time.monotonic() + SLICE
        while not (wish := self._wish()):
            begun = time.perf_counter()
            found = list(islice(steps, 1))
            self._computed += time.perf_counter() - begun
            if not found:
                TALLY["runs"] += 1
                return DONE
            TALLY["steps"] += 1
            with self._changed:
                assert self._records is not None
                self._records += found
                self._changed.notify_all()
            if self._computed > RunSlot.longest:
                return TOO_LONG
            if time.monotonic() > until and self._turns.waiting()[0]:
                return ""
            for place in turn.give_way():
                self._become(WAITS, place)
                if wish := self._wish():
                    return wish
            if self._state != RUNS:
                self._become(RUNS)
        return wish

    def _rest(self) -> str:
        """Wait as long as the visitor wants it to stand still; return what ended that."""
        while (wish := self._wish()) == PAUSED:
            self._become(PAUSED)
            with self._changed:
                self._changed.wait_for(lambda: self._asked != PAUSED, PATIENCE)
        return wish

    def _wish(self) -> str:
        """What keeps it from going on: `PAUSED`, `STOPPED`, `LEFT`, or nothing."""
        now = time.monotonic()
        if now - self._looked >= LOOK:
            self._looked = now
            if self._here(self.visitor):
                self._seen = now
            elif now - self._seen > AWAY:
                return LEFT
        return "" if self._asked == RUNS else self._asked


class Works:
    """All runs of the kind: one for each visitor, and a bounded number that are under way.

    Parameters
    ----------
    most
        That are under way at once.
    here, turns, kept
        As of `Work`.
    """

    def __init__(
        self,
        most: int = MOST,
        here: Callable[[Hashable], bool] = is_here,
        turns: Turns = TURNS,
        kept: Kept = KEPT,
    ) -> None:
        self._most, self._here, self._turns, self._kept = most, here, turns, kept
        self._by_visitor: dict[Hashable, tuple[str, Work]] = {}
        self._lock = threading.Lock()

    def of(self, visitor: Hashable, name: str) -> Work | None:
        """Return this visitor's run of that name, also one that has ended."""
        called, work = self._by_visitor.get(visitor, ("", None))
        return work if called == name else None

    def other(self, visitor: Hashable, name: str) -> bool:
        """Whether a run of another name of this visitor's is under way."""
        called, work = self._by_visitor.get(visitor, ("", None))
        return work is not None and work.under_way and called != name

    def begin(self, visitor: Hashable, name: str, make: Callable[[], Iterator[Any]]) -> Work:
        """Begin a run; the visitor's one before, of any name, ends.

        Raises
        ------
        ValueError
            If as many are under way as this server allows.
        """
        with self._lock:
            before = self._by_visitor.get(visitor, ("", None))[1]
            if before is not None:
                before.stop()
            busy = sum(
                work.under_way for who, (_, work) in self._by_visitor.items() if who != visitor
            )
            if busy >= self._most:
                raise ValueError(
                    f"run: got one more, allowed are {self._most} at once on this server; try "
                    "again in a minute"
                )
            self._by_visitor = {
                who: (called, work)
                for who, (called, work) in self._by_visitor.items()
                if work.under_way or self._here(who)
            }
            key = ("work", visitor, name)
            work = Work(visitor, key, make, self._here, self._turns, self._kept)
            self._by_visitor[visitor] = name, work
            work.start()
            return work


WORKS = Works()
