"""What every importer is, and the two things that one can give: a trace, or loads."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...checkpoints.strict_json import quoted
from ...errors import CheckpointError, writing
from ...numbers import plural
from ...settings import Settings, option
from ..trace import MAX_EXPERTS, MAX_NAME, Trace, make_trace

IMPORT_BYTES = 128 * 2**20  # of a file, and of the arrays in it
MAX_TOKENS = 1 << 22  # each also has a text, which takes more room than its choices
MAX_ENTRIES = 10_000  # of a folder
HIGHEST = "the highest number and one more: --n-experts, if the last ones were never chosen"


@dataclass(frozen=True)
class Imported:
    """A trace, and what its reader should know of how it came about."""

    trace: Trace
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loads:
    """How often experts were chosen, where nobody wrote down by which token.

    Attributes
    ----------
    layers
        Number of each layer in its model.
    load_LE
        Assignments of each expert in each layer, (L, E) int64, all files together.
    files
        Names of the files, each a domain.
    notes
        What a reader should know.
    """

    layers: tuple[int, ...]
    load_LE: np.ndarray
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line for people."""
        n_layers, n_experts = self.load_LE.shape
        n_choices = sum(self.load_LE.sum(axis=1).tolist())  # of all layers it may pass 64 bits
        return (
            f"{plural(len(self.files), 'domain')} ({', '.join(self.files)}): loads of {n_experts} "
            f"experts in {plural(n_layers, 'layer')}, {n_choices:,} assignments"
        )

    def save(self, path: str | Path) -> None:
        """Write the table, a row per layer, as .csv or .json: what `moe place` reads.

        Raises
        ------
        ValueError
            If the ending is another one, or the file cannot be written.
        """
        ending = check_loads_ending(path)
        rows = self.load_LE.tolist()
        with writing("out", path), Path(path).open("w", encoding="utf-8", newline="") as stream:
            if ending == ".json":
                json.dump(rows, stream)
            else:
                csv.writer(stream, lineterminator="\n").writerows(rows)


def check_loads_ending(path: str | Path) -> str:
    """Return the ending of a path to write loads to.

    Raises
    ------
    ValueError
        If it is neither .csv nor .json.
    """
    ending = Path(path).suffix.lower()
    if ending not in (".csv", ".json"):
        raise ValueError(
            f"out: got {str(path)!r}, allowed is one that ends in .csv or .json: these files hold "
            "how often each expert was chosen and not by which token, so that no trace comes of "
            "them; `moe place` reads loads"
        )
    return ending


@dataclass(frozen=True)
class Importer(Settings, ABC):
    """Reader of one kind of files; options are the fields of a frozen dataclass."""

    name: ClassVar[str]
    title: ClassVar[str]
    reads: ClassVar[str]  # a path of which form
    gives: ClassVar[str] = "trace"  # or 'loads'
    source: ClassVar[str]

    @abstractmethod
    def read_path(self, path: Path) -> Imported | Loads:
        """Read a file or folder that anybody may have made.

        Raises
        ------
        CheckpointError
            If it is missing, too large, or something else.
        """


def trace_of_choices(
    expert_LNK: np.ndarray,
    n_experts: int,
    notes: Sequence[str] = (),
    *,
    weight_LNK: np.ndarray | None = None,
    model: str = "",
    **described: Any,
) -> Imported:
    """Make a trace of choices from a file that says neither E nor, perhaps, weights.

    Parameters
    ----------
    n_experts
        E, or 0 for the highest number and one more.
    weight_LNK
        Gate weights; without, each of a token's choices has an equal share.
    described
        Keywords of `moe.traces.make_trace`.

    Raises
    ------
    CheckpointError
        If it is no trace.
    """
    if not expert_LNK.size:
        raise CheckpointError("experts: got none, allowed is at least one token in one layer")
    if expert_LNK.shape[1] > MAX_TOKENS:
        raise CheckpointError(
            f"tokens: got {expert_LNK.shape[1]:,}, allowed are at most {MAX_TOKENS:,}"
        )
    said = list(notes)
    if not n_experts:
        n_experts = max(int(expert_LNK.max()), 0) + 1
        said.append(f"{n_experts} experts: {HIGHEST}")
    if weight_LNK is None:
        listed_LNK = expert_LNK >= 0
        count_LN1 = np.maximum(listed_LNK.sum(axis=2, keepdims=True), 1)
        weight_LNK = np.divide(listed_LNK, count_LN1, dtype=np.float32)
        said.append(
            "the file has no gate weights: a token's choices share 1 evenly, and stand in the "
            "file's order, which may not be best first"
        )
    trace = make_trace(expert_LNK, weight_LNK, n_experts, model=readable(model), **described)
    return Imported(trace, tuple(said))


def experts_or_highest() -> int:
    """The option of files that do not say how many experts there are."""
    return option(
        0, "Experts of a layer; 0: the highest number and one more.", low=0, high=MAX_EXPERTS
    )


def readable(name: str) -> str:
    """The name of a file or folder as text that a trace holds: not all names are UTF-8."""
    return name.encode("utf-8", "replace").decode()[:MAX_NAME]


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; one that cannot be reached is refused where it is read."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def names_in(folder: Path) -> list[str]:
    """Names of everything in a folder, sorted.

    Raises
    ------
    CheckpointError
        If it cannot be listed, or holds more than `MAX_ENTRIES`: some left out would be wrong sums.
    """
    try:
        names = sorted(entry.name for entry in islice(folder.iterdir(), MAX_ENTRIES + 1))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"folder: got {quoted(str(folder))}, allowed is a folder that can be listed"
        ) from error
    if len(names) > MAX_ENTRIES:
        raise CheckpointError(
            f"folder: got more than {MAX_ENTRIES} entries in {quoted(str(folder))}, allowed are "
            "fewer"
        )
    return names
