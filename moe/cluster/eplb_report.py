"""Experts on GPUs, before and after balancing: `moe place`."""

from __future__ import annotations

import io
import json
import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints.archives import Limits
from ..checkpoints.header import read_limited
from ..checkpoints.npz import read_npy
from ..checkpoints.strict_json import parse_json, quoted
from ..errors import CheckpointError, check_int, shown, writing
from ..traces import load_trace
from .eplb import check_loads, check_sizes, gpu_loads, least_max_over_mean, max_over_mean
from .eplb import rebalance_experts as rebalance
from .eplb_search import doubled

TABLES = (".csv", ".json", ".npy")
LARGEST_FILE = 16 * 2**20
RESTARTS, MOST_RESTARTS = 20, 10_000  # of the search
MOST_LOADS = 2**18  # numbers in it; DeepSeek-V3 has 58 layers of 256 experts


@dataclass(frozen=True)
class Placement:
    """A placement and how even it makes the GPUs.

    Attributes
    ----------
    layers
        Names of the layers: their numbers in a trace, else 0, 1, ...
    phy2log, log2phy, logcnt
        See `moe.rebalance_experts`.
    before_L
        Largest GPU load over the mean, per layer, with every expert once and in order; None if
        the GPUs do not divide the experts.
    eplb_L, after_L
        The same for the published placement, and for the one returned.
    least_L
        A bound that no placement gets below.
    eplb_doubled_L, doubled_L
        How often a GPU has several copies of one expert, per layer, in both.
    notes
        Sentences on what differs from the caller's request.
    """

    layers: tuple[int, ...]
    policy: str
    method: str
    phy2log: np.ndarray
    log2phy: np.ndarray
    logcnt: np.ndarray
    before_L: np.ndarray | None
    eplb_L: np.ndarray
    after_L: np.ndarray
    least_L: np.ndarray
    eplb_doubled_L: np.ndarray
    doubled_L: np.ndarray
    notes: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One row per layer, then their mean; 'twice' counts experts with two copies on a GPU."""
        columns = {"in order": self.before_L, "EPLB": self.eplb_L}
        if self.method == "search":
            columns["search"] = self.after_L
        columns["at least"] = self.least_L
        twice = [str(count) for count in self.doubled_L]
        table = {name: values for name, values in columns.items() if values is not None}
        rows: list[dict[str, Any]] = [
            {"layer": str(layer)}
            | {name: float(values[i]) for name, values in table.items()}
            | {"twice": twice[i]}
            for i, layer in enumerate(self.layers)
        ]
        mean = {name: float(values.mean()) for name, values in table.items()}
        return [*rows, {"layer": "mean"} | mean | {"twice": f"{self.doubled_L.mean():.1f}"}]

    def as_json(self) -> dict[str, Any]:
        """Everything as lists and numbers."""
        values = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in asdict(self).items()
        }
        uneven = {
            "before": self.before_L,
            "eplb": self.eplb_L,
            "after": self.after_L,
            "least": self.least_L,
        }
        means = {
            f"max_over_mean_{name}": None if value_L is None else float(value_L.mean())
            for name, value_L in uneven.items()
        }
        return values | means

    def save(self, path: Path) -> None:
        """Write `as_json` to a file."""
        with writing("out", path):
            path.write_text(json.dumps(self.as_json()), "utf-8")


def place_experts(
    path: Path,
    replicas: int,
    groups: int,
    nodes: int,
    gpus: int,
    search: bool = False,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> Placement:
    """Place the experts of a trace or of a table of loads.

    Parameters
    ----------
    path
        A trace of `moe trace`, or loads (layers, experts) in .csv, .json or .npy.
    replicas, groups, nodes, gpus
        See `moe.rebalance_experts`; replicas 0 takes the experts, rounded up to the GPUs.
    search
        Improve the published placement by local search.
    restarts, seed
        Random starts of that search beside the published placement, and their seed.

    Raises
    ------
    ValueError
        If the file or the sizes are not allowed.
    """
    weight_LE, layers = read_loads(path)
    n_layers, n_experts = weight_LE.shape
    check_int("gpus", gpus, 1)
    replicas = replicas or -(-n_experts // gpus) * gpus
    check_int("restarts", restarts, 0, MOST_RESTARTS)
    parts = check_sizes(n_experts, replicas, groups, nodes, gpus)
    maps = published = rebalance(weight_LE, replicas, groups, nodes, gpus)
    if search:
        maps = rebalance(weight_LE, replicas, groups, nodes, gpus, "search", restarts, seed)
    in_order = None if n_experts % gpus else np.tile(np.arange(n_experts), (n_layers, 1))

    def uneven(phy2log: np.ndarray) -> np.ndarray:
        return max_over_mean(gpu_loads(weight_LE, phy2log, gpus))

    def twice(phy2log: np.ndarray) -> np.ndarray:
        return np.asarray(doubled(phy2log.reshape(n_layers, gpus, -1)).sum(axis=1))

    return Placement(
        layers=layers,
        policy="global" if groups % nodes else "hierarchical",
        method="search" if search else "eplb",
        phy2log=maps[0],
        log2phy=maps[1],
        logcnt=maps[2],
        before_L=None if in_order is None else uneven(in_order),
        eplb_L=uneven(published[0]),
        after_L=uneven(maps[0]),
        least_L=least_max_over_mean(weight_LE, replicas, parts, gpus),
        eplb_doubled_L=twice(published[0]),
        doubled_L=twice(maps[0]),
        notes=ignored_sizes(groups, nodes),
    )


def ignored_sizes(groups: int, nodes: int) -> tuple[str, ...]:
    """A sentence on groups and nodes where EPLB ignores both; none where it does not."""
    if groups % nodes == 0:
        return ()
    return (
        f"{nodes} nodes do not divide {groups} group{'s' * (groups > 1)}: groups and nodes are "
        "ignored, as EPLB does.",
    )


def read_loads(path: Path) -> tuple[np.ndarray, tuple[int, ...]]:
    """Loads (L, E) of a trace's experts, or of a table, and the layers' names."""
    if not os.path.isfile(path):  # which no name can make fail
        raise ValueError(f"file: got {shown(str(path))}, allowed is a file that exists")
    if path.suffix.lower() not in TABLES:
        trace = load_trace(path)
        loads = [trace.routing(i).load for i in range(trace.n_layers)]
        return np.stack(loads).astype(float), trace.layers
    table = check_loads(_table(path))
    if table.min() < 0:
        raise ValueError(f"file: got a load of {table.min():g}, allowed are numbers >= 0")
    return table, tuple(range(len(table)))


def _table(path: Path) -> np.ndarray:
    try:
        table = _numbers(path)
        if table.dtype.kind not in "fiu":
            raise CheckpointError(f"got dtype {table.dtype}")
        if table.size > MOST_LOADS:
            raise CheckpointError(f"got {table.size} loads of at most {MOST_LOADS}")
    except Exception as error:  # a stranger's file can fail in a dozen ways
        reason = error if isinstance(error, CheckpointError) else quoted(str(error))
        raise CheckpointError(
            f"file: {quoted(path.name)} is no table of loads ({reason}); allowed are rows of "
            "numbers, one row per layer, one number per expert"
        ) from None
    return np.atleast_2d(table)


def _numbers(path: Path) -> np.ndarray:
    ending = path.suffix.lower()
    if ending == ".npy":
        return read_npy(path, Limits(packed_bytes=LARGEST_FILE))
    raw = read_limited(path, "file", LARGEST_FILE)
    if ending == ".json":
        return np.asarray(parse_json(raw, "file"))
    text = raw.decode("utf-8-sig")
    if text.count(",") + text.count("\n") > MOST_LOADS:  # one of them follows each number
        raise CheckpointError(f"got more than {MOST_LOADS} loads")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a table without rows is refused later
        return np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2)
