"""The time model against DeepEP's published measurements, half of them unseen by the fit."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from importlib import resources
from operator import add
from statistics import median

import numpy as np

from ..kernels import mask_groups, topk
from .timing import AllToAll, link_bytes, phase_time
from .topology import Cluster
from .traffic import Traffic, traffic

N_EXPERTS, K = 256, 8
CALIBRATE, HELD_OUT, REFERENCE = ROLES = ("calibrate", "held out", "reference")


@dataclass(frozen=True)
class Measured:
    """A published measurement; the columns of deepep.csv.

    Attributes
    ----------
    table
        'normal' or 'low latency'.
    role
        'calibrate', 'held out', or 'reference': other hardware or other kernels.
    phase, ep
        'dispatch' or 'combine'; number of GPUs.
    gpus_per_node
        GPUs that NVLink joins; 1 where the kernels did not use NVLink.
    nvlink_gb_s, network_gb_s
        Line rates.
    tokens_per_gpu, n_group, topk_group
        The benchmark's batch and groups.
    copies
        As in `moe.cluster.traffic`.
    gb_s, us
        Printed bandwidth: copies, the own GPU's or node's included, x row bytes / time. Printed
        time, None where the table has none.
    source, note
        Where it stands, and what to know of it.
    """

    table: str
    role: str
    phase: str
    ep: int
    gpus_per_node: int
    nvlink_gb_s: float
    network_gb_s: float
    tokens_per_gpu: int
    n_group: int
    topk_group: int
    copies: str
    gb_s: float
    us: float | None
    source: str
    note: str

    def cluster(self) -> Cluster:
        """Return the machines it was measured on."""
        n_nodes = self.ep // self.gpus_per_node
        return Cluster(n_nodes, self.gpus_per_node, self.nvlink_gb_s, self.network_gb_s)

    def traffic(self) -> Traffic:
        """Return what the benchmark's routing puts on the links; see `_benchmark`."""
        return _benchmark(
            self.cluster(), self.tokens_per_gpu, self.n_group, self.topk_group, self.copies
        )


@dataclass(frozen=True)
class RowError:
    """A measurement beside the model.

    Attributes
    ----------
    measured
        The published row.
    us, gb_s
        Modelled time, and bandwidth as the table counts it.
    published_us
        Printed time, or what the printed bandwidth says it was.
    error
        Modelled / published time - 1.
    bound_by
        What decided: 'NVLink', 'network' or 'call'.
    """

    measured: Measured
    us: float
    gb_s: float
    published_us: float
    error: float
    bound_by: str


@dataclass(frozen=True)
class Calibration:
    """Fitted figures and the error of every row."""

    kernels: dict[str, AllToAll]
    rows: list[RowError]

    def median_error(self, role: str) -> float:
        """Median of |error| over the rows of a role."""
        return median(abs(row.error) for row in self.rows if row.measured.role == role)


@cache
def measurements() -> tuple[Measured, ...]:
    """Rows of deepep.csv."""
    text = resources.files("moe.cluster").joinpath("deepep.csv").read_text("utf-8")
    rows = []
    for row in csv.DictReader(text.splitlines()):
        values: dict[str, object] = dict(row)
        for name in ("ep", "gpus_per_node", "tokens_per_gpu", "n_group", "topk_group"):
            values[name] = int(row[name])
        for name in ("nvlink_gb_s", "network_gb_s", "gb_s"):
            values[name] = float(row[name])
        values["us"] = float(row["us"]) if row["us"] else None
        rows.append(Measured(**values))  # type: ignore[arg-type]
    return tuple(rows)


@lru_cache(maxsize=64)
def _benchmark(
    cluster: Cluster, tokens_per_gpu: int, n_group: int, topk_group: int, copies: str
) -> Traffic:
    """Traffic of DeepEP's own benchmarks (tests/legacy): random scores, groups by their best."""
    rng = np.random.Generator(np.random.SFC64(0))
    device_E = cluster.contiguous(N_EXPERTS)

    def of_gpu(g: int) -> Traffic:
        score_NE = rng.random((tokens_per_gpu, N_EXPERTS), np.float32)
        if topk_group < n_group:
            score_NE = mask_groups(score_NE, n_group, topk_group, 1)
        home_N = np.full(tokens_per_gpu, g)
        return traffic(topk(score_NE, K), device_E, cluster, home_N, copies=copies)

    # One by one: the matrices of all GPUs' batches at once would take hundreds of megabytes.
    return reduce(add, map(of_gpu, range(cluster.n_gpus)))


def _published(row: Measured, sent: Traffic) -> tuple[float, float]:
    """Bytes that the table counts for one GPU, and microseconds that it took."""
    row_bytes = sent.dispatch_row_bytes if row.phase == "dispatch" else sent.combine_row_bytes
    counted = sent.n_copies * row_bytes / sent.cluster.n_gpus
    return counted, counted / (row.gb_s * 1e3) if row.us is None else row.us


def compare(row: Measured, kernels: AllToAll) -> RowError:
    """Model one measurement."""
    sent = row.traffic()
    counted, published_us = _published(row, sent)
    time = phase_time(sent, row.phase, kernels)
    return RowError(
        measured=row,
        us=time.us,
        gb_s=counted / (time.us * 1e3),
        published_us=published_us,
        error=time.us / published_us - 1,
        bound_by=time.bound_by,
    )


def calibrate() -> Calibration:
    """Fit the model to the rows marked 'calibrate', and compare all rows with it.

    Five numbers: the time of a call, and for either table the reached shares of both line rates.
    Least squares of log(modelled / published).
    """
    from scipy.optimize import least_squares

    fitted = [row for row in measurements() if row.role == CALIBRATE]
    tables = list(dict.fromkeys(row.table for row in fitted))
    table_R = np.array([tables.index(row.table) for row in fitted])
    us_R2, published_R = np.empty((len(fitted), 2)), np.empty(len(fitted))
    for r, row in enumerate(fitted):
        sent = row.traffic()
        _, published_R[r] = _published(row, sent)
        nvlink_G, network_G = link_bytes(sent, row.phase)
        us_R2[r] = (
            nvlink_G.max() / (row.nvlink_gb_s * 1e3),
            network_G.max() / (row.network_gb_s * 1e3),
        )

    def log_errors(values: np.ndarray) -> np.ndarray:
        share_T2 = values[1:].reshape(len(tables), 2)
        modelled_R = values[0] + (us_R2 / share_T2[table_R]).max(axis=1)
        return np.asarray(np.log(modelled_R / published_R))

    start = [30.0] + [0.8] * (2 * len(tables))
    fit = least_squares(log_errors, start, bounds=(1e-3, np.inf), x_scale=start).x
    shares = fit[1:].reshape(len(tables), 2)
    kernels = {
        table: AllToAll(float(fit[0]), float(nvlink), float(network))
        for table, (nvlink, network) in zip(tables, shares, strict=True)
    }
    return Calibration(kernels, [compare(row, kernels[row.table]) for row in measurements()])
