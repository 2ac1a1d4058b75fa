"""Many people's files, each checked in a process of its own, and the marks in one table."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...checkpoints.header import read_limited
from ...checkpoints.strict_json import quoted
from ...errors import CheckpointError, shown
from ..cage.outside import USUAL, Cage, Ended, Limits, Raised
from . import STEPS
from .check import Report, check_step
from .submission import check_name, read_source, unguarded_words

RIGHT, NOT_RUN = "right", "does_not_run"
MAX_MARKS_BYTES = 2**22
FIRST, LAST = ("file", "sha256"), ("right", "note")
MAX_STARTS = 3  # of a file: whoever waits for each step's end would hold up all others
DIGITS = 16  # of the SHA-256, which tells whether a file is the one that was marked
FORMULA = ("=", "+", "-", "@", "\t", "\r", "|", "%")  # what a table program might compute


@dataclass(frozen=True)
class Marks:
    """One file's marks.

    Attributes
    ----------
    file, sha256
        Its name, and the start of its hash.
    results
        Of each step 'right', the name of the mistake, or 'does_not_run'.
    note
        What is to be said of the file as a whole.
    kept
        Whether the marks were there before.
    """

    file: str
    sha256: str
    results: dict[str, str]
    note: str = ""
    kept: bool = False

    @property
    def right(self) -> int:
        """How many steps are right."""
        return sum(result == RIGHT for result in self.results.values())

    @property
    def all_right(self) -> bool:
        """Whether every step is."""
        return self.right == len(self.results)

    def as_json(self) -> dict[str, Any]:
        """The marks as plain data."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "results": self.results,
            "right": self.right,
            "note": self.note,
            "kept": self.kept,
        }

    def cells(self) -> list[str]:
        """The row of the table; no cell is a formula."""
        return [
            harmless(self.file),
            self.sha256,
            *self.results.values(),
            str(self.right),
            harmless(self.note),
        ]

    def words(self) -> str:
        """The marks in a line."""
        if self.note:
            return f"{self.file}: {self.note}"
        wrong = [f"{step} {result}" for step, result in self.results.items() if result != RIGHT]
        return f"{self.file}: {self.right} of {len(self.results)} right" + "".join(
            f"; {one}" for one in wrong
        )


