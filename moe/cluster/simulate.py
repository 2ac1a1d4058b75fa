"""Experts on many GPUs: what moves, how long it takes, what placement and overlap save."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import check_int
from ..routers import ROUTERS, Router, make_router
from ..routing import Routing
from ..settings import Settings, option
from ..traffic import EVEN, ExpertTraffic, find_traffic
from .sampling import CHUNK, popularity, random_experts, sample_routings
from .schedule import COMMUNICATING, Overlap, overlap
from .timing import KERNELS, phase_time
from .topology import MAX_GPUS, Cluster
from .traffic import (  # fmt: skip
    MODES,
    REPLICA_RULES,
    Traffic,
    bf16_row_bytes,
    fp8_row_bytes,
    traffic,
)

EVENLY = "random"  # no gate: experts evenly at random, inside random groups
PLACEMENTS = ("contiguous", "balanced")
PILOT = 32_768  # tokens whose loads a balanced placement is made for
GROUP_OPTIONS = ("k", "n_group", "topk_group")
Recorded = Routing | np.ndarray
Parts = Iterable[tuple[Recorded, np.ndarray | None]]


@dataclass(frozen=True)
class ClusterSettings(Settings):
    """DeepSeek-V3's layer on H800 nodes by default; each field's help says what it is."""

    n_nodes: int = option(8, "Nodes.")
    gpus_per_node: int = option(8, "GPUs of a node.")
    nvlink_gb_s: float = option(200.0, "NVLink of a GPU in one direction, GB/s.")
    network_gb_s: float = option(50.0, "Network of a GPU in one direction, GB/s.")
    n_experts: int = option(256, "Experts of the layer.", low=1, high=1 << 16)
    router: str = option(
        "deepseek_v3", "Router (see moe routers), or random.", among=lambda: (EVENLY, *ROUTERS)
    )
    k: int = option(8, "Experts per token.")
    n_group: int = option(8, "Groups of experts.")
    topk_group: int = option(4, "Groups that a token may reach.")
    skew: float = option(
        0.0, "How uneven the experts' popularity is: 0 even, 1 strong.", low=0, high=100
    )
    tokens: int = option(262_144, "Tokens to route.", low=1, high=1 << 27)
    batch: int = option(4096, "Tokens of a GPU in one all-to-all.", low=1, high=1 << 20)
    d_model: int = option(7168, "Values of a token.", low=1, high=1 << 20)
    copies: str = option("node", "A copy per expert, gpu or node.", among=MODES)
    kernels: str = option("normal", "Timed as: normal, low latency or line rate.", among=KERNELS)
    placement: str = option(
        "contiguous", "Experts on GPUs: contiguous or balanced.", among=PLACEMENTS
    )
    redundant: int = option(0, "Second copies of experts.", low=0, high=MAX_GPUS)
    replica: str = option(
        "spread", "Copy of an expert that a token takes: spread or near.", among=REPLICA_RULES
    )
    compute_ratio: float = option(
        1.0, "Computing relative to communication, loads even.", low=0, high=1000
    )
    seed: int = option(0, "Of all that is random.", low=0)
    trace: str = option("", "Count a recorded trace, layer by layer, instead of sampled tokens.")
    traffic: str = option(
        EVEN,
        "How popular experts are: even (router and skew decide), as measured (v2-lite, "
        "v2-lite-mixed, olmoe, mixtral) or as in a trace's file.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        cluster = self.cluster()  # which checks nodes, GPUs and links
        check_int("k", self.k, 1, self.n_experts)
        check_int("n_group", self.n_group, 1, self.n_experts)
        check_int("topk_group", self.topk_group, 1, self.n_group, f"{self.n_group} groups")
        slots = self.n_experts + self.redundant
        if slots % cluster.n_gpus:
            more = -self.n_experts % cluster.n_gpus
            raise ValueError(
                f"redundant: got {self.redundant}, which makes {slots} experts; allowed is "
                f"{more} (or {cluster.n_gpus} more, ...), so that {cluster.n_gpus} GPUs hold "
                "equally many"
            )
        if self.grouped:
            self._check_groups()
        if self.traffic != EVEN and self.trace:
            raise ValueError(
                f"traffic: got {self.traffic!r} beside a trace, allowed is one of both"
            )
        if self.traffic != EVEN and self.skew:
            raise ValueError(
                f"skew: got {self.skew} beside the traffic {self.traffic!r}, which says how "
                "popular experts are, allowed is one of both"
            )

    def _check_groups(self) -> None:
        if self.n_experts % self.n_group:
            raise ValueError(
                f"n_group: got {self.n_group}, allowed is a divisor of {self.n_experts} experts"
            )
        reach = self.topk_group * (self.n_experts // self.n_group)
        check_int("k", self.k, 1, reach, f"{self.topk_group} groups hold {reach} experts")

    @property
    def grouped(self) -> bool:
        """Whether experts come in groups."""
        return self.router == EVENLY or "n_group" in self.router_options()

    def cluster(self) -> Cluster:
        """Return the machines."""
        return Cluster(self.n_nodes, self.gpus_per_node, self.nvlink_gb_s, self.network_gb_s)

    def router_options(self) -> dict[str, int]:
        """Those of k, n_group and topk_group that the router knows."""
        known = {option.name for option in fields(ROUTERS[self.router])}
        return {name: getattr(self, name) for name in GROUP_OPTIONS if name in known}

    def make_router(self) -> Router:
        """Return the router with those options."""
        return make_router(self.router, **self.router_options())


@dataclass(frozen=True)
class BatchTime:
    """One all-to-all each way, microseconds.

    Attributes
    ----------
    dispatch_us, combine_us
        Until the slowest GPU is done.
    even_us
        Both, of the mean GPU.
    slowest
        Dispatch time of the slowest GPU relative to the mean one.
    slowest_compute
        Rows computed by the busiest GPU relative to the mean.
    bound_by
        What decides the dispatch: 'NVLink', 'network' or 'call'.
    """

    dispatch_us: float
    combine_us: float
    even_us: float
    slowest: float
    slowest_compute: float
    bound_by: str


@dataclass(frozen=True)
class ClusterResult:
    """What the links carried and how long it takes.

    Attributes
    ----------
    settings
        What was asked for.
    traffic
        Rows and bytes per link, all batches together.
    batches
        Times of each batch.
    """

    settings: ClusterSettings
    traffic: Traffic
    batches: list[BatchTime]

    def mean(self, figure: str) -> float:
        """Mean of a figure of `BatchTime` over the batches."""
        return float(np.mean([getattr(batch, figure) for batch in self.batches]))

    @property
    def compute_us(self) -> float:
        """Computing time of the busiest GPU, if all of it is spent in experts."""
        even = [batch.even_us * batch.slowest_compute for batch in self.batches]
        return self.settings.compute_ratio * float(np.mean(even))

    @property
    def overlap(self) -> Overlap:
        """What two batches at once hide."""
        communication_us = self.mean("dispatch_us") + self.mean("combine_us")
        # Only the normal kernels take multiprocessors from computing.
        taken = COMMUNICATING if self.settings.kernels == "normal" else 0
        return overlap(self.compute_us, communication_us, taken)

    def summary(self) -> dict[str, Any]:
        """Figures by name: rows per token in the dispatch, bytes in dispatch and combine."""
        sent, n = self.traffic, max(self.traffic.n_tokens, 1)
        row = sent.dispatch_row_bytes + sent.combine_row_bytes
        hidden = self.overlap
        return {
            "gpus": sent.cluster.n_gpus,
            "tokens": sent.n_tokens,
            "copies": sent.copies,
            "copies_per_token": sent.copies_per_token,
            "network_rows_per_token": sent.network_rows / n,
            "nvlink_rows_per_token": sent.nvlink_rows / n,
            "network_kb_per_token": sent.network_rows * row / n / 1e3,
            "nvlink_kb_per_token": sent.nvlink_rows * row / n / 1e3,
            "dispatch_us": self.mean("dispatch_us"),
            "combine_us": self.mean("combine_us"),
            "bound_by": self.batches[0].bound_by,
            "slowest_link": self.mean("slowest"),
            "slowest_compute": self.mean("slowest_compute"),
            "compute_us": self.compute_us,
            "in_turn_us": hidden.in_turn_us,
            "overlapped_us": hidden.overlapped_us,
            "overlap_speed_up": hidden.speed_up,
        }

    def as_json(self) -> dict[str, Any]:
        """Settings, figures, and bytes between nodes."""
        return {
            "settings": asdict(self.settings),
            **self.summary(),
            "node_gb": (self.traffic.between_nodes(self.traffic.dispatch_bytes_GG) / 1e9).tolist(),
        }


def simulate(
    settings: ClusterSettings,
    recorded: Iterable[Recorded] | None = None,
    learnt_E: np.ndarray | None = None,
) -> Iterator[ClusterResult]:
    """Route, count and time batch after batch; yield the result so far after each.

    Parameters
    ----------
    settings
        The layer, the machines and the rules.
    recorded
        Routings, or chosen experts (N, K), one per batch, to count instead of sampled ones; they
        may also come from the file `settings.trace`. Router, skew, tokens and batch of the
        settings are not used then.
    learnt_E
        Load of each expert that a balanced placement is made for; by default that of what was
        recorded, or of `PILOT` other tokens.

    Raises
    ------
    ValueError
        If the trace has another number of experts than the settings.
    """
    popular = _popular(settings)
    if settings.trace:
        recorded = read_trace(settings.trace, settings.n_experts)
    if recorded is not None:
        recorded = list(recorded)
        batches: Iterable[Parts] = ([(batch, None)] for batch in recorded)
    else:
        batches = _sampled(settings, popular)
    expert_P = None
    if settings.placement == "balanced":
        if learnt_E is None:
            learnt_E = _load(settings, _pilot(settings, popular) if recorded is None else recorded)
        expert_P = _balanced(settings, learnt_E)
    elif settings.redundant:
        expert_P = np.arange(settings.n_experts + settings.redundant) % settings.n_experts
    total, times = None, []
    for parts in batches:
        sent = _count(settings, parts, expert_P)
        times.append(_time(settings, sent))
        total = sent if total is None else total + sent
        yield ClusterResult(settings, total, list(times))


def run(
    settings: ClusterSettings,
    recorded: Iterable[Recorded] | None = None,
    learnt_E: np.ndarray | None = None,
) -> ClusterResult:
    """Return the last record of `simulate`.

    Raises
    ------
    ValueError
        If there is nothing recorded to count.
    """
    result = None
    for record in simulate(settings, recorded, learnt_E):
        result = record
    if result is None:
        raise ValueError("recorded: got no batch, allowed is at least one")
    return result


def read_trace(path: str | Path, n_experts: int) -> list[Routing]:
    """Return the routing of each layer of a trace; see `moe.traces`.

    Raises
    ------
    CheckpointError
        If the file is not a trace.
    ValueError
        If it has another number of experts.
    """
    from ..traces import load_trace

    trace = load_trace(path)
    check_int("n_experts", n_experts, trace.n_experts, trace.n_experts, "as the trace has")
    return [trace.routing(i) for i in range(trace.n_layers)]


def _sampled(settings: ClusterSettings, popular: ExpertTraffic | None = None) -> Iterator[Parts]:
    """Batches of one all-to-all each."""
    size = settings.batch * settings.cluster().n_gpus
    for b, first in enumerate(range(0, settings.tokens, size)):
        n_tokens = min(size, settings.tokens - first)
        yield _parts(settings, n_tokens, (settings.seed, 0, b), popular)


def _parts(
    settings: ClusterSettings,
    n_tokens: int,
    seed: tuple[int, ...],
    popular: ExpertTraffic | None = None,
) -> Parts:
    """Sample a batch in parts of bounded size, each with the GPUs where its tokens live."""
    rng = np.random.Generator(np.random.SFC64(seed))
    first = 0
    for part in _routings(settings, n_tokens, rng, popular):
        n = part.n_tokens if isinstance(part, Routing) else len(part)
        yield part, np.arange(first, first + n) * settings.cluster().n_gpus // n_tokens
        first += n


def _routings(
    settings: ClusterSettings,
    n_tokens: int,
    rng: np.random.Generator,
    popular: ExpertTraffic | None,
) -> Iterator[Recorded]:
    if popular is None and settings.router != EVENLY:
        popularity_E = popularity(settings.n_experts, settings.skew, settings.seed)
        yield from sample_routings(settings.make_router(), n_tokens, popularity_E, rng)
        return
    for first in range(0, n_tokens, CHUNK):
        n = min(CHUNK, n_tokens - first)
        if popular is not None:
            # One layer, which the seed decides: a placement is made for the layer that is counted.
            # Nothing limits a token to groups; where this was measured, there were none.
            yield popular.sample(n, rng, settings.seed % len(popular.chosen_RE))
            continue
        groups = {"n_group": settings.n_group, "topk_group": settings.topk_group}
        yield random_experts(n, settings.n_experts, settings.k, rng, **groups)


def _popular(settings: ClusterSettings) -> ExpertTraffic | None:
    """The traffic whose popularity experts have, for a layer of this size; None if even."""
    found = find_traffic(settings.traffic)
    return None if found is None else found.scaled(settings.n_experts, settings.k)


def _count(settings: ClusterSettings, parts: Parts, expert_P: np.ndarray | None) -> Traffic:
    cluster = settings.cluster()
    device_P = cluster.contiguous(settings.n_experts + settings.redundant)
    counted = (
        traffic(
            part,
            device_P,
            cluster,
            home_N,
            expert_P=expert_P,
            copies=settings.copies,
            replica=settings.replica,
            dispatch_row_bytes=fp8_row_bytes(settings.d_model),
            combine_row_bytes=bf16_row_bytes(settings.d_model),
        )
        for part, home_N in parts
    )
    return reduce(add, counted)


def _pilot(settings: ClusterSettings, popular: ExpertTraffic | None = None) -> Iterator[Recorded]:
    """Route other tokens than those that are counted."""
    return (part for part, _ in _parts(settings, PILOT, (settings.seed, 1), popular))


def _load(settings: ClusterSettings, routed: Iterable[Recorded]) -> np.ndarray:
    """Assignments per expert, (E,)."""
    load_E = np.zeros(settings.n_experts, np.int64)
    for part in routed:
        expert_S = part.expert_A if isinstance(part, Routing) else part[part >= 0]
        load_E += np.bincount(expert_S, minlength=settings.n_experts)[: settings.n_experts]
    return load_E


def _balanced(settings: ClusterSettings, load_E: np.ndarray) -> np.ndarray:
    """Expert of each slot as EPLB places them for these loads."""
    from .eplb import rebalance_experts

    cluster = settings.cluster()
    phy2log, _, _ = rebalance_experts(
        load_E[None],
        settings.n_experts + settings.redundant,
        settings.n_group if settings.grouped else 1,
        cluster.n_nodes,
        cluster.n_gpus,
    )
    return np.asarray(phy2log[0])


def _time(settings: ClusterSettings, sent: Traffic) -> BatchTime:
    family = KERNELS[settings.kernels]
    out, back = (phase_time(sent, phase, family) for phase in ("dispatch", "combine"))
    even_us = float(out.us_G.mean() + back.us_G.mean())
    return BatchTime(out.us, back.us, even_us, out.slowest, sent.slowest_load, out.bound_by)
