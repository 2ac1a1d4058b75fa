"""What moves when experts live on many GPUs: copies, bytes per link, times, placements."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from ... import kernels, metrics
from ...cluster import Traffic
from ...cluster.limits import sample_within
from ...cluster.sampling import expected_copies
from ...cluster.simulate import PILOT, ClusterSettings, run
from ...cluster.timing import NORMAL, PHASES, PhaseTime, phase_time
from ...cluster.traffic import bf16_row_bytes, fp8_row_bytes
from ...cost import find_gpu
from ...settings import Settings, option

# DeepSeek-V3 (arXiv 2412.19437, section 4.2): 8 of 256 experts, rows of 7,168 values.
N_EXPERTS, K, D_MODEL, PER_NODE = 256, 8, 7168, 8
WISHING = 4096  # tokens over which wishes are counted
NODES = (1, 2, 4, 8)
LIMITS = range(1, NODES[-1] + 1)  # nodes that a token may reach
TOKENS = (128, 512, 2048)
TOKENS_HERE = (128, 256, 512)  # which a page may ask for: each limit sends the batch once
MAX_SKEW = 2.0
GPUS = {"H800": "h800", "H100": "h100-sxm"}
WIRES = {"FP8": fp8_row_bytes, "BF16": bf16_row_bytes}
COPIES = {"once per expert": "expert", "once per GPU": "gpu", "once per node": "node"}
IN_ORDER, EVENED, SPARE = "in order", "evened out (EPLB)", "EPLB, a spare copy per GPU"
PLACED = (IN_ORDER, EVENED, SPARE)

ABOUT = (
    "Tokens are made up: random ratings, with some experts more popular than others; "
    "DeepSeek-V3's router chooses, and what it chose is counted link by link. Times come from a "
    "model that was calibrated on half of the published measurements of DeepEP on the H800 (normal "
    "kernels); for the H100 only the links' speeds are changed. Sources: arXiv 2412.19437, section "
    "3.2.2; arXiv 2505.09343, section 4; deepseek-ai/DeepEP; deepseek-ai/EPLB."
)


@dataclass(frozen=True)
class MovingSettings(Settings):
    """A layer of DeepSeek-V3's size, spread over a cluster."""

    nodes: int = option(8, "Nodes (servers) of eight GPUs each.", among=NODES)
    limit: int = option(4, "Nodes that a token may reach.", low=1, high=NODES[-1])
    copies: str = option("once per node", "How a token is sent.", among=COPIES)
    wire: str = option("FP8", "What a dispatch sends; a combine is BF16.", among=WIRES)
    placed: str = option(IN_ORDER, "Where experts live.", among=PLACED)
    gpu: str = option("H800", "Whose links carry the tokens.", among=GPUS)
    skew: float = option(0.3, "See `moe.cluster.sampling.popularity`.", low=0, high=MAX_SKEW)
    tokens: int = option(512, "Tokens of each GPU in a batch.", low=1, high=TOKENS[-1])
    seed: int = option(0, "Of popularity and tokens.", low=0)

    @property
    def reach(self) -> int:
        """Nodes that a token may reach, of those there are."""
        return min(self.limit, self.nodes)

    def simulated(self) -> ClusterSettings:
        """Return the same as settings of `moe cluster simulate`.

        Groups of experts are nodes, so that the limit is one on nodes; with no limit there are no
        groups, and the published placement may put any expert anywhere.
        """
        gpu, gpus = find_gpu(GPUS[self.gpu]), self.nodes * PER_NODE
        limited = self.reach < self.nodes
        return ClusterSettings(
            n_nodes=self.nodes,
            gpus_per_node=PER_NODE,
            nvlink_gb_s=gpu.nvlink_gb_s,
            network_gb_s=gpu.network_gb_s,
            n_experts=N_EXPERTS,
            k=K,
            n_group=self.nodes if limited else 1,
            topk_group=self.reach if limited else 1,
            skew=self.skew,
            tokens=self.tokens * gpus,
            batch=self.tokens,
            d_model=D_MODEL,
            copies=COPIES[self.copies],
            placement="contiguous" if self.placed == IN_ORDER else "balanced",
            redundant=gpus if self.placed == SPARE else 0,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Moved:
    """What one batch moves in one layer, and how long that takes."""

    settings: MovingSettings
    sent: Traffic
    dispatch: PhaseTime
    combine: PhaseTime

    @property
    def ms(self) -> float:
        """Milliseconds of dispatch and combine, one after the other."""
        return (self.dispatch.us + self.combine.us) / 1e3

    @property
    def network_ms(self) -> float:
        """Milliseconds that the network alone would take."""
        return (self.dispatch.network_us + self.combine.network_us) / 1e3

    @property
    def nvlink_ms(self) -> float:
        """Milliseconds that NVLink alone would take."""
        return (self.dispatch.nvlink_us + self.combine.nvlink_us) / 1e3

    @property
    def slowest(self) -> float:
        """Time of the slowest GPU relative to the mean one."""
        both_G = self.dispatch.us_G + self.combine.us_G
        return float(both_G.max() / both_G.mean())

    @property
    def bound_by(self) -> str:
        """The link that the slowest GPU waits for."""
        return "the network" if self.network_ms > self.nvlink_ms else "NVLink"

    @property
    def load_G(self) -> np.ndarray:
        """Rows that each GPU's experts compute, in fair shares."""
        return metrics.utilisation(self.sent.load_G)

    @property
    def node_MM(self) -> np.ndarray:
        """Megabytes from node to node, dispatch and combine; inside a node on the diagonal."""
        sent = self.sent
        return sent.between_nodes(sent.dispatch_bytes_GG + sent.combine_bytes_GG) / 1e6

    @property
    def nvlink_mb_M(self) -> np.ndarray:
        """Megabytes over each node's NVLink."""
        return np.diag(self.node_MM)

    @property
    def network_mb_M(self) -> np.ndarray:
        """Megabytes that leave each node for others."""
        return np.asarray(self.node_MM.sum(axis=1) - self.nvlink_mb_M)

    def words(self) -> str:
        """What the picture of the cluster shows."""
        hot = int(self.load_G.argmax())
        network = (
            f"{self.network_mb_M.mean():,.0f} MB leave a node over the network, and "
            if self.settings.nodes > 1
            else ""
        )
        return (
            f"For one layer and one batch, {network}{self.nvlink_mb_M.mean():,.0f} MB travel "
            f"inside a node. Dispatch and combine take {self.ms:.2f} ms; {self.bound_by} decides. "
            f"GPU {hot % PER_NODE} of node {hot // PER_NODE} has most to do: "
            f"{self.load_G[hot]:.2f} fair shares."
        )

    def figures(self) -> list[tuple[str, str, str]]:
        """Label, value and explanation of the page's figures."""
        return [
            (
                "Copies per token",
                f"{self.sent.copies_per_token:.2f}",
                "How many times a token is sent (or kept at home), on average.",
            ),
            (
                "Dispatch",
                f"{self.dispatch.us / 1e3:.2f} ms",
                "Tokens to their experts: all-to-all, until the slowest GPU is done.",
            ),
            (
                "Combine",
                f"{self.combine.us / 1e3:.2f} ms",
                "Results back to their tokens, in BF16.",
            ),
            (
                "Slowest GPU's time",
                f"{self.slowest:.2f}× the mean",
                "All wait for the slowest: this is what an uneven load costs.",
            ),
        ]

    def as_row(self) -> dict[str, Any]:
        """Figures as plain numbers, for JSON."""
        return {
            "settings": asdict(self.settings),
            "copies_per_token": self.sent.copies_per_token,
            "dispatch_us": self.dispatch.us,
            "combine_us": self.combine.us,
            "network_ms": self.network_ms,
            "nvlink_ms": self.nvlink_ms,
            "slowest": self.slowest,
            "load": self.load_G.tolist(),
            "node_to_node_mb": self.node_MM.tolist(),
        }


BATCH, OTHERS, WISHES = (0, 0), (1,), (2,)  # which tokens, after the seed


def experts_within(nodes: int, skew: float, tokens: int, seed: tuple[int, ...]) -> np.ndarray:
    """Return the experts of tokens within 1, 2, ... all nodes, (M, N, K); groups are nodes."""
    backend = kernels.backend_name()
    return sample_within(tokens, N_EXPERTS, K, nodes, skew, seed, backend)


@lru_cache(maxsize=64)
def learnt(nodes: int, skew: float, seed: int) -> np.ndarray:
    """Loads that placements are made for, by other tokens than the batch's, (M, E) by limit."""
    within_MNK = experts_within(nodes, skew, PILOT, (seed, *OTHERS))
    return np.stack([np.bincount(chosen.ravel(), minlength=N_EXPERTS) for chosen in within_MNK])


@lru_cache(maxsize=256)
def _traffic(settings: MovingSettings) -> Traffic:
    nodes, skew, seed, at = settings.nodes, settings.skew, settings.seed, settings.reach - 1
    tokens = settings.tokens * nodes * PER_NODE
    chosen_NK = experts_within(nodes, skew, tokens, (seed, *BATCH))[at]
    learnt_E = None if settings.placed == IN_ORDER else learnt(nodes, skew, seed)[at]
    return run(settings.simulated(), [chosen_NK], learnt_E).traffic


def move(settings: MovingSettings) -> Moved:
    """Route a batch with DeepSeek-V3's router, and count and time what moves."""
    # The rows depend neither on the GPU nor on the format, so that all of these share one count.
    rows = _traffic(replace(settings, gpu=MovingSettings.gpu, wire=MovingSettings.wire))
    sent = replace(
        rows,
        cluster=settings.simulated().cluster(),
        dispatch_row_bytes=WIRES[settings.wire](D_MODEL),
    )
    dispatch, combine = (phase_time(sent, phase, NORMAL) for phase in PHASES)
    return Moved(settings, sent, dispatch, combine)


@dataclass(frozen=True)
class Way:
    """A way of sending the batch, and the copies per token that an even choice would make."""

    title: str
    moved: Moved
    by_chance: float


def ways(settings: MovingSettings) -> list[Way]:
    """Send the batch with a copy per expert, one per node, and one per node within the limit."""
    free = replace(settings, limit=NODES[-1])
    ways = [
        Way("a copy for each expert", move(replace(free, copies="once per expert")), float(K)),
        Way("one for each node", move(replace(free, copies="once per node")), _chance(free)),
    ]
    if settings.reach < settings.nodes:
        title = f"{settings.reach} node{'s' if settings.reach > 1 else ''} at most"
        limited = replace(settings, copies="once per node")
        ways.append(Way(f"one for each node, {title}", move(limited), _chance(settings)))
    return ways


@dataclass(frozen=True)
class Limit:
    """What a limit on nodes costs and saves.

    Attributes
    ----------
    reach
        Nodes that a token may reach.
    moved
        What moves within the limit, and how long it takes.
    wishes
        Share of the experts that the router would choose without a limit and gets within it.
    """

    reach: int
    moved: Moved
    wishes: float

    def words(self) -> str:
        """What the limit saves and what it takes away."""
        servers = "one server" if self.reach == 1 else f"{self.reach} servers"
        if self.reach == self.moved.settings.nodes:
            return (
                f"All {self.reach} servers are open: every wish is met in {self.moved.ms:.2f} ms."
            )
        return (
            f"Each token may reach {servers}: {self.wishes:.0%} of the router's wishes are met, "
            f"and all tokens are there and back in {self.moved.ms:.2f} ms."
        )


def by_limit(settings: MovingSettings) -> list[Limit]:
    """Send the batch within every limit on nodes."""
    met = wishes_met(settings)
    return [
        Limit(m, move(replace(settings, limit=m)), met[m]) for m in range(1, settings.nodes + 1)
    ]


@lru_cache(maxsize=256)
def _wishes_met(nodes: int, skew: float, seed: int) -> dict[int, float]:
    got_MNE = np.zeros((nodes, WISHING, N_EXPERTS), bool)
    np.put_along_axis(got_MNE, experts_within(nodes, skew, WISHING, (seed, *WISHES)), True, axis=2)
    wished_NE = got_MNE[-1]
    met_M = (got_MNE & wished_NE).sum(axis=(1, 2)) / wished_NE.sum()
    return dict(enumerate(met_M.tolist(), 1))


def wishes_met(settings: MovingSettings) -> dict[int, float]:
    """Share of the router's wishes that each limit on nodes grants, over the same tokens.

    A wish is one of the experts that a token would get without a limit.
    """
    return _wishes_met(settings.nodes, settings.skew, settings.seed)


def limit_words(limits: list[Limit], reach: int) -> str:
    """What the limit in force saves against none, and what it costs."""
    chosen, free = limits[reach - 1], limits[-1]
    if reach == len(limits):
        return chosen.words()
    lost = 1 - chosen.wishes
    less = 1 - chosen.moved.ms / free.moved.ms
    saved = f"saves {less:.0%} of the time" if less > 0.005 else "saves no time"
    return f"{chosen.words()} Against no limit that {saved} and costs {lost:.0%} of the wishes."


def _chance(settings: MovingSettings) -> float:
    return expected_copies(N_EXPERTS, K, settings.nodes, settings.reach)


def speeds_words(settings: MovingSettings) -> str:
    """How much slower the way between servers is than the one inside."""
    cluster = settings.simulated().cluster()
    return f"{cluster.nvlink_gb_s / cluster.network_gb_s:.0f} times slower on an {settings.gpu}"


def ways_words(ways: list[Way]) -> str:
    """What each way of sending costs, and the copies that the formula expects."""
    first, last = ways[0].moved, ways[-1].moved
    chances = ", ".join(f"{way.by_chance:.1f}" for way in ways)
    return (
        f"A token's {K} experts often share a node, and one copy to that node is enough: it is "
        f"passed on inside. **{first.ms:.2f} ms become {last.ms:.2f} ms**, "
        f"{_change_words(first.ms / last.ms)}. With random choices it would be {chances} copies."
    )


def _change_words(less: float) -> str:
    """The change from one time to another, as words on their ratio."""
    if abs(less - 1) < 0.05:
        return "which is next to no change"
    return f"{less:.1f} times less" if less > 1 else f"{1 / less:.1f} times more"


def links(settings: MovingSettings) -> list[Moved]:
    """Send the same batch on H800 and on H100."""
    return [move(replace(settings, gpu=gpu)) for gpu in GPUS]


def more_uneven(settings: MovingSettings) -> MovingSettings:
    """Return the settings with a popularity of experts that is more uneven."""
    return replace(settings, skew=min(settings.skew + 0.3, MAX_SKEW))


def experts_per_row(settings: MovingSettings) -> float:
    """Rows that NVLink passes on while the network brings one row."""
    cluster = settings.simulated().cluster()
    nvlink = cluster.nvlink_gb_s * NORMAL.nvlink_share
    return nvlink / (cluster.network_gb_s * NORMAL.network_share)


def links_words(links: list[Moved], uneven: list[Moved]) -> str:
    """Which link decides on which GPU, and what the cut costs; also if experts are less even."""
    h800, h100 = links
    worse = uneven[0].ms / uneven[1].ms
    free = [experts_per_row(moved.settings) for moved in links]
    cost = h800.ms / h100.ms
    lost = (
        "Here the cut costs next to nothing"
        if cost < 1.02
        else f"Here it makes the exchange {cost:.2f} times as long"
    )
    decides = (
        f"{h800.bound_by} decides on both"
        if h800.bound_by == h100.bound_by
        else f"{h800.bound_by} decides on the H800, {h100.bound_by} on the H100"
    )
    words = (
        f"The H800 is an H100 whose NVLink was cut from {h100.sent.cluster.nvlink_gb_s:.0f} to "
        f"{h800.sent.cluster.nvlink_gb_s:.0f} GB/s in each direction. {lost}: {decides}."
    )
    if h800.settings.nodes == 1:
        return words + " With one node there is nothing but NVLink. Add nodes to see the network."
    words += (
        f" While the network delivers one token, NVLink inside an H800 server can hand on "
        f"{free[0]:.1f}, and inside an H100 server {free[1]:.1f}. So {free[0]:.0f} experts on one "
        "H800 server cost no more time than one."
    )
    uneven_words = (
        f"Make popularity more uneven by {uneven[0].settings.skew - h800.settings.skew:.1f}, and "
        f"H800s need {worse - 1:.0%} longer than H100s"
    )
    if worse > cost + 0.01:
        return f"{words} That holds while experts are about equally popular. {uneven_words}."
    return f"{words} {uneven_words}: no worse than now."


def before_after(settings: MovingSettings) -> tuple[Moved, Moved]:
    """Send the batch with experts in order, and placed as chosen, with spare copies by default."""
    after = SPARE if settings.placed == IN_ORDER else settings.placed
    return move(replace(settings, placed=IN_ORDER)), move(replace(settings, placed=after))


def placement_words(before: Moved, after: Moved) -> str:
    """What the placement changes for the busiest GPU and for the exchange."""
    settings = after.settings
    busiest, now = before.load_G.max(), after.load_G.max()
    if abs(after.ms / before.ms - 1) > 0.01:
        exchange = f"the exchange takes {after.ms:.2f} ms instead of {before.ms:.2f} ms"
    else:
        exchange = f"the exchange still takes {after.ms:.2f} ms, for {after.bound_by} decides"
        exchange += ", but computing waits less" if now < busiest else ""
    no_help = "" if now < busiest else " Here it does not even out the work."
    words = (
        f"The busiest GPU had {busiest:.2f} fair shares of the computing and now has {now:.2f}; "
        f"{exchange}.{no_help} The placement was learnt from other tokens of the same popularity."
    )
    if settings.reach < settings.nodes:
        words += (
            " With a limit on nodes, experts of a group stay on one node, so the load is evened "
            "out inside each node only; without the limit it is evened out everywhere, for more "
            "copies on the network."
        )
    return words
