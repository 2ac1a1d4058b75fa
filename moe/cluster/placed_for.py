"""Yesterday's placement: experts placed for one load, and measured on another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import check_int
from ..traces import LOCAL_BYTES, Trace, load_trace
from ..traffic.tables import load_table
from .eplb import gpu_loads, max_over_mean, rebalance_experts
from .eplb_report import TABLES, read_loads

TABLE = "v2-lite"  # loads that ship: 64 experts of 26 layers, by task
MIXED, IN_ORDER = "all of them", "none (plain order)"
HEAD = "placed for"  # of the column with the placements' names


@dataclass(frozen=True, eq=False)
class TaskLoads:
    """Loads of experts by task: `tasks` has T names, `load_TLE` is (T, L, E)."""

    tasks: tuple[str, ...]
    load_TLE: np.ndarray

    def mixed(self) -> np.ndarray:
        """Loads if each task had as many tokens as any other, (L, E)."""
        total_T11 = self.load_TLE.sum(axis=(1, 2), keepdims=True)
        return np.asarray((self.load_TLE / np.where(total_T11 > 0, total_T11, 1)).sum(axis=0))


@dataclass(frozen=True, eq=False)
class PlacedFor:
    """How even placements are on loads that they were made for, and on others.

    Attributes
    ----------
    placed_for, measured_on
        Names of the P loads that experts were placed for, and of the M that they then carry.
    phy2log_PLR
        The placements; see `moe.rebalance_experts`. That in plain order has no copies.
    uneven_PML
        Largest GPU load over the mean, layer by layer.
    """

    placed_for: tuple[str, ...]
    measured_on: tuple[str, ...]
    phy2log_PLR: tuple[np.ndarray, ...]
    uneven_PML: np.ndarray

    @property
    def uneven_PM(self) -> np.ndarray:
        """Mean over layers of the largest GPU load over the mean, (P, M)."""
        return np.asarray(self.uneven_PML.mean(axis=2))

    @property
    def widest(self) -> np.ndarray:
        """The placement for all tasks, or that for the only one."""
        name = MIXED if MIXED in self.placed_for else self.placed_for[0]
        return self.phy2log_PLR[self.placed_for.index(name)]

    @property
    def replicas(self) -> int:
        """Copies of experts in all."""
        return int(self.widest.shape[1])

    def rows(self) -> list[dict[str, Any]]:
        """One row per placement, one column per load that it carries."""
        return [
            {HEAD: name} | dict(zip(self.measured_on, row, strict=True))
            for name, row in zip(self.placed_for, self.uneven_PM.tolist(), strict=True)
        ]

    def as_json(self) -> dict[str, Any]:
        """The matrix, and its layers."""
        return {
            "placed_for": list(self.placed_for),
            "measured_on": list(self.measured_on),
            "max_over_mean": self.uneven_PM.tolist(),
            "max_over_mean_by_layer": self.uneven_PML.tolist(),
        }


def placed_for(
    made_for: TaskLoads,
    carried: TaskLoads,
    replicas: int,
    groups: int = 1,
    nodes: int = 1,
    gpus: int = 8,
) -> PlacedFor:
    """Place experts for each task, for all tasks and not at all, and measure on each of others.

    Parameters
    ----------
    made_for, carried
        Loads to place for, and to measure on; a task whose name something else has gets a number.
    replicas, groups, nodes, gpus
        See `moe.rebalance_experts`.

    Raises
    ------
    ValueError
        If the two differ in layers or experts, or a size is not allowed.
    """
    n_layers, n_experts = made_for.load_TLE.shape[1:]
    for name, size, place in (("layers", n_layers, 1), ("experts", n_experts, 2)):
        found = carried.load_TLE.shape[place]
        check_int(f"{name} of measure_on", found, size, size, f"as many {name} as placed for")
    names = apart(made_for.tasks, (MIXED, IN_ORDER))
    wanted = dict(zip(names, made_for.load_TLE, strict=True))
    if len(wanted) > 1:
        wanted[MIXED] = made_for.mixed()
    placed = {
        name: rebalance_experts(load_LE, replicas, groups, nodes, gpus)[0]
        for name, load_LE in wanted.items()
    }
    if n_experts % gpus == 0:
        placed[IN_ORDER] = np.tile(np.arange(n_experts), (n_layers, 1))
    uneven_PML = [
        [max_over_mean(gpu_loads(load_LE, phy2log, gpus)) for load_LE in carried.load_TLE]
        for phy2log in placed.values()
    ]
    measured_on = apart(carried.tasks, (HEAD,))
    return PlacedFor(tuple(placed), measured_on, tuple(placed.values()), np.array(uneven_PML))


def matrix_of(
    made_for: TaskLoads, carried: TaskLoads, replicas: int, groups: int, nodes: int, gpus: int
) -> PlacedFor:
    """`placed_for`, where 0 replicas are the experts, rounded up to the GPUs, as in `moe place`."""
    check_int("gpus", gpus, 1)
    n_experts = made_for.load_TLE.shape[2]
    return placed_for(
        made_for, carried, replicas or -(-n_experts // gpus) * gpus, groups, nodes, gpus
    )


def loads_by_task(trace: Trace) -> TaskLoads:
    """Loads of each domain of a trace that has tokens; without such a domain, of all tokens."""
    if trace.domain_N is None or not trace.n_tokens:
        return TaskLoads((trace.model or "the trace",), _loads(trace)[None])
    places = {name: np.flatnonzero(trace.domain_N == d) for d, name in enumerate(trace.domains)}
    parts = {name: trace.part(at_n) for name, at_n in places.items() if len(at_n)}
    return TaskLoads(tuple(parts), np.stack([_loads(part) for part in parts.values()]))


def _loads(trace: Trace) -> np.ndarray:
    loads = [trace.routing(layer).load for layer in range(trace.n_layers)]
    return np.stack(loads).astype(float)


def read_task_loads(path: Path) -> TaskLoads:
    """Loads by task of a trace's domains, or of a table, which is one task of its file's name.

    Raises
    ------
    ValueError
        If the file is neither.
    """
    if path.suffix.lower() in TABLES or not path.is_file():
        load_LE, _ = read_loads(path)
        return TaskLoads((path.stem,), load_LE[None])
    return loads_by_task(load_trace(path, LOCAL_BYTES))


def joined(parts: Sequence[TaskLoads]) -> TaskLoads:
    """Tasks of several files, one after another; a name that comes again gets a number.

    Raises
    ------
    ValueError
        If the files differ in layers or experts.
    """
    shapes = {part.load_TLE.shape[1:] for part in parts}
    if len(shapes) != 1:
        raise ValueError(
            f"measure_on: got {sorted(shapes)} layers and experts, allowed is one size for all"
        )
    names = apart([task for part in parts for task in part.tasks])
    return TaskLoads(names, np.concatenate([part.load_TLE for part in parts]))


def apart(names: Sequence[str], taken: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of which no two are alike, nor like one that is taken: `law`, then `law (2)`."""
    found = dict.fromkeys(taken)
    for name in names:
        number, free = 1, name
        while free in found:
            number += 1
            free = f"{name} ({number})"
        found[free] = None
    return tuple(found)[len(taken) :]


@lru_cache(maxsize=1)
def published_loads() -> TaskLoads:
    """Loads of DeepSeek-V2-Lite on four tasks, from the table that ships."""
    table = load_table(TABLE)
    return TaskLoads(table.domains, np.array(list(table.loads.values()), float))


def origin() -> dict[str, str]:
    """Source, commit, licence and command of that table, as it says itself."""
    table = load_table(TABLE)
    return {
        "source": f"{table.source}, {table.path}",
        "commit": table.commit,
        "licence": table.licence,
        "command": table.command,
    }
