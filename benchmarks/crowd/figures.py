"""What a crowd met, in figures: waiting times, errors, and the server's memory over time."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .client import Answer
from .visits import PLAY, Told


@dataclass(frozen=True)
class Waiting:
    """Waiting times of one kind, in seconds.

    Attributes
    ----------
    n
        How many answers.
    felt_p50, felt_p95, felt_max
        Until the visitor saw that something happens: the complete page, or how far its training
        is, or her place in the queue.
    p50, p95, longest
        Until the page was complete.
    """

    n: int
    felt_p50: float
    felt_p95: float
    felt_max: float
    p50: float
    p95: float
    longest: float

    @classmethod
    def of(cls, answers: Iterable[Answer]) -> Waiting:
        """Sum up answers."""
        given = list(answers)
        felt, whole = (
            ([a.felt() for a in given], [a.seconds for a in given]) if given else ([0], [0])
        )
        return cls(
            len(given),
            *(round(float(value), 3) for value in (*np.percentile(felt, (50, 95)), max(felt))),
            *(round(float(value), 3) for value in (*np.percentile(whole, (50, 95)), max(whole))),
        )


@dataclass
class Server:
    """Figures of `/metrics` over time.

    Attributes
    ----------
    seen
        Seconds since the start, and all figures then.
    """

    urls: Sequence[str]
    seen: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def look(self, at: float) -> dict[str, float]:
        """Ask every process of the server, and note the sums."""
        sums: dict[str, float] = {}
        for url in self.urls:
            with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
                text = answer.read().decode()
            for name, value in re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE):
                sums[name] = sums.get(name, 0.0) + float(value)
        self.seen.append((at, sums))
        return sums

    def megabytes(self) -> list[tuple[float, float]]:
        """Seconds and memory."""
        return [(at, sums["moe_resident_bytes"] / 2**20) for at, sums in self.seen]


def by_control(answers: Iterable[Answer]) -> dict[str, Any]:
    """Waiting times for each control of a page, the slowest first."""
    given: dict[str, list[Answer]] = {}
    for answer in answers:
        given.setdefault(answer.control, []).append(answer)
    times = {name: Waiting.of(some) for name, some in given.items()}
    slowest = sorted(times, key=lambda name: -times[name].p95)
    return {
        name: {"n": times[name].n, "p50": times[name].p50, "p95": times[name].p95}
        for name in slowest
    }


def growth(megabytes: Sequence[tuple[float, float]], since: float, until: float) -> float:
    """Megabytes a minute by which memory grew, as a straight line through what was seen."""
    part = [(at, value) for at, value in megabytes if since <= at <= until]
    if len(part) < 3:
        return 0.0
    at, value = np.array(part).T
    return float(60 * np.polyfit(at, value, 1)[0])


def summary(visits: Sequence[Told], server: Server, minutes: float) -> dict[str, Any]:
    """All figures of a crowd, as plain numbers."""
    end, pages = 60 * minutes, sorted({told.page for told in visits})
    by_page = {page: [told for told in visits if told.page == page] for page in pages}
    changes = [a for told in visits for _, a in told.answers[1:] if told.page != PLAY]
    watched = by_page.get(PLAY, [])
    seconds, still = max(sum(t.seconds for t in watched), 1), sum(t.still for t in watched)
    memory = server.megabytes()
    during = [value for at, value in memory if at <= end]
    return {
        "sessions": len(visits),
        "minutes": minutes,
        "errors": sorted({error for told in visits for error in told.errors}),
        "visits with errors": sum(bool(told.errors) for told in visits),
        "first answers": asdict(Waiting.of(told.answers[0][1] for told in visits if told.answers)),
        "changes": asdict(Waiting.of(changes)),
        "chunks of Play": asdict(Waiting.of(a for told in watched for _, a in told.answers[1:])),
        "Play": {
            "steps a second": round(sum(told.steps for told in watched) / seconds, 1),
            "share of time without a step to show": round(still / seconds, 4),
            "places in the queue": sum(told.places for told in watched),
        },
        "pages": {
            page: asdict(Waiting.of(a for told in by_page[page] for _, a in told.answers[1:]))
            for page in pages
        },
        "controls": {
            page: by_control(a for told in by_page[page] for _, a in told.answers[1:])
            for page in pages
            if page != PLAY
        },
        "megabytes": {
            "begin": round(memory[0][1]) if memory else 0,
            "most": round(max(during, default=0)),
            "end": round(during[-1]) if during else 0,
            "after": round(memory[-1][1]) if memory else 0,
            "of which results kept for the next": round(
                server.seen[-1][1]["moe_kept_bytes"] / 2**20
            ),
            "growth a minute, last 3": round(growth(memory, end - 180, end), 2),
        },
    }
