"""One rank of `moe.cluster.mpi`: run the spread layer, compare, count, report."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..balance.device_map import contiguous_devices
from ..latent_experts import DOWN, UP
from ..layer import Arrays, MoELayer
from ..routers import Router, make_router
from ..settings import Settings, option
from .exchange import Wire
from .sent import predicted_bytes
from .spread import COPIES, SpreadLayer, check_router
from .topology import Cluster

FAILURES = ("raise", "kill", "hang")
ENDED_LATE = 124  # what `timeout` of coreutils returns
LAST_WORD = 1.0  # seconds for the parent of a lost rank to speak first


@dataclass(frozen=True)
class MpiSettings(Settings):
    """What one run does; every field is a flag."""

    router: str = option("topk", "Router (see moe routers).")
    tokens: int = option(512, "Tokens of the batch.", low=0)
    d_model: int = option(64, "Width of a token's vector.")
    d_expert: int = option(64, "Width inside an expert.")
    d_latent: int = option(
        0, "Width of what latent experts get and give, which is what is sent; 0 for none.", low=0
    )
    experts: int = option(16, "Experts of the layer.")
    k: int = option(4, "Experts per token.")
    seed: int = option(0, "Of tokens and weights.", low=0)
    ranks_per_node: int = option(
        0, "Ranks that count as one node; 0 takes 2 if that divides the ranks, else 1.", low=0
    )
    topk_group: int = option(
        0, "Nodes that a token of a group-limited router may reach; 0 takes half of them.", low=0
    )
    copies: str = option("node", "A copy per expert, gpu or node.", among=COPIES)
    dtype: str = option("float64", "float64 or float32.")
    steps: int = option(1, "How often forward and backward run.", low=1)
    timeout: float = option(60.0, "Seconds until a rank ends the run.", low=0, open_low=True)
    fail: str = option(
        "", "Show how a run ends: raise:2, kill:2 or hang:2 for rank 2, after its first forward."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fail:
            how, _, rank = self.fail.partition(":")
            if how not in FAILURES or not rank.isdecimal():
                raise ValueError(f"fail: got {self.fail!r}, allowed is raise:RANK, kill:, hang:")

    def per_node(self, ranks: int) -> int:
        """Ranks of a node."""
        size = self.ranks_per_node or (2 if ranks % 2 == 0 else 1)
        if ranks % size:
            raise ValueError(f"ranks_per_node: got {size}, allowed are divisors of {ranks} ranks")
        return size

    def make_router(self, ranks: int, limited: bool = True) -> Router:
        """The router; group-limited ones get one group per node, or none unless `limited`."""
        options = make_router(self.router).options()
        given: dict[str, Any] = {"k": self.k} if "k" in options else {}
        if "n_group" in options:
            nodes = ranks // self.per_node(ranks)
            reach = self.topk_group or max(1, nodes // 2)
            given |= {"n_group": nodes, "topk_group": reach} if limited else {"n_group": 1}
            if not limited:
                given["topk_group"] = 1
        return make_router(self.router, **given)

    def make_layer(self, router: Router) -> MoELayer:
        """The whole layer, the same on every rank."""
        layer = MoELayer.init(
            self.d_model, self.d_expert, self.experts, router, seed=self.seed, dtype=self.dtype,
            d_latent=self.d_latent,
        )  # fmt: skip
        if "noise_DE" in layer.params:  # fresh noise weights are zero: noise would be even
            rng = np.random.default_rng(self.seed)
            layer.params["noise_DE"] += rng.standard_normal(layer.params["noise_DE"].shape) / 8
        return layer


@dataclass(frozen=True)
class Step:
    """One spread step beside one process: differences and bytes, known to rank 0 only."""

    forward_diff: float
    backward_diff: float
    sent_PP: np.ndarray
    predicted_PP: np.ndarray
    gathered: int


def run(argv: list[str]) -> int:
    """Run this rank; exit code 0, 2 for wrong arguments, 1 if results or bytes differ."""
    settings, as_json = _parse(argv)
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        sys.stderr.write(f"moe: no MPI ({error}); install it: pip install 'moescope[mpi]'\n")
        return 2
    comm = MPI.COMM_WORLD
    try:
        settings.per_node(comm.size)
        router = settings.make_router(comm.size)
        check_router(router)
        layer = settings.make_layer(router)
    except ValueError as error:  # every rank finds the same
        if comm.rank == 0:
            sys.stderr.write(f"moe: {error}\n")
        return 2
    watch = threading.Timer(settings.timeout, _end_late, (comm.rank, settings.timeout))
    watch.daemon = True
    watch.start()
    try:
        report = _report(settings, layer, comm)
    except Exception as error:
        if isinstance(error, MPI.Exception):
            time.sleep(LAST_WORD)  # somebody was lost: its parent says who, and ends all
        message = " ".join(str(error).split())
        sys.stderr.write(f"moe: rank {comm.rank} failed: {type(error).__name__}: {message}\n")
        sys.stderr.flush()
        comm.Abort(1)
        os._exit(1)  # nothing may wait for the others on the way out
    watch.cancel()
    if report is not None:
        sys.stdout.write((json.dumps(report) if as_json else _text(report)) + "\n")
    allowed = 1e-6 if settings.dtype == "float64" else np.inf
    same = report is None or (report["max_abs_diff"] <= allowed and report["bytes_equal"])
    return 0 if comm.bcast(same) else 1


def _parse(argv: list[str]) -> tuple[MpiSettings, bool]:
    parser = argparse.ArgumentParser(
        prog="mpiexec -n 4 python -m moe.cluster.mpi",
        description="Run the layer with its experts spread over ranks; compare with one process.",
    )
    for name, field in MpiSettings.__dataclass_fields__.items():
        parser.add_argument(
            "--" + name.replace("_", "-"), type=type(field.default), default=field.default,
            help=field.metadata["help"],
        )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    values = vars(parser.parse_args(argv))
    as_json = values.pop("json")
    try:
        return MpiSettings(**values), as_json
    except ValueError as error:
        if os.environ.get("PMI_RANK", "0") == "0":
            sys.stderr.write(f"moe: {error}\n")
        raise SystemExit(2) from None


def _end_late(rank: int, seconds: float) -> None:
    sys.stderr.write(f"moe: rank {rank} still waits after {seconds:g} s; ending the run\n")
    sys.stderr.flush()
    os._exit(ENDED_LATE)  # MPI may hold its locks: only the launcher can end the others


def _report(settings: MpiSettings, layer: MoELayer, comm: Any) -> dict[str, Any] | None:
    """All keys of the output on rank 0, None elsewhere."""
    started = time.perf_counter()
    for _ in range(settings.steps):
        step = _step(settings, layer, comm)
    seconds = time.perf_counter() - started
    plain = None
    router = settings.make_router(comm.size)
    if "n_group" in router.options():
        unlimited = settings.make_layer(settings.make_router(comm.size, limited=False))
        plain = _step(settings, unlimited, comm)
    if step is None:
        return None
    node_P = np.arange(comm.size) // settings.per_node(comm.size)
    away = node_P[:, None] != node_P
    other = ~np.eye(comm.size, dtype=bool)
    report = {
        "ranks": comm.size,
        "nodes": int(node_P[-1]) + 1,
        "router": settings.router,
        "copies": settings.copies,
        "max_abs_diff": max(step.forward_diff, step.backward_diff),
        "forward_diff": step.forward_diff,
        "backward_diff": step.backward_diff,
        "bytes_sent": int(step.sent_PP[other].sum()),
        "bytes_predicted": int(step.predicted_PP[other].sum()),
        "bytes_equal": bool((step.sent_PP == step.predicted_PP)[other].all()),
        "self_bytes": int(np.trace(step.sent_PP)),
        "internode_bytes": int(step.sent_PP[away].sum()),
        "internode_predicted": int(step.predicted_PP[away].sum()),
        "allgather_bytes": step.gathered,
        "seconds": seconds,
    }
    if plain is not None:
        report["internode_bytes_unlimited"] = int(plain.sent_PP[away].sum())
    return report


def _step(settings: MpiSettings, layer: MoELayer, comm: Any) -> Step | None:
    """One forward and backward pass over all ranks; rank 0 compares."""
    wire, size = Wire(comm), comm.size
    rng = np.random.default_rng(settings.seed + 1)
    shape = (settings.tokens, settings.d_model)
    x_ND, dy_ND = (rng.standard_normal(shape).astype(settings.dtype) for _ in range(2))
    home_N = np.arange(settings.tokens) * size // max(settings.tokens, 1)
    device_E = contiguous_devices(settings.experts, size)
    per_node = settings.per_node(size)
    spread = SpreadLayer(layer, device_E, wire, per_node, settings.copies)
    noise_seed = settings.seed + 2 if layer.router.draws_noise else None
    here_N = home_N == comm.rank
    y_ND, ctx = spread.forward(x_ND[here_N], noise_seed)
    _fail(settings, comm.rank)
    dx_ND, grads = spread.backward(dy_ND[here_N], ctx)
    parts = comm.gather((y_ND, dx_ND, grads, spread.here_L, wire.bytes_P, wire.gathered))
    if parts is None:
        return None
    noise = None if noise_seed is None else np.random.default_rng(noise_seed)
    want_ND, whole = layer.forward(x_ND, rng=noise)
    want_dx_ND, want = layer.backward(dy_ND, whole)
    y, dx = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    back = [_diff(dx, want_dx_ND)]
    back += [_diff(array, want[name]) for name, array in _joined(parts, want).items()]
    predicted_PP = predicted_bytes(
        whole.routing, home_N, device_E, Cluster(size // per_node, per_node),
        settings.copies, layer.d_latent or layer.d_model, layer.dtype.itemsize,
    )  # fmt: skip
    sent_PP = np.stack([part[4] for part in parts])
    return Step(_diff(y, want_ND), max(back), sent_PP, predicted_PP, sum(part[5] for part in parts))


def _joined(parts: list[Any], want: Arrays) -> Arrays:
    """Whole gradients: experts from their ranks, of what all ranks have the sum over ranks."""
    joined = {name: np.zeros_like(array) for name, array in want.items()}
    for _, _, grads, here_L, *_ in parts:
        for name, array in grads.items():
            if name.endswith("_DE") or name in ("gate_bias_E", DOWN, UP):
                joined[name] += array
            else:
                joined[name][here_L] = array
    return joined


def _diff(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max(initial=0.0))


def _fail(settings: MpiSettings, rank: int) -> None:
    how, _, where = settings.fail.partition(":")
    if not how or rank != int(where):
        return
    if how == "raise":
        raise RuntimeError(f"rank {rank} was asked to fail")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        time.sleep(1.0)


def _text(report: dict[str, Any]) -> str:
    return "\n".join(
        f"{name:26} {value:.3g}" if isinstance(value, float) else f"{name:26} {value:,}"
        if type(value) is int else f"{name:26} {value}"
        for name, value in report.items()
    )  # fmt: skip
