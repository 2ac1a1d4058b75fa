"""Turns: few trainings or visitors' files at once, and nothing else while the clock measures.

Long turns stand in a queue that is fair between visitors and shows the place in it. Short turns,
what a page computes while its visitor waits, do not stand behind them: long ones make room between
their steps, for a moment. Live turns, a few steps of a run that a visitor watches, stand behind
neither. A long one that has computed for a while while other visitors wait goes to the end of the
queue, so that the heaviest run does not keep the light ones waiting. So no kind starves.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from types import TracebackType

from ..kernels.backend import threads_override
from ..kernels.cores import allowed_cores

# More would only wait for the interpreter, which a training needs for a third of its time.
SEATS = min(max(2, allowed_cores()), 4)
PER_VISITOR = 1  # long turns of one visitor at once
PATIENCE = 0.1  # seconds between two looks at whether the one who waits still wants to
# Seconds: a long turn keeps its seat at least so long before it gives way, and short turns go
# before a long one at most so long. The first over their sum is the share of a processor that long
# turns always get; less for one that is alone, since nobody else computes meanwhile.
SLICE, LONGEST_PAUSE, LONGEST_BEFORE_ALONE = 0.05, 0.05, 0.25
SPELL = 4.0  # seconds in its seat after which a long turn goes behind others who wait for one


def queue_words(place: int) -> str:
    """Words for one who waits at a place of the queue; 1 is the next."""
    return "You are next in the queue" if place == 1 else f"You are number {place} in the queue"


class Turn:
    """One turn, from its place in the queue to its end; a context that frees its seats.

    Entering it joins the queue; `places` waits for the seats.
    """

    def __init__(
        self, turns: Turns, visitor: Hashable, short: bool, alone: bool, live: bool = False
    ) -> None:
        self.visitor, self.short, self.alone, self.live = visitor, short, alone, live
        self.number = self.round = 0  # of its arrival; visitors have a turn each in a round
        self.sat_down = 0.0  # when it got them this time
        self.passed_by: float | None = None  # since when only short turns keep it from its seats
        self.spent = 0.0  # seconds in its seats since it last stood at the end of the queue
        self.set_back = False  # whether it stands in the queue again, behind others
        self._turns = turns
        self._threads: int | None = None  # what the caller had asked for

    def __enter__(self) -> Turn:
        self._threads = threads_override.get()
        self._turns._join(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        threads_override.set(self._threads)
        self._turns._leave(self)

    def places(self) -> Iterator[int]:
        """Yield the place in the queue now and then, 1 for the next, until the seats are taken."""
        while (place := self._turns._wait(self)) is not None:
            yield place
        self._share()

    def give_way(self) -> Iterator[int]:
        """Let others go first if it is their turn; iterate over it between the steps of a long one.

        Yields the place in the queue now and then until the seats are taken again, mostly never.
        """
        if self._turns._give_way(self):
            yield from self.places()
        self._share()

    def _share(self) -> None:
        """Compute with one thread in company, since waking others then only takes time."""
        threads_override.set(1 if self._turns._crowded() else self._threads)


class Turns:
    """A queue for a number of seats.

    Parameters
    ----------
    seats
        Trainings, and files that are read, that may run at once, and as many short turns; a
        measurement runs alone.
    visitor
        Names the visitor who asks. Visitors take turns, and each has at most `PER_VISITOR` long
        turns at once. By default every turn counts as another visitor's.

    Attributes
    ----------
    served
        Turns that ended, by kind: 'long' and 'short'.
    """

    def __init__(self, seats: int = SEATS, visitor: Callable[[], Hashable] = object) -> None:
        self.visitor = visitor
        self.served: Counter[str] = Counter()
        self._all = seats
        self._queue: list[Turn] = []
        self._seated: list[Turn] = []
        self._arrived = self._round = 0
        self._next_round: dict[Hashable, int] = {}  # of visitors who had their turn in this one
        self._changed = threading.Condition()

    def turn(self, alone: bool = False) -> Turn:
        """Return a long turn that has not joined the queue yet."""
        return Turn(self, self.visitor(), False, alone)

    @contextmanager
    def training(self, waiting: Callable[[int], object] = lambda place: None) -> Iterator[Turn]:
        """Hold one seat; `waiting` gets the place now and then before, and may raise to give up."""
        with self._take(self.turn(), waiting) as turn:
            yield turn

    @contextmanager
    def measuring(self, waiting: Callable[[int], object] = lambda place: None) -> Iterator[Turn]:
        """Hold all seats, so that nothing else disturbs the clock but what it makes room for."""
        with self._take(self.turn(alone=True), waiting) as turn:
            yield turn

    @contextmanager
    def short(self, waiting: Callable[[int], object] = lambda place: None) -> Iterator[Turn]:
        """Hold a seat for less than a tenth of a second, for a run that is watched live."""
        with self._take(Turn(self, self.visitor(), True, False, live=True), waiting) as turn:
            yield turn

    @contextmanager
    def computing(self, waiting: Callable[[int], object] = lambda place: None) -> Iterator[Turn]:
        """Hold a seat for less than half a second, for a page; one seat is left to `short`."""
        with self._take(Turn(self, self.visitor(), True, False), waiting) as turn:
            yield turn

    @contextmanager
    def _take(self, turn: Turn, waiting: Callable[[int], object]) -> Iterator[Turn]:
        with turn:
            for place in turn.places():
                waiting(place)
            yield turn

    def waiting(self) -> tuple[int, int]:
        """How many long and short turns wait."""
        with self._changed:
            short = sum(turn.short for turn in self._queue)
            return len(self._queue) - short, short

    def _crowded(self) -> bool:
        others = len(self._seated) + len(self._queue) > 1
        return others and not any(turn.alone for turn in self._seated)

    def _join(self, turn: Turn) -> None:
        with self._changed:
            self._stand_last(turn)
            self._queue.append(turn)

    def _stand_last(self, turn: Turn) -> None:
        """Give a turn its place behind all others, and its round."""
        self._arrived += 1
        turn.number = self._arrived
        if not turn.short:
            turn.round = max(self._round, self._next_round.get(turn.visitor, 0))
            self._next_round = {v: r for v, r in self._next_round.items() if r > self._round}
            self._next_round[turn.visitor] = turn.round + 1

    def _leave(self, turn: Turn) -> None:
        with self._changed:
            if turn in self._queue:
                self._queue.remove(turn)
            elif turn in self._seated:
                self._seated.remove(turn)
                self.served["short" if turn.short else "long"] += 1
            self._changed.notify_all()

    def _wait(self, turn: Turn) -> int | None:
        """Wait a moment; take the seats if it is this one's turn, else return its place."""
        with self._changed:
            if self._changed.wait_for(lambda: self._may_sit(turn), PATIENCE):
                self._queue.remove(turn)
                self._seated.append(turn)
                self._round = max(self._round, turn.round)
                turn.sat_down, turn.passed_by = time.monotonic(), None
                turn.set_back = False
                self._changed.notify_all()  # who is next now may find a seat too
                return None
            return self._in_order(turn.short).index(turn) + 1

    def _give_way(self, turn: Turn) -> bool:
        """Whether a turn left its seats, because short ones or others of its kind wait."""
        sat = time.monotonic() - turn.sat_down
        if sat < SLICE:
            return False
        with self._changed:
            over = turn.spent + sat >= SPELL and self._others_wait(turn)
            room = self._all - (self._all if turn.alone else len(self._long()))
            if self._shorts() <= room and not over:
                return False
            self._seated.remove(turn)
            turn.spent, turn.set_back = (0.0, True) if over else (turn.spent + sat, False)
            if over:
                self._stand_last(turn)
            self._queue.append(turn)
            self._changed.notify_all()
        return True

    def _others_wait(self, turn: Turn) -> bool:
        """Whether another visitor's long turn would have the seat of this one."""
        return any(self._allowed(one) for one in self._in_order(False) if one is not turn)

    def _may_sit(self, turn: Turn) -> bool:
        first = next((one for one in self._in_order(False) if self._allowed(one)), None)
        overdue = first is not None and self._overdue(first)
        if turn.short:
            kept_back = first is not None and first.alone and overdue
            if kept_back or any(one.alone for one in self._seated):
                return False
            shorts = [one for one in self._seated if one.short]
            alike = [one for one in self._in_order(True) if one.live is turn.live]
            most = self._all if turn.live else max(self._all - 1, 1)
            seated = sum(one.live is turn.live for one in shorts)
            return turn is alike[0] and len(shorts) < self._all and seated < most
        if turn is not first or not self._fits(turn):
            return False
        if turn.alone:
            return not self._seated and (overdue or not self._shorts())
        # One at a time gets its share of a processor that short turns take all of.
        return (overdue and not self._long()) or len(self._long()) + self._shorts() < self._all

    def _overdue(self, turn: Turn) -> bool:
        """Whether a long turn has waited for short ones alone for too long."""
        if not self._fits(turn):
            turn.passed_by = None
            return False
        now = time.monotonic()
        turn.passed_by = turn.passed_by or now
        return now - turn.passed_by > (LONGEST_BEFORE_ALONE if turn.alone else LONGEST_PAUSE)

    def _fits(self, turn: Turn) -> bool:
        """Whether a long turn has room beside the other long ones."""
        long = self._long()
        return not long if turn.alone else len(long) < self._all and not any(o.alone for o in long)

    def _long(self) -> list[Turn]:
        return [turn for turn in self._seated if not turn.short]

    def _shorts(self) -> int:
        """How many short turns there are, seated or not."""
        return sum(turn.short for turn in [*self._seated, *self._queue])

    def _allowed(self, turn: Turn) -> bool:
        own = sum(turn.visitor == other.visitor for other in self._long())
        return own < PER_VISITOR

    def _in_order(self, short: bool) -> list[Turn]:
        """Who waits, in the order of their turns; one who gave way has kept its place."""
        return sorted(
            (turn for turn in self._queue if turn.short is short),
            key=lambda turn: (turn.round, turn.number),
        )


TURNS = Turns()
