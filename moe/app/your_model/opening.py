"""A stranger's file on the page Your model: read and counted apart, few at once, within limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, TypeVar

from ...errors import CheckpointError
from ...speed.turns import TURNS
from ...traces.apart import Allowed, ask
from ...traces.myths import MythCheck
from ...traces.npz import pack, pack_trace, unpack, unpack_trace
from ...traces.report import LayerReport, Pair, TraceReport
from .story import Drawn, YourModel
from .upload import Known, read_trace
from .weights import Contents, LayerLook, look_at, look_into

ALLOWED = Allowed(seconds=6, memory=256 * 2**20, answer=64 * 2**20)
LONGEST_NAME = 200  # characters of a file's name that are looked at
Waiting = Callable[[], object]
T = TypeVar("T")


def open_trace(name: str, raw: bytes, k: int, waiting: Waiting) -> YourModel:
    """Read an uploaded trace or ratings, and do what takes long.

    Parameters
    ----------
    k
        Experts per token, for ratings.
    waiting
        Is called now and then meanwhile, and may raise to give up: the work then ends.

    Raises
    ------
    CheckpointError
        If the file is not what its name says, or takes more than is allowed.
    """
    ending = name[-LONGEST_NAME:].replace("\0", "")
    trace, told = unpack_trace(_ask(raw, waiting, "trace", ending, str(k)), ALLOWED.answer)
    return YourModel(trace, _known(told))


def open_contents(raw: bytes, waiting: Waiting) -> Contents:
    """List what an uploaded checkpoint holds; see `your_checkpoint.look_into`."""
    told = unpack(_ask(raw, waiting, "contents"), ALLOWED.answer)[1]
    return _made(lambda: Contents(**told | {"layers": tuple(told["layers"])}))


def open_layer(raw: bytes, layer: int, waiting: Waiting) -> LayerLook:
    """Run one layer of an uploaded checkpoint; see `your_checkpoint.look_at`."""
    arrays, told = unpack(_ask(raw, waiting, "layer", str(layer)), ALLOWED.answer)
    return _made(
        lambda: LayerLook(
            told["title"],
            told["sizes"],
            Drawn(tuple(told["rows"]), tuple(told["experts"]), arrays["value"], told["said"]),
            told["words"],
        )
    )


def _ask(raw: bytes, waiting: Waiting, *arguments: str) -> bytes:
    with TURNS.training(waiting):
        return ask(__name__, raw, *arguments, allowed=ALLOWED, waiting=waiting)


def answer(raw: bytes, what: str, *arguments: str) -> bytes:
    """Do the work, in a process of its own."""
    if what == "trace":
        name, k = arguments
        model = YourModel(read_trace(name, raw, int(k))).ready()
        known = Known(model.report, model.myths, model.describe(), model.is_part)
        return pack_trace(replace(model.trace, logits_LNE=None), **_told(known))
    if what == "contents":
        return pack({}, asdict(look_into(raw)))
    look = look_at(raw, int(arguments[0]))
    told = {
        "title": look.title,
        "sizes": look.sizes,
        "rows": look.loads.rows,
        "experts": look.loads.experts,
        "said": look.loads.words,
        "words": look.words,
    }
    return pack({"value": look.loads.value_RE}, told)


def _told(known: Known) -> dict[str, Any]:
    """What is known of a trace, as JSON can hold it."""
    return {
        "report": known.report.as_json(),
        "myths": [check.as_json() for check in known.myths],
        "about": known.about,
        "is_part": known.is_part,
    }


def _known(told: dict[str, Any]) -> Known:
    """The same back again."""

    def layer(said: dict[str, Any]) -> LayerReport:
        pairs = {
            name: [Pair(**pair) for pair in said[name]]
            for name in ("top_pairs", "top_adjacent_pairs")
        }
        return LayerReport(**said | pairs)

    def check(said: dict[str, Any]) -> MythCheck:
        figures = tuple(said["figures"].items())
        return MythCheck(**said | {"figures": figures, "per_layer": tuple(said["per_layer"])})

    def known() -> Known:
        report = told["report"]
        made = {"domains": tuple(report["domains"]), "layers": tuple(map(layer, report["layers"]))}
        checks = tuple(map(check, told["myths"]))
        return Known(TraceReport(**report | made), checks, told["about"], bool(told["is_part"]))

    return _made(known)


def _made(make: Callable[[], T]) -> T:
    """What an answer holds."""
    try:
        return make()
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError("file: got an answer that cannot be read, allowed is one") from error
