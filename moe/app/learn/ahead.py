"""What a lesson's questions and figures need, worked out behind the page while its text is read.

Some lessons measure runs, which takes seconds. A lesson's own module keeps what it has measured, so
the first visitor who opens a lesson has it worked out for everybody.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet

from ... import kernels
from ...lessons import Lesson, Part, question_of, show, values_of
from ...lessons.reader import NAMED
from ...speed.turns import PATIENCE, TURNS
from ..shared.visitor import still_here

_BEGUN: dict[Part, Future[None]] = {}
_LOCK = threading.Lock()


def begin(lesson: Lesson) -> None:
    """Begin with a lesson's questions and figures, in the order of its text, unless it is begun."""
    parts = [part for part in lesson.parts if part.kind in NAMED]
    with _LOCK:
        if parts[0] in _BEGUN:
            return
        _BEGUN.update({part: Future() for part in parts})
    threading.Thread(target=_work, args=(parts,), daemon=True).start()


def is_ready(part: Part) -> bool:
    """Whether a question or a figure of a lesson that was begun takes no time any more."""
    return _BEGUN[part].done()


def wait_for(part: Part) -> None:
    """Wait until a question or a figure is worked out; a visitor who has left gives up."""
    while True:
        try:
            return _BEGUN[part].result(timeout=PATIENCE)
        except NotYet:
            still_here()


def _work(parts: list[Part]) -> None:
    for part in parts:
        try:
            with TURNS.training(), kernels.steady():
                _work_out(part)
        except Exception as error:  # for whoever waits for it
            _BEGUN[part].set_exception(error)
        else:
            _BEGUN[part].set_result(None)


def _work_out(part: Part) -> None:
    if part.kind == "figure":
        show(part.name)
        return
    asked, values = question_of(part.name), values_of(part.name)
    for form in (asked.form, *(slip.form for slip in asked.slips)):
        form(values)
