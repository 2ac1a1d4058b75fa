"""What the links carry: bytes between GPUs, counted from who was routed where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .. import kernels, metrics
from ..errors import check_choice, check_float
from ..routing import Routing
from .topology import Cluster

MODES = ("expert", "gpu", "node")
REPLICA_RULES = ("spread", "near")
FP8_BLOCK = 128  # values that share one float32 scale


def fp8_row_bytes(d_model: int) -> float:
    """Bytes of one token in FP8 with a float32 scale for every 128 values: 7,392 for 7,168."""
    return d_model + d_model / FP8_BLOCK * 4


def bf16_row_bytes(d_model: int) -> float:
    """Bytes of one token in BF16: 14,336 for 7,168."""
    return 2.0 * d_model


@dataclass(frozen=True)
class Traffic:
    """Rows and bytes per link of one dispatch and the combine that brings the results back.

    The combine takes the dispatch's ways backwards, sums at each stop and so carries as many
    rows. G GPUs; the first index is the sender of the dispatch.

    Attributes
    ----------
    cluster
        The machines.
    n_tokens
        Tokens routed.
    nvlink_GG, network_GG
        Rows dispatched inside and between nodes, int64, zero on the diagonal.
    local_G
        Copies that stay on the token's own GPU.
    load_G
        Rows that the experts of each GPU compute.
    n_copies
        Destinations of all tokens, own GPU or node included; experts, GPUs or nodes as `copies`.
    copies
        'expert', 'gpu' or 'node'; see `traffic`.
    dispatch_row_bytes, combine_row_bytes
        Bytes of one row.
    """

    cluster: Cluster
    n_tokens: int
    nvlink_GG: np.ndarray
    network_GG: np.ndarray
    local_G: np.ndarray
    load_G: np.ndarray
    n_copies: int
    copies: str
    dispatch_row_bytes: float
    combine_row_bytes: float

    @property
    def copies_per_token(self) -> float:
        """Mean number of destinations of a token (0 without tokens)."""
        return self.n_copies / max(self.n_tokens, 1)

    @cached_property
    def dispatch_bytes_GG(self) -> np.ndarray:
        """Bytes dispatched from GPU i to j, (G, G) float64; a relayed row counts at each hop."""
        return (self.nvlink_GG + self.network_GG) * self.dispatch_row_bytes

    @cached_property
    def combine_bytes_GG(self) -> np.ndarray:
        """Bytes of results from GPU i to GPU j, (G, G) float64."""
        return (self.nvlink_GG + self.network_GG).T * self.combine_row_bytes

    def between_nodes(self, bytes_GG: np.ndarray) -> np.ndarray:
        """Sum bytes between GPUs to those between nodes, (M, M); the diagonal is inside a node."""
        m, p = self.cluster.n_nodes, self.cluster.gpus_per_node
        return np.asarray(bytes_GG.reshape(m, p, m, p).sum(axis=(1, 3)))

    @property
    def nvlink_rows(self) -> int:
        """Rows over NVLink in one direction, all GPUs."""
        return int(self.nvlink_GG.sum())

    @property
    def network_rows(self) -> int:
        """Rows over the network in one direction, all GPUs."""
        return int(self.network_GG.sum())

    @property
    def slowest_load(self) -> float:
        """Rows computed by the busiest GPU, relative to the mean (1 without rows)."""
        return float(metrics.utilisation(self.load_G).max()) if self.load_G.any() else 1.0

    def __add__(self, other: Traffic) -> Traffic:
        """Traffic of both batches, of which the GPUs work as one.

        Raises
        ------
        ValueError
            If they ran on different clusters or by different rules.
        """
        rules = ("cluster", "copies", "dispatch_row_bytes", "combine_row_bytes")
        for name in rules:
            if getattr(self, name) != getattr(other, name):
                raise ValueError(f"{name}: got {getattr(other, name)}, allowed is the same in both")
        return replace(
            self,
            n_tokens=self.n_tokens + other.n_tokens,
            nvlink_GG=self.nvlink_GG + other.nvlink_GG,
            network_GG=self.network_GG + other.network_GG,
            local_G=self.local_G + other.local_G,
            load_G=self.load_G + other.load_G,
            n_copies=self.n_copies + other.n_copies,
        )


def traffic(
    routing: Routing | np.ndarray,
    device_E: np.ndarray,
    cluster: Cluster,
    home_N: np.ndarray | None = None,
    *,
    expert_P: np.ndarray | None = None,
    copies: str = "node",
    replica: str = "spread",
    dispatch_row_bytes: float = 7392.0,
    combine_row_bytes: float = 14336.0,
) -> Traffic:
    """Count the rows and bytes on every link for one routed batch.

    Parameters
    ----------
    routing
        A `Routing`, of which dropped assignments and zero-computation experts send nothing, or
        the chosen experts (N, K), where -1 is none.
    device_E
        GPU of each expert, (E,); with `expert_P` the GPU of each slot, (P,).
    cluster
        The machines.
    home_N
        GPU where each token lives, (N,); by default equal blocks in order.
    expert_P
        Which expert each slot holds, (P,), if some have several copies (`phy2log` of
        `moe.rebalance_experts`); by default slot e holds expert e.
    copies
        'expert': a copy for each chosen expert, straight to its GPU (DeepEP's low-latency
        kernels). 'gpu': one for each distinct GPU. 'node': one for each distinct node, sent to the
        GPU there that has the sender's index and passed on over NVLink to each distinct GPU
        (DeepEP's normal kernels; DeepSeek-V3, arXiv 2412.19437, section 3.2.2).
    replica
        Which copy of an expert a token takes: 'spread' in turn, 'near' its own GPU's, else its
        node's, else in turn.
    dispatch_row_bytes, combine_row_bytes
        Bytes of one token's row; defaults are DeepSeek-V3's 7,168 values in FP8 with scales, and
        in BF16.

    Returns
    -------
    Traffic
        Matrices (G, G).

    Raises
    ------
    ValueError
        If a GPU or an expert does not exist, or an expert is nowhere.

    Examples
    --------
    >>> import numpy as np
    >>> t = traffic(np.array([[0, 1], [2, 3]]), np.arange(4), Cluster(2, 2), np.array([0, 0]))
    >>> t.network_GG[0].tolist(), t.nvlink_GG[2].tolist()  # GPU 2 passes one row on to GPU 3
    ([0, 0, 1, 0], [0, 0, 0, 1])
    """
    check_choice("copies", copies, MODES)
    check_choice("replica", replica, REPLICA_RULES)
    check_float("dispatch_row_bytes", dispatch_row_bytes, 0.0, open_low=True)
    check_float("combine_row_bytes", combine_row_bytes, 0.0, open_low=True)
    device_P = _indices("device_E", device_E, cluster.n_gpus, "GPUs")
    slots = np.arange(device_P.size) if expert_P is None else expert_P
    expert_of_P = _indices("expert_P", slots, None, "experts")
    if expert_of_P.shape != device_P.shape:
        raise ValueError(
            f"expert_P: got shape {expert_of_P.shape}, allowed is {device_P.shape} as device_E"
        )
    count_E = np.bincount(expert_of_P)
    start_N1, expert_S = _chosen(routing)
    used_E = np.bincount(expert_S, minlength=count_E.size)
    if used_E.size > count_E.size or (used_E[count_E == 0] > 0).any():
        missing = np.setdiff1d(expert_S, expert_of_P)
        raise ValueError(f"routing: got expert {missing[0]}, allowed are experts that have a GPU")
    n_tokens = start_N1.size - 1
    if home_N is None:
        home_N = np.arange(n_tokens) * cluster.n_gpus // max(n_tokens, 1)
    home_N = _indices("home_N", home_N, cluster.n_gpus, "GPUs")
    if home_N.shape != (n_tokens,):
        raise ValueError(f"home_N: got shape {home_N.shape}, allowed is ({n_tokens},)")
    counted = kernels.count_copies(
        start_N1,
        expert_S,
        home_N,
        np.concatenate([[0], np.cumsum(count_E)]),
        device_P[np.argsort(expert_of_P, kind="stable")],
        cluster.n_nodes,
        cluster.gpus_per_node,
        copies,
        replica,
    )
    return Traffic(
        cluster=cluster,
        n_tokens=n_tokens,
        copies=copies,
        dispatch_row_bytes=float(dispatch_row_bytes),
        combine_row_bytes=float(combine_row_bytes),
        **counted._asdict(),
    )


def _indices(name: str, values: np.ndarray, below: int | None, what: str) -> np.ndarray:
    """Return a vector of indices in [0, below) as int64."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: got {array.dtype} of shape {array.shape}, allowed is a vector of integers"
        )
    high = int(array.max(initial=0))
    if array.min(initial=0) < 0 or (below is not None and high >= below):
        limit = "" if below is None else f" below {below}"
        raise ValueError(
            f"{name}: got {array.min(initial=0)}..{high}, allowed are {what} from 0{limit}"
        )
    return array.astype(np.int64, copy=False)


