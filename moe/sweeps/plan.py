"""The plan of a sweep: a TOML file becomes a list of runs, each with an id that it keeps."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..checkpoints.header import read_limited
from ..errors import check_choice, check_int, shown
from ..version import __version__
from .experiments import EXPERIMENTS, Experiment

KEYS = ("experiment", "settings", "grid", "cases", "seeds", "repeat", "skip_invalid")
SEED = "seed"
MAX_RUNS = 100_000
MAX_BYTES = 2**18  # of the file
MAX_DOTS = 1000  # a key a.b.c... takes memory that grows with the square of its parts
REAL = re.compile(r"(?<![\d.])\d+\.\d+(?![\d.])")


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Attributes
    ----------
    experiment
        Key of `EXPERIMENTS`.
    settings
        All settings by name, defaults too.
    repeat
        From 0: which of several runs with the same settings.
    version, data
        Of the library, and the hash of what the experiment reads.
    """

    experiment: str
    settings: Mapping[str, Any]
    repeat: int = 0
    version: str = __version__
    data: str = ""

    @classmethod
    def make(cls, experiment: str, settings: Any, repeat: int = 0) -> SweepRun:
        """Make a run of a settings object, with this machine's data."""
        data = EXPERIMENTS[experiment].data(settings)
        return cls(experiment, asdict(settings), repeat, data=data)

    @cached_property
    def id(self) -> str:
        """Sixteen characters that follow from all that decides the figures."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def make_settings(self) -> Any:
        """Return the settings object."""
        return EXPERIMENTS[self.experiment].settings(**self.settings)


@dataclass(frozen=True)
class SweepPlan:
    """Runs to do.

    Attributes
    ----------
    experiment
        Key of `EXPERIMENTS`.
    runs
        In the order of the file, none twice.
    varied
        Settings that the file varies, the seed among them.
    skipped
        Combinations left out because the experiment refuses them (`skip_invalid`).
    """

    experiment: str
    runs: tuple[SweepRun, ...]
    varied: tuple[str, ...]
    skipped: int = 0


def read_plan(path: Path) -> SweepPlan:
    """Read a sweep's TOML file; `docs/sweeps.md` describes it.

    Raises
    ------
    ValueError
        If it cannot be read, or a key or value is not allowed.
    """
    named = f"file: got {shown(str(path))}, allowed"
    try:
        text = read_limited(Path(path), "file", MAX_BYTES).decode("utf-8")
        if REAL.sub("", text).count(".") > MAX_DOTS:
            raise ValueError(f"more than {MAX_DOTS} dots that are no decimal point")
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{named} is a TOML file ({error})") from error
    try:
        return make_plan(table)
    except RecursionError as error:
        raise ValueError(f"{named} are tables of plain values") from error


def make_plan(table: Mapping[str, Any]) -> SweepPlan:
    """Return the runs of a sweep: `read_plan` of a table that is read already.

    Raises
    ------
    ValueError
        If a key or value is not allowed.
    """
    for key in table:
        check_choice("key of the sweep", key, KEYS)
    if "experiment" not in table:
        raise ValueError(
            f"experiment: got nothing, allowed is one of {', '.join(EXPERIMENTS)}, "
            'as in experiment = "train"'
        )
    name = check_choice("experiment", table["experiment"], EXPERIMENTS)
    experiment = EXPERIMENTS[name]
    fixed = _settings("settings", table.get("settings", {}), experiment)
    cases = [
        _settings(f"cases[{number}]", case, experiment)
        for number, case in enumerate(_list("cases", table.get("cases", [{}]), "tables"))
    ]
    grid = _grid(table, experiment)
    _check_apart({"settings": fixed, "cases": _keys(cases), "grid or seeds": grid})
    repeat = check_int("repeat", table.get("repeat", 1), 1, MAX_RUNS)
    skip = table.get("skip_invalid", False)
    if not isinstance(skip, bool):
        raise ValueError(f"skip_invalid: got {shown(skip)}, allowed is true or false")
    count = len(cases) * repeat
    for values in grid.values():
        count *= len(values)
    check_int("number of runs", count, 1, MAX_RUNS)

    runs: dict[str, SweepRun] = {}
    skipped = 0
    for case, *values in itertools.product(cases, *grid.values()):
        chosen = case | dict(zip(grid, values, strict=True))
        try:
            settings = experiment.settings(**fixed | chosen)
            repeats = [SweepRun.make(name, settings, number) for number in range(repeat)]
        except ValueError as error:
            if skip:
                skipped += 1
                continue
            where = ", ".join(f"{key} = {shown(value)}" for key, value in chosen.items())
            raise ValueError(f"{error}{where and f' (in the run with {where})'}") from error
        runs |= {run.id: run for run in repeats}
    varied = tuple(dict.fromkeys([*_keys(cases), *grid]))
    if not runs:
        raise ValueError(f"grid: got {skipped} runs that {name} refuses, allowed is at least one")
    return SweepPlan(name, tuple(runs.values()), varied, skipped)


def _grid(table: Mapping[str, Any], experiment: Experiment) -> dict[str, list[Any]]:
    """Values by setting, the seeds last."""
    grid = {}
    for key, values in _table("grid", table.get("grid", {})).items():
        listed = _list(f"grid.{key}", values, "values")
        grid[key] = [_settings("grid", {key: value}, experiment)[key] for value in listed]
    if "seeds" in table:
        if SEED not in experiment.setting_names():
            raise ValueError("seeds: got a list, allowed is none: this experiment has no seed")
        if SEED in grid:
            raise ValueError("seeds: got a list beside grid.seed, allowed is one of both")
        seeds = _list("seeds", table["seeds"], "whole numbers")
        grid[SEED] = [check_int("seeds", seed, 0) for seed in seeds]
    return grid


def _keys(tables: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for table in tables for key in table))


def _check_apart(places: Mapping[str, Iterable[str]]) -> None:
    """Refuse a setting that two places of the file set."""
    for (place, keys), (other, others) in itertools.combinations(places.items(), 2):
        if both := set(keys) & set(others):
            raise ValueError(f"{min(both)}: got it in {place} and in {other}, allowed is one place")


def _list(name: str, value: Any, of: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name}: got {shown(value)}, allowed is a list of {of}, not empty")
    return value


def _table(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name}: got {shown(value)}, allowed is a table [{name}]")
    return value


def _settings(place: str, table: Any, experiment: Experiment) -> dict[str, Any]:
    """Check names and types of settings; the experiment itself checks their values."""
    return experiment.settings.read(place, _table(place, table))
