"""DeepSeek's ESFT score files: every choice of DeepSeek-V2-Lite's 26 MoE layers for four tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...checkpoints.files import inside
from ...checkpoints.header import regular_size
from ...checkpoints.strict_json import quoted
from ...errors import CheckpointError
from ...settings import option
from ..trace import MAX_EXPERTS
from .base import (
    IMPORT_BYTES,
    Imported,
    Importer,
    is_folder,
    names_in,
    readable,
    trace_of_choices,
)

SCORES = Path("results") / "expert_scores"
MAX_LINE = 4 * 2**20  # bytes of one document in one layer; published ones have 100 KB
MAX_DOCUMENTS = 1 << 20  # in all files; each takes 400 bytes beside its tokens
_FILE = re.compile(r"expert_weights_([1-9][0-9]{0,3})\.txt")
_IDS, _WEIGHTS = re.compile(rb"[0-9]{1,6}(\t[0-9]{1,6})*"), re.compile(rb"[0-9.eE+\-\t]+")

Document = tuple[np.ndarray, np.ndarray]  # experts and weights of its tokens, (N, K) each


@dataclass(frozen=True)
class Esft(Importer):
    """A clone of deepseek-ai/ESFT: `results/expert_scores/TASK/expert_weights_LAYER.txt`.

    A line is a document: the chosen experts of all its tokens, two tabs, their weights.
    """

    name: ClassVar[str] = "esft"
    title: ClassVar[str] = "DeepSeek's ESFT score files"
    reads: ClassVar[str] = "a clone of that repository, or a folder of its tasks"
    source: ClassVar[str] = "https://github.com/deepseek-ai/ESFT"

    n_experts: int = option(64, "Experts of a layer.", low=1, high=MAX_EXPERTS)
    k: int = option(6, "Experts of a token.", low=1, high="n_experts")

    def read_path(self, path: Path) -> Imported:
        """Read all tasks; see `Importer.read_path`."""
        tasks = _tasks(path)
        _check_tasks(tasks)
        n_bytes = sum(regular_size(file, file.name) for f in tasks.values() for file in f.values())
        if n_bytes > IMPORT_BYTES:
            raise CheckpointError(f"folder: got {n_bytes} bytes, allowed are {IMPORT_BYTES}")
        layers = sorted(next(iter(tasks.values())))
        per_layer: list[list[Document]] = []
        lengths: dict[str, list[int]] = {}
        room = MAX_DOCUMENTS
        for layer in layers:
            documents: list[Document] = []
            for task, files in tasks.items():
                what = f"{task}/{files[layer].name}"
                found = list(islice(self._documents(files[layer], what), room + 1))
                room -= len(found)
                if room < 0:
                    raise CheckpointError(
                        f"{what}: got more than {MAX_DOCUMENTS:,} documents so far, allowed are "
                        "fewer in all files together"
                    )
                length_S = [len(experts) for experts, _ in found]
                if lengths.setdefault(task, length_S) != length_S:
                    raise CheckpointError(
                        f"{what}: got documents of other lengths than in layer "
                        f"{layers[0]}, allowed are the same in all layers"
                    )
                documents += found
            per_layer.append(documents)
        length_S = [n for task in tasks for n in lengths[task]]
        return trace_of_choices(
            np.stack([np.concatenate([e for e, _ in found]) for found in per_layer]),
            self.n_experts,
            ("token ids and texts are not in these files",),
            weight_LNK=np.stack([np.concatenate([w for _, w in found]) for found in per_layer]),
            model="DeepSeek-V2-Lite (ESFT)",
            layers=layers,
            sequence_N=np.repeat(np.arange(len(length_S)), length_S),
            domain_N=np.repeat(np.arange(len(tasks)), [sum(lengths[task]) for task in tasks]),
            domains=tuple(tasks),
        )

    def _documents(self, file: Path, what: str) -> Iterator[Document]:
        """Choices of each line, best first."""
        try:
            with file.open("rb") as stream:
                while line := stream.readline(MAX_LINE + 1):
                    if len(line) > MAX_LINE:
                        raise CheckpointError(
                            f"{what}: got a line beyond {MAX_LINE} bytes, allowed are shorter ones"
                        )
                    yield self._document(line.strip(b"\r\n"), what)
        except OSError as error:
            raise CheckpointError(f"{what}: cannot be read ({error.strerror})") from error

    def _document(self, line: bytes, what: str) -> Document:
        ids, _, weights = line.partition(b"\t\t")
        # Checked as text before anything is made of it: numpy's own reader takes words, too.
        if not _IDS.fullmatch(ids) or not _WEIGHTS.fullmatch(weights):
            raise CheckpointError(
                f"{what}: got a line that begins with {quoted(line[:40].decode('latin-1'))}, "
                "allowed are experts, two tabs and weights"
            )
        try:
            expert_S = np.array([int(part) for part in ids.split(b"\t")], np.int32)
            weight_S = np.array([float(part) for part in weights.split(b"\t")])
        except ValueError as error:
            raise CheckpointError(f"{what}: got a weight that is no number") from error
        if len(expert_S) % self.k or len(expert_S) != len(weight_S):
            raise CheckpointError(
                f"{what}: got {len(expert_S)} experts and {len(weight_S)} weights in a line, "
                f"allowed are as many of both, {self.k} for each token"
            )
        expert_NK, weight_NK = expert_S.reshape(-1, self.k), weight_S.reshape(-1, self.k)
        order_NK = np.argsort(
            -weight_NK, axis=1, kind="stable"
        )  # in the files only the last is the least
        return (
            np.take_along_axis(expert_NK, order_NK, axis=1),
            np.take_along_axis(weight_NK, order_NK, axis=1),
        )


def _tasks(path: Path) -> dict[str, dict[int, Path]]:
    """Score files of every task, by layer."""
    tasks: dict[str, dict[int, Path]] = {}
    for folder in _folders(path):
        files = _layers(folder)
        # The folder in which one is has no name of its own.
        name = readable(folder.name or folder.resolve().name)
        if files and name in tasks:
            raise CheckpointError(f"folder: got task {quoted(name)} twice, allowed is each once")
        if files:
            tasks[name] = files
    if not tasks:
        raise CheckpointError(
            f"folder: got {quoted(str(path))}, allowed is one with "
            f"{SCORES.as_posix()}/TASK/expert_weights_1.txt, ..."
        )
    return tasks


def _folders(path: Path) -> list[Path]:
    """The folder of tasks itself, and those in it."""
    root = path / SCORES if is_folder(path / SCORES) else path
    return [root, *(path for name in names_in(root) if is_folder(path := root / name))]


def _layers(folder: Path) -> dict[int, Path]:
    """Score files of a folder by layer; links that lead out of it are refused."""
    return {
        int(match[1]): inside(folder, name)
        for name in names_in(folder)
        if (match := _FILE.fullmatch(name))
    }


def _check_tasks(tasks: dict[str, dict[int, Path]]) -> None:
    """Raise a CheckpointError unless every task has the same layers."""
    (first, files), *others = tasks.items()
    for name, found in others:
        if set(found) != set(files):
            raise CheckpointError(
                f"{quoted(name)}: got {len(found)} layers, allowed are the {len(files)} of "
                f"{quoted(first)}"
            )