def harmless(text: str) -> str:
    """A text as a cell that no table program takes for a formula, in one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f"'{line}" if line.startswith(FORMULA) or text.startswith(FORMULA) else line


def submissions(folder: Path) -> list[Path]:
    """The files of Python in a folder, by name; links are none.

    Raises
    ------
    ValueError
        If it is no folder, or holds none.
    """
    try:
        found = [Path(entry.path) for entry in os.scandir(folder) if _is_submission(entry)]
    except OSError as error:
        raise ValueError(
            f"folder: got {shown(str(folder))} ({error.strerror}), allowed is a folder"
        ) from error
    if not found:
        raise ValueError(f"folder: got {shown(str(folder))} without .py files, allowed is some")
    return sorted(found)


def _is_submission(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(".py") and entry.is_file(follow_symlinks=False)


def grade(
    folder: Path,
    out: Path,
    names: Sequence[str] = tuple(STEPS),
    limits: Limits = USUAL,
    unguarded: bool = False,
) -> Iterator[Marks]:
    """Mark every file of a folder, and write the table anew after each.

    A file that the table holds already is not run again, so that a run which was stopped or killed
    goes on.

    Parameters
    ----------
    folder
        Files of Python, one for each person.
    out
        The table, a .csv file.
    names
        Steps to check.
    limits
        What each file may take.
    unguarded
        Go on where the system cannot guard against what a file might do.

    Raises
    ------
    ValueError
        If there is no such folder or step, `out` is another table, or the system lacks a guard.
    """
    steps = [check_name(name) for name in names]
    files = submissions(folder)
    before = read_marks(out, steps) if os.path.lexists(out) else {}
    with Cage(limits) as cage:
        check_guards(cage.unguarded, unguarded)
    done: list[Marks] = []
    for path in files:
        sha256 = _hash(path)
        marks = before.get((harmless(path.name), sha256))
        if marks is None:
            marks = mark(path, sha256, steps, limits, unguarded)
        done.append(marks)
        write_marks(out, steps, done + _later(before, done))
        yield marks


def check_guards(missing: tuple[str, ...], unguarded: bool) -> None:
    """Raise ValueError if a guard is missing, unless somebody wants to do without."""
    if missing and not unguarded:
        raise ValueError(
            f"unguarded: {unguarded_words(missing)} Allowed is a system that does (Linux on "
            "x86_64 or aarch64, with Landlock), or --unguarded if you trust the files"
        )


def mark(
    path: Path, sha256: str, names: Sequence[str], limits: Limits, unguarded: bool = False
) -> Marks:
    """Mark one file. Whatever it does costs it the step, and the next step starts afresh."""
    results = dict.fromkeys(names, NOT_RUN)
    cage: Cage | None = None
    starts = 0
    try:
        source = read_source(path)
        for name in names:
            if cage is None:
                starts += 1
                if starts > MAX_STARTS:
                    note = f"stopped: {MAX_STARTS} times there was no answer"
                    return Marks(path.name, sha256, results, note)
                cage = Cage(limits)
                check_guards(cage.unguarded, unguarded)
                cage.load(source, path.name)
            report = check_step(STEPS[name], cage)
            results[name] = RIGHT if report.right else report.mistake
            if _is_over(report):
                cage.close()
                cage = None
    except (CheckpointError, Raised, Ended) as error:
        return Marks(path.name, sha256, results, f"does not run: {error}")
    finally:
        if cage is not None:
            cage.close()
    return Marks(path.name, sha256, results)


def _is_over(report: Report) -> bool:
    """Whether the process ended with the step."""
    return report.mistake == "no_answer"


def _hash(path: Path) -> str:
    try:
        raw = read_source(path).encode("utf-8")
    except CheckpointError as error:  # `mark` says so; no file of these bytes was run
        raw = str(error).encode("utf-8")
    return hashlib.sha256(raw).hexdigest()[:DIGITS]


# The table -------------------------------------------------------------------------------------


def _header(names: Sequence[str]) -> list[str]:
    return [*FIRST, *names, *LAST]


def _later(before: dict[tuple[str, str], Marks], done: list[Marks]) -> list[Marks]:
    """Rows from before that this run has not come to yet."""
    names = {harmless(marks.file) for marks in done}
    return [marks for (file, _), marks in before.items() if file not in names]


def write_marks(out: Path, names: Sequence[str], rows: Sequence[Marks]) -> None:
    """Write the table in one step: whoever looks sees the old one or the new one, both whole.

    Raises
    ------
    ValueError
        If it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_header(names))
    writer.writerows(marks.cells() for marks in rows)
    replace_file(out, text.getvalue())


def replace_file(path: Path, text: str) -> None:
    """Write a text file beside its place and rename it.

    Raises
    ------
    ValueError
        If it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ValueError(
            f"out: got {shown(str(path))} ({error.strerror}), allowed is a file that can be written"
        ) from error


def read_marks(path: Path, names: Sequence[str]) -> dict[tuple[str, str], Marks]:
    """Marks of an earlier run by file and hash.

    Raises
    ------
    ValueError
        If the file is no table of marks for these steps.
    """
    where = quoted(path.name)
    raw = read_limited(path, where, MAX_MARKS_BYTES)
    header, alien = _header(names), f"{where}: got a file that is no table of these steps' marks"
    try:
        first, _, rest = raw.decode("utf-8-sig").partition("\n")
        # Before anything is parsed: a stranger's file may be a million cells.
        if first.rstrip("\r") != ",".join(header):
            raise CheckpointError(f"{alien}, allowed is a new file")
        lines = list(csv.reader(io.StringIO(rest, newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CheckpointError(alien) from error
    if any(len(line) != len(header) for line in lines):
        raise CheckpointError(f"{alien}, allowed is a new file")
    marks = {}
    for file, sha256, *results, _, note in lines:
        named = dict(zip(names, results, strict=True))
        marks[file, sha256] = Marks(file, sha256, named, note, kept=True)
    return marks


def gradescope_file(done: Sequence[Marks], path: Path) -> None:
    """Write one file's marks as the results.json of Gradescope's autograder.

    Raises
    ------
    ValueError
        If there are several files, or it cannot be written.
    """
    if len(done) != 1:
        raise ValueError(f"gradescope: got {len(done)} files, allowed is 1: it marks one at a time")
    (marks,) = done
    tests = [
        {"name": name, "score": int(result == RIGHT), "max_score": 1, "output": _says(name, result)}
        for name, result in marks.results.items()
    ]
    replace_file(path, json.dumps({"output": marks.note, "tests": tests}, indent=1))


def _says(name: str, result: str) -> str:
    """What to tell the author of a result."""
    known = {mistake.name: mistake.says for mistake in STEPS[name].mistakes}
    return known.get(result, result.replace("_", " "))