def _chosen(routing: Routing | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start of each token's experts, (N + 1,), and these experts, (S,); int64."""
    if isinstance(routing, Routing):
        sends_A = routing.kept_A & (routing.expert_A < routing.n_experts - routing.n_special)
        token_S, expert_S = routing.token_A[sends_A], routing.expert_A[sends_A]
        if (np.diff(token_S) < 0).any():
            order_S = np.argsort(token_S, kind="stable")
            token_S, expert_S = token_S[order_S], expert_S[order_S]
        count_N = np.bincount(token_S, minlength=routing.n_tokens)
    else:
        expert_NK = np.asarray(routing)
        if expert_NK.ndim != 2 or expert_NK.dtype.kind not in "iu":
            raise ValueError(
                f"routing: got {expert_NK.dtype} of shape {expert_NK.shape}, allowed is a Routing "
                "or integers (N, K)"
            )
        if expert_NK.dtype.kind == "u":  # which has no -1
            expert_S = expert_NK.reshape(-1)
            count_N = np.full(len(expert_NK), expert_NK.shape[1])
        else:
            listed_NK = expert_NK >= 0
            expert_S, count_N = expert_NK[listed_NK], listed_NK.sum(axis=1)
    start_N1 = np.concatenate([[0], np.cumsum(count_N)]).astype(np.int64)
    return start_N1, expert_S.astype(np.int64, copy=False)
