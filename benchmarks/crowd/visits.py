"""What visitors do: change a control every few seconds, or watch a model train on *Play*."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from .client import Answer, Control, Visitor

PAGES = (
    "start", "balance", "cure", "savings", "five-million", "real-models", "routers", "moving-data",
    "your-model",
)  # fmt: skip
PLAY = "play"
PAUSE = 3.0, 5.0  # seconds between an answer and the next change
SLOWEST = 100.0  # seconds after which an answer counts as none
# As in moe/app/play/player.js; a test compares.
CHUNK, AHEAD, FIRST, LAST_STEP = 26, 12, 8, 2900
BALANCING = ("off", "gentle", "strong", "deepseek")


@dataclass
class Told:
    """What one visitor met.

    Attributes
    ----------
    page, answers
        Where, and each answer with the time when it came.
    errors
        Texts of errors, and what broke the connection.
    steps, places, seconds, still
        On *Play*: training steps, how often there was only a place in the queue, seconds that were
        watched, and of those in which the picture stood still.
    """

    page: str
    answers: list[tuple[float, Answer]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    steps: int = 0
    places: int = 0
    seconds: float = 0.0
    still: float = 0.0


def some_value(control: Control, rng: random.Random) -> Any:
    """Another value that the control allows."""
    proto = control.proto
    if control.kind == "slider":
        if proto.options:
            picked = sorted(rng.sample(range(len(proto.options)), max(len(proto.default), 1)))
            return [proto.options[i] for i in picked]
        steps = max(round((proto.max - proto.min) / (proto.step or 1)), 1)
        picked = sorted(rng.randint(0, steps) for _ in proto.default)
        return [min(proto.min + i * (proto.step or 1), proto.max) for i in picked]
    if control.kind == "number_input":
        low = proto.min if proto.has_min else 0.0
        high = proto.max if proto.has_max else low + 100
        steps = max(int((high - low) / (proto.step or 1)), 1)
        return low + rng.randint(0, min(steps, 1000)) * (proto.step or 1)
    if control.kind == "checkbox":
        return rng.random() < 0.5
    if control.kind == "button_group":
        return [rng.choice(list(proto.options)).content]
    return rng.choice(list(proto.options))


def changeable(visitor: Visitor) -> list[Control]:
    """Controls with more than one value; buttons are not pressed at random."""
    return [
        control
        for control in visitor.controls.values()
        if control.kind != "button" and (control.kind == "checkbox" or _values(control) > 1)
    ]


def _values(control: Control) -> int:
    proto = control.proto
    options = getattr(proto, "options", None)
    if control.kind == "number_input" or (control.kind == "slider" and not options):
        return 2
    return len(options or ())


async def look_around(told: Told, host: str, until: float, seed: int) -> None:
    """Open a page, and change one control after the other."""
    rng = random.Random(seed)
    async with Meeting(told), Visitor(host, told.page) as visitor:
        await _note(told, visitor, visitor.open())
        while time.monotonic() < until:
            await asyncio.sleep(rng.uniform(*PAUSE))
            controls = changeable(visitor)
            if not controls:
                told.errors.append("nothing to change")
                return
            control = rng.choice(controls)
            await _note(told, visitor, visitor.change(control, some_value(control, rng)))


async def play(told: Told, host: str, until: float, seed: int) -> None:
    """Watch a model train, and change a control of the run as it goes on, as player.js does."""
    rng = random.Random(seed)
    async with Meeting(told), Visitor(host, f"{PLAY}?run=8-{seed % 10_000}") as visitor:
        await _note(told, visitor, visitor.open())
        component = next((c for c, (data, _) in visitor.components.items() if "run" in data), None)
        if component is None:
            told.errors.append("no run to watch")
            return
        film = Film(visitor.components[component][0]["run"])
        change_at, number = time.monotonic() + rng.uniform(*PAUSE), 0
        while time.monotonic() < until and film.computed < LAST_STEP:
            if time.monotonic() > change_at:
                film.change(rng.choice(BALANCING))
                change_at = time.monotonic() + rng.uniform(*PAUSE)
            if film.ahead() > AHEAD:
                await asyncio.sleep(0.02)
                continue
            number += 1
            wish = {"run": film.run, "from": film.computed, "n": film.n, "number": number}
            await _note(told, visitor, visitor.trigger(component, "want", wish | {"keep": None}))
            data = visitor.components.get(component, ({}, ""))[0]
            if problem := data.get("problem"):
                told.errors.append(str(problem))
                return
            if data.get("place"):
                told.places += 1
                await asyncio.sleep(0.4)
                continue
            told.steps += film.take(data)
        told.seconds, told.still = film.times()


class Film:
    """What a browser shows of a run: it stands still when it has run out of steps."""

    def __init__(self, run: str) -> None:
        self.run, self.computed, self.rate, self.n = run, 0, 25.0, CHUNK
        self._position, self._at = 0.0, time.monotonic()
        self._start, self._still = time.monotonic(), 0.0

    def ahead(self) -> float:
        """Move on to now; return how many steps are left to show."""
        now = time.monotonic()
        wanted = self._position + (now - self._at) * self.rate
        self._position = min(wanted, self.computed)
        self._still += max(wanted - self.computed, 0) / self.rate
        self._at = now
        return self.computed - self._position

    def change(self, balancing: str) -> None:
        """Set a control before the next step that is shown; what was computed beyond is dropped."""
        self.ahead()
        self.computed, self.n = min(int(self._position) + 1, self.computed), FIRST
        self.run = "_".join([*self.run.split("_")[:50], f"{self.computed}b{balancing}"])

    def take(self, data: dict[str, Any]) -> int:
        """Take an answer; return how many steps it brought."""
        self.rate = float(data.get("rate", self.rate))
        records = data.get("records")
        if records is None:
            return 0
        new = int(records["from"]) + int(records["n"]) - self.computed
        self.computed += new
        self.n = CHUNK
        return new

    def times(self) -> tuple[float, float]:
        """Seconds that were watched, and of those in which the picture stood still."""
        self.ahead()
        return time.monotonic() - self._start, self._still


async def _note(told: Told, visitor: Visitor, asked: Any) -> None:
    try:
        answer = await asyncio.wait_for(asked, SLOWEST)
    except TimeoutError:  # what she saw until then counts: a place in the queue, perhaps
        visitor.latest.seconds = SLOWEST
        told.answers.append((time.monotonic(), visitor.latest))
        raise
    told.answers.append((time.monotonic(), answer))
    told.errors += answer.errors


class Meeting:
    """A context that notes what broke a visit, instead of ending everybody's."""

    def __init__(self, told: Told) -> None:
        self._told = told

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, TimeoutError):
            self._told.errors.append(f"no answer within {SLOWEST:.0f} s")
        elif isinstance(error, (ConnectionClosed, InvalidHandshake, OSError)):
            self._told.errors.append(f"{type(error).__name__}: {error}"[:200])
        else:
            return False
        return True
