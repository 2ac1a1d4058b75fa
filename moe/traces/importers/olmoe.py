"""OLMoE's counters: how often each expert was chosen, pickled, and read without unpickling.

A pickle is a program, and unpickling runs it. Here its operations are read one by one, and only
those that build whole numbers, texts, lists and counters are followed, on values of this file's
own: nothing that a pickle names is ever looked up.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ...checkpoints.files import inside
from ...checkpoints.header import read_limited
from ...checkpoints.strict_json import quoted
from ...errors import CheckpointError
from ..trace import MAX_EXPERTS, MAX_LAYERS
from .base import HIGHEST, Importer, Loads, experts_or_highest, is_folder, names_in

LAYERS = (0, 7, 15)  # which OLMoE's script keeps, without writing down that it does
MAX_PICKLE = 2**20  # bytes; published files have 4 KB
MAX_COUNT = 2**53  # of one expert, and of a layer
MAX_FILES = 1000  # so that sums stay within 64 bits
MAX_CELLS = 1 << 20  # layers times experts; a file of a megabyte can name four billion
COUNTER, SCALAR, DTYPE = ("collections", "Counter"), "scalar", ("numpy", "dtype")
SCALARS = (("numpy.core.multiarray", SCALAR), ("numpy._core.multiarray", SCALAR))
_DTYPE = re.compile("[iu][1248]")
MARK = object()


class _Named(NamedTuple):
    """What a pickle would import."""

    module: str
    name: str


class _Dtype(NamedTuple):
    """Kind and size of a number, such as 'i8'."""

    text: str


@dataclass(frozen=True)
class Olmoe(Importer):
    """A folder `scripts/routing_output/MODEL/expert_counts` of allenai/OLMoE, or one file of it.

    Each file is a domain: a list with one counter (expert, times chosen) for each of three layers.
    """

    name: ClassVar[str] = "olmoe"
    title: ClassVar[str] = "OLMoE's counters"
    reads: ClassVar[str] = "a folder expert_counts, or one .pkl of it"
    gives: ClassVar[str] = "loads"
    source: ClassVar[str] = "https://github.com/allenai/OLMoE"

    n_experts: int = experts_or_highest()

    def read_path(self, path: Path) -> Loads:
        """Read all files and add them up; see `Importer.read_path`."""
        files = list(_files(path))
        counters_of = {file.stem: read_counters(file) for file in files}
        lengths = {len(counters) for counters in counters_of.values()}
        if len(lengths) != 1:
            raise CheckpointError(
                f"file: got {sorted(lengths)} layers, allowed are as many in each file"
            )
        highest = max(max(counter, default=0) for c in counters_of.values() for counter in c)
        n_experts = self.n_experts or highest + 1
        if highest >= n_experts:
            raise CheckpointError(f"n_experts: got {n_experts}, allowed is more than {highest}")
        (n_layers,) = lengths
        if n_layers * n_experts > MAX_CELLS:
            raise CheckpointError(
                f"file: got {n_layers} layers of {n_experts} experts, allowed are {MAX_CELLS:,} "
                "experts in all layers"
            )
        load_LE = np.zeros((n_layers, n_experts), np.int64)
        for counters in counters_of.values():
            for load_E, counter in zip(load_LE, counters, strict=True):
                load_E[list(counter)] += np.array(list(counter.values()), np.int64)
        notes = [] if self.n_experts else [f"{n_experts} experts: {HIGHEST}"]
        layers = LAYERS if n_layers == len(LAYERS) else tuple(range(n_layers))
        notes.append(f"layers {', '.join(map(str, layers))}, by OLMoE's script: files do not say")
        return Loads(layers, load_LE, tuple(counters_of), tuple(notes))


def _files(path: Path) -> Iterator[Path]:
    """The file, or the .pkl files of a folder; links that lead out of it are refused."""
    if not is_folder(path):
        yield path
        return
    names = [name for name in names_in(path) if name.endswith(".pkl")]
    if not 1 <= len(names) <= MAX_FILES:
        raise CheckpointError(
            f"folder: got {quoted(str(path))} with {len(names)} files that end in .pkl, allowed "
            f"are 1 to {MAX_FILES}"
        )
    yield from (inside(path, name) for name in names)


def read_counters(path: Path) -> list[dict[int, int]]:
    """Read a pickled list of counters; nothing in it is run.

    Raises
    ------
    CheckpointError
        If it is anything else.
    """
    raw = read_limited(path, "file", MAX_PICKLE)
    try:
        value = _Machine().run(raw)
    except CheckpointError:
        raise
    except Exception as error:  # pickletools raises several types on broken files
        raise CheckpointError(
            f"file: got a pickle that cannot be read ({type(error).__name__}), allowed are counters"
        ) from error
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_LAYERS:
        raise CheckpointError("file: got no list of counters, allowed is one for each layer")
    return [_counter(item) for item in value]


def _counter(item: Any) -> dict[int, int]:
    if type(item) is not dict:
        raise CheckpointError("file: got something else than a counter in the list")
    for expert, times in item.items():
        # True and 1 are one key to a dictionary.
        if type(expert) is not int or type(times) is not int:
            raise CheckpointError(
                "file: got a counter of something else than whole numbers; allowed are the files "
                "in expert_counts and expert_counts_top1"
            )
        if not (0 <= expert < MAX_EXPERTS and 0 <= times <= MAX_COUNT):
            raise CheckpointError(
                f"file: got expert {str(expert)[:30]} chosen {str(times)[:30]} times, allowed are "
                f"experts from 0 to {MAX_EXPERTS - 1} and times from 0 to 2^53"
            )
    if sum(item.values()) > MAX_COUNT:
        raise CheckpointError(
            f"file: got {sum(item.values())} choices in a layer, allowed are at most 2^53"
        )
    return item


class _Machine:
    """The few operations of a pickle that counters need, on plain values."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, raw: bytes) -> Any:
        """Follow the operations to their end, and return what is left."""
        for code, argument, _ in pickletools.genops(raw):
            if code.name == "STOP":
                break
            if code.name in PUSHES:
                self.stack.append(PUSHES[code.name](argument))
            elif code.name in STEPS:
                STEPS[code.name](self, argument)
            elif code.name not in ("PROTO", "FRAME"):
                raise CheckpointError(
                    f"file: got the operation {code.name} in a pickle, allowed are those that "
                    "build counters of whole numbers"
                )
        return self.stack[-1]

    def pop_marked(self) -> list[Any]:
        """Take what lies above the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not MARK:
            at -= 1
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def tuple_of(self, count: int) -> None:
        """Put the last values into a tuple."""
        items = self.stack[-count:]
        del self.stack[-count:]
        self.stack.append(tuple(items))

    def name(self, module: Any, name: Any) -> None:
        """What a pickle names stays a name."""
        if (module, name) not in (COUNTER, DTYPE, *SCALARS):
            # Written out only if both are texts: a value nested in itself would take for ever.
            plain = type(module) is str and type(name) is str
            raise CheckpointError(
                f"file: got a pickle that names {quoted(f'{module}.{name}') if plain else 'values'}"
                ", allowed are counters of whole numbers"
            )
        self.stack.append(_Named(module, name))

    def stack_global(self, _: Any) -> None:
        """A name whose two parts were put there."""
        name, module = self.stack.pop(), self.stack.pop()
        self.name(module, name)

    def global_(self, argument: str) -> None:
        """A name in one text."""
        module, _, name = argument.partition(" ")
        self.name(module, name)

    def call(self, _: Any) -> None:
        """Build a counter, a type of numbers or a number."""
        given, what = self.stack.pop(), self.stack.pop()
        made: Any = None
        if what == COUNTER and given == ():
            made = {}
        elif what == COUNTER and len(given) == 1 and type(given[0]) is dict:
            (made,) = given
        elif what == DTYPE and given and type(given[0]) is str and _DTYPE.fullmatch(given[0]):
            made = _Dtype(given[0])
        elif what in SCALARS and len(given) == 2 and type(given[0]) is _Dtype:
            made = _number(*given)
        else:
            raise CheckpointError("file: got a pickle that builds something else than counters")
        self.stack.append(made)

    def build(self, _: Any) -> None:
        """The state of a type of numbers: only its byte order says anything."""
        state, what = self.stack.pop(), self.stack[-1]
        if type(what) is not _Dtype or type(state) is not tuple or state[1] not in ("<", "|"):
            raise CheckpointError("file: got a pickle with a state, allowed are counters")

    def set_items(self, pairs: list[Any]) -> None:
        """Put keys and values into the dictionary below them; keys are whole numbers."""
        table = self.stack[-1]
        keys = pairs[::2]
        # A key of nested tuples could take for ever to hash.
        if type(table) is not dict or any(type(key) is not int for key in keys):
            raise CheckpointError(
                "file: got a counter of something else than whole numbers; allowed are the files "
                "in expert_counts and expert_counts_top1"
            )
        table.update(zip(keys, pairs[1::2], strict=True))

    def append(self, items: list[Any]) -> None:
        """Put values into the list below them."""
        if type(self.stack[-1]) is not list:
            raise CheckpointError("file: got a pickle that builds something else than counters")
        self.stack[-1].extend(items)

    def pop_last(self, count: int) -> list[Any]:
        """Take the last values."""
        items = self.stack[-count:]
        del self.stack[-count:]
        return items


def _number(kind: _Dtype, raw: Any) -> int:
    if type(raw) is not bytes or len(raw) != int(kind.text[1:]):
        raise CheckpointError("file: got a number of another size, allowed are whole numbers")
    return int.from_bytes(raw, "little", signed=kind.text[0] == "i")


PUSHES: dict[str, Any] = {
    **dict.fromkeys(
        (
            "BININT", "BININT1", "BININT2", "LONG1", "SHORT_BINUNICODE", "BINUNICODE",
            "SHORT_BINBYTES", "BINBYTES",
        ),
        lambda argument: argument,
    ),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_LIST": lambda _: [],
    "EMPTY_DICT": lambda _: {},
    "EMPTY_TUPLE": lambda _: (),
    "MARK": lambda _: MARK,
}  # fmt: skip
STEPS: dict[str, Any] = {
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_marked())),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "GLOBAL": _Machine.global_,
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
    "SETITEM": lambda m, _: m.set_items(m.pop_last(2)),
    "SETITEMS": lambda m, _: m.set_items(m.pop_marked()),
    "APPEND": lambda m, _: m.append(m.pop_last(1)),
    "APPENDS": lambda m, _: m.append(m.pop_marked()),
    "MEMOIZE": lambda m, _: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    "BINPUT": lambda m, at: m.memo.__setitem__(at, m.stack[-1]),
    "LONG_BINPUT": lambda m, at: m.memo.__setitem__(at, m.stack[-1]),
    "BINGET": lambda m, at: m.stack.append(m.memo[at]),
    "LONG_BINGET": lambda m, at: m.stack.append(m.memo[at]),
}
