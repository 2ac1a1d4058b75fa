"""A stranger's file on the page Your model: read and counted apart, few at once, within limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, TypeVar

from ...errors import CheckpointError
from ...speed.turns import TURNS, queue_words
from ...traces import Trace
from ...traces.apart import Allowed, ask
from ...traces.myths import MythCheck
from ...traces.npz import pack, pack_trace, unpack, unpack_trace
from ...traces.report import LayerReport, Pair, TraceReport
from .story import Drawn, YourModel
from .upload import read_trace
from .weights import Contents, LayerRun, read_contents, run_layer

ALLOWED = Allowed(seconds=6, memory=256 * 2**20, answer=64 * 2**20)
LONGEST_NAME = 200  # characters of a file's name that are looked at
Waiting = Callable[[str], object]
T = TypeVar("T")


def open_trace(name: str, raw: bytes, k: int, waiting: Waiting) -> YourModel:
    """Read an uploaded trace or ratings, and do what takes long.

    Parameters
    ----------
    k
        Experts per token, for ratings.
    waiting
        Gets the place in the queue in words, or nothing while the file is read. It is called now
        and then, and may raise to give up: the work then ends.

    Raises
    ------
    CheckpointError
        If the file is not what its name says, or takes more than is allowed.
    """
    ending = name[-LONGEST_NAME:].replace("\0", "")
    trace, facts = unpack_trace(_ask(raw, waiting, "trace", ending, str(k)), ALLOWED.answer)
    return _checked(lambda: _model(trace, facts))


def open_contents(raw: bytes, waiting: Waiting) -> Contents:
    """List what an uploaded checkpoint holds; see `weights.read_contents`."""
    _, facts = unpack(_ask(raw, waiting, "contents"), ALLOWED.answer)
    return _checked(lambda: Contents(**facts | {"layers": tuple(facts["layers"])}))


def open_layer(raw: bytes, layer: int, waiting: Waiting) -> LayerRun:
    """Run one layer of an uploaded checkpoint; see `weights.run_layer`."""
    arrays, facts = unpack(_ask(raw, waiting, "layer", str(layer)), ALLOWED.answer)

    def layer_run() -> LayerRun:
        rows, experts = tuple(facts["rows"]), tuple(facts["experts"])
        loads = Drawn(rows, experts, arrays["value"], facts["load_words"])
        return LayerRun(facts["title"], facts["sizes"], loads, facts["words"])

    return _checked(layer_run)


def _ask(raw: bytes, waiting: Waiting, *arguments: str) -> bytes:
    with TURNS.training(lambda place: waiting(f"{queue_words(place)}.")):
        waiting("")
        return ask(__name__, raw, *arguments, allowed=ALLOWED, waiting=lambda: waiting(""))


def answer(raw: bytes, what: str, *arguments: str) -> bytes:
    """Do the work, in a process that is started for it."""
    if what == "trace":
        name, k = arguments
        model = YourModel.of(read_trace(name, raw, int(k)))
        facts = model.as_json() | {"about": model.about, "is_part": model.is_part}
        return pack_trace(replace(model.trace, logits_LNE=None), **facts)
    if what == "contents":
        return pack({}, asdict(read_contents(raw)))
    run = run_layer(raw, int(arguments[0]))
    facts = {
        "title": run.title,
        "sizes": run.sizes,
        "rows": run.loads.rows,
        "experts": run.loads.experts,
        "load_words": run.loads.words,
        "words": run.words,
    }
    return pack({"value": run.loads.value_RE}, facts)


def _model(trace: Trace, facts: dict[str, Any]) -> YourModel:
    """Put together what `answer` took apart."""

    def layer(figures: dict[str, Any]) -> LayerReport:
        pairs = {
            name: [Pair(**pair) for pair in figures[name]]
            for name in ("top_pairs", "top_adjacent_pairs")
        }
        return LayerReport(**figures | pairs)

    def myth(check: dict[str, Any]) -> MythCheck:
        figures, per_layer = tuple(check["figures"].items()), tuple(check["per_layer"])
        return MythCheck(**check | {"figures": figures, "per_layer": per_layer})

    report = facts["report"]
    tuples = {"domains": tuple(report["domains"]), "layers": tuple(map(layer, report["layers"]))}
    return YourModel(
        trace,
        TraceReport(**report | tuples),
        tuple(map(myth, facts["myths"])),
        facts["about"],
        bool(facts["is_part"]),
    )


def _checked(read: Callable[[], T]) -> T:
    """Return what an answer holds, or say that it holds something else: nothing in it is trusted.

    Raises
    ------
    CheckpointError
        If the answer is not one that `answer` gives.
    """
    try:
        return read()
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError("file: got an answer that cannot be read, allowed is one") from error
