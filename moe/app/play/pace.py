"""How fast runs may go on when many visitors watch theirs at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

FASTEST, SLOWEST = 25.0, 5.0  # steps a second of one run
TOGETHER = 160.0  # steps a second of all runs: a third of a core, which pages need as well
GONE = 5.0  # seconds without a wish after which a visitor no longer counts


class Pace:
    """Counts who watches a run at the moment."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    def of(self, visitor: Hashable) -> float:
        """Note a visitor's wish; return the steps a second that her run may do."""
        now = self._clock()
        with self._lock:
            self._seen[visitor] = now
            self._seen = {who: at for who, at in self._seen.items() if at > now - GONE}
            return max(min(FASTEST, TOGETHER / len(self._seen)), SLOWEST)


PACE = Pace()
