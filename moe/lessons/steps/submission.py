"""A file with somebody's functions, checked in a process that can do nothing else."""

from __future__ import annotations

from pathlib import Path

from ...checkpoints.header import read_limited
from ...checkpoints.strict_json import quoted
from ...errors import CheckpointError, check_choice
from ..cage.outside import GUARDS, USUAL, Cage, Ended, Limits, Raised
from . import STEPS
from .check import Report, check_step

MAX_BYTES = 2**20


def check_name(name: str) -> str:
    """Return the name of a step.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    return check_choice("step", name, STEPS)


def read_source(path: Path) -> str:
    """Read a file of Python.

    Raises
    ------
    CheckpointError
        If it is no plain file of at most a megabyte, or no UTF-8 text.
    """
    name = quoted(path.name)
    raw = read_limited(path, name, MAX_BYTES)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{name}: got bytes that are no UTF-8 text") from error


def check_file(name: str, path: Path, limits: Limits = USUAL) -> tuple[Report, tuple[str, ...]]:
    """Check one step of a file; return the report, and what this system does not guard.

    Raises
    ------
    ValueError
        If there is no such step, or the file cannot be read or does not run.
    """
    step, source = STEPS[check_name(name)], read_source(path)
    with Cage(limits) as cage:
        try:
            cage.load(source, path.name)
        except (Raised, Ended) as error:
            raise CheckpointError(f"{quoted(path.name)}: does not run ({error})") from error
        return check_step(step, cage), cage.unguarded


def unguarded_words(unguarded: tuple[str, ...]) -> str:
    """What a system does not keep a stranger's code from, in a sentence; '' if nothing."""
    if not unguarded:
        return ""
    return "This system does not guard: " + "; ".join(GUARDS[name] for name in unguarded) + "."
