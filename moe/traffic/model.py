"""`ExpertTraffic`: which experts tokens choose, and so how many a batch reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import check_int, shown
from ..numbers import plural
from ..traces import LOCAL_BYTES, Trace, load_trace
from .law import Locality, chosen_by_law, fit_locality, fit_spread, reads_at_random, reads_in_a_row
from .measure import FEW_WINDOWS, SIZES, domain_loads, windows
from .tables import TABLES, RoutingTable, load_table

EVEN = "even"
MIXED = "-mixed"  # behind a table's name: a batch holds all its domains
MAX_CELLS = 1 << 23  # experts by layers by domains; 60 layers of 512 experts are 30,000 a domain


@dataclass(frozen=True, eq=False)  # compared by identity: arrays have no single truth value
class ExpertTraffic:
    """How popular experts are, layer by layer, and how far neighbours choose alike.

    Attributes
    ----------
    name
        Whose traffic.
    k
        Experts of a token.
    chosen_RE
        Chance that a token chooses each expert, rows that add up to k: one for each layer, of each
        task where a batch holds one task.
    group_R
        Task of each row.
    sizes_S, in_a_row_GS
        Numbers of consecutive tokens, and experts that they read, by task; NaN is unknown.
    fitted_to
        The measured traffic whose numbers the law has, if it is the law's.
    """

    name: str
    k: int
    chosen_RE: np.ndarray
    group_R: np.ndarray | None = None
    sizes_S: np.ndarray | None = None
    in_a_row_GS: np.ndarray | None = None
    fitted_to: ExpertTraffic | None = None

    @property
    def n_experts(self) -> int:
        """E."""
        return int(self.chosen_RE.shape[1])

    @cached_property
    def spread(self) -> float:
        """Spread of the law that reads as many experts; see `moe.traffic.law`."""
        if self.fitted_to is not None:
            return self.fitted_to.spread
        read_S = reads_at_random(self.chosen_RE, SIZES).mean(axis=0)
        return fit_spread(self.n_experts, self.k, np.array(SIZES), read_S[None])

    @cached_property
    def locality(self) -> Locality:
        """How far neighbours choose alike, fitted to what was measured.

        Raises
        ------
        ValueError
            If nothing was measured of consecutive tokens.
        """
        if self.fitted_to is not None:
            return self.fitted_to.locality
        if self.in_a_row_GS is None or self.sizes_S is None or self.group_R is None:
            raise ValueError(
                f"traffic: got {self.name}, of which loads alone are known; allowed is one that "
                "was recorded token by token"
            )
        groups = range(len(self.in_a_row_GS))
        chosen = [self.chosen_RE[self.group_R == group] for group in groups]
        return fit_locality(chosen, self.sizes_S, self.in_a_row_GS)

    def experts_read(self, n_tokens: int, consecutive: bool = False) -> float:
        """Experts of a layer that tokens read, expected, mean over the rows.

        Parameters
        ----------
        n_tokens
            N tokens of different texts, as a batch of sequences decodes them.
        consecutive
            Whether they follow each other in one text, as in speculative decoding.

        Raises
        ------
        ValueError
            If nothing is known of consecutive tokens.
        """
        check_int("n_tokens", n_tokens, 0)
        if n_tokens == 0:
            return 0.0
        if consecutive:
            return float(reads_in_a_row(self.chosen_RE, self.locality, [n_tokens]).mean())
        return float(reads_at_random(self.chosen_RE, [n_tokens]).mean())

    def scaled(self, n_experts: int, k: int) -> ExpertTraffic:
        """The same traffic for a layer of another size: by the law, with this one's numbers.

        What was measured stays as it is for a layer of the same size.

        Raises
        ------
        ValueError
            If the sizes are not allowed, or no spread can be told of this traffic.
        """
        if (n_experts, k) == (self.n_experts, self.k):
            return self
        source = self.fitted_to or self
        chosen_RE = chosen_by_law(n_experts, k, self.spread)[None]
        return ExpertTraffic(self.name, k, chosen_RE, fitted_to=source)

    def sample(
        self, n_tokens: int, rng: np.random.Generator, row: int = 0, consecutive: bool = False
    ) -> np.ndarray:
        """Choose k experts for each token, in no order, (N, K) int32.

        Every expert is chosen exactly as often as its chance says: experts lie in random order on a
        line, each as long as its chance, and a comb with teeth one apart is laid on it.

        Parameters
        ----------
        row
            Which of `chosen_RE`.
        consecutive
            Whether the tokens are one document.
        """
        check_int("n_tokens", n_tokens, 0)
        check_int("row", row, 0, len(self.chosen_RE) - 1)
        chance_E = self.chosen_RE[row]
        if not consecutive:
            return _combed(chance_E, self.k, n_tokens, rng)
        concentration = self.locality.concentration
        least = np.clip(chance_E, 1e-12, 1 - 1e-12)
        drawn_E = rng.beta(concentration * least, concentration * (1 - least))
        own_NK = _combed(_summing_to(drawn_E, self.k), self.k, n_tokens, rng)
        takes_N = rng.random(n_tokens) >= self.locality.stickiness
        takes_N[:1] = True
        return own_NK[np.maximum.accumulate(np.where(takes_N, np.arange(n_tokens), 0))]

    def describe(self) -> str:
        """One line for people: whose popularity, and whether it was measured or is the law's."""
        if self.fitted_to is None:
            rows = plural(len(self.chosen_RE), "layer")
            return f"{self.name}: popularity as measured, {rows} of {self.n_experts} experts"
        return (
            f"{self.name}: the law fitted to it (spread {self.spread:.2f}), for {self.k} of "
            f"{self.n_experts} experts"
        )


def find_traffic(name: str) -> ExpertTraffic | None:
    """Return traffic by name: even (None), of a shipped table, or of a trace's file.

    Parameters
    ----------
    name
        'even'; 'v2-lite', 'olmoe' or 'mixtral', of which a batch holds one task or domain; with
        '-mixed' behind it a batch holds all; or the path of a trace.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if name == EVEN:
        return None
    base = name.removesuffix(MIXED)
    if base in TABLES:
        return traffic_of_table(load_table(base), mixed=base != name)
    if not name.lower().endswith((".npz", ".parquet")):
        named = ", ".join((EVEN, *TABLES))
        raise ValueError(
            f"traffic: got {shown(name)}, allowed is {named}, one of these tables with "
            f"{MIXED} behind it, or a trace's file (.npz, .parquet)"
        )
    return traffic_of_trace(load_trace(name, LOCAL_BYTES), Path(name).name)


def traffic_of_table(table: RoutingTable, mixed: bool = False) -> ExpertTraffic:
    """Return the traffic of a table; of a mixed batch nothing is known of consecutive tokens."""
    if mixed:
        return ExpertTraffic(f"{table.model}, mixed", table.k, table.mixed_LE)
    n_domains, n_layers, n_experts = table.chosen_DLE.shape
    rows = table.chosen_DLE.reshape(-1, n_experts)
    if not np.isfinite(table.in_a_row_DS).any():
        return ExpertTraffic(table.model, table.k, rows)
    return ExpertTraffic(
        table.model, table.k, rows, group_R=np.repeat(np.arange(n_domains), n_layers),
        sizes_S=np.array(table.sizes), in_a_row_GS=table.in_a_row_DS,
    )  # fmt: skip


def traffic_of_trace(trace: Trace, name: str = "") -> ExpertTraffic:
    """Return the traffic of a trace, of whose domains a batch holds one.

    Raises
    ------
    ValueError
        If its tokens have different numbers of experts, or it has no tokens, or so many experts,
        layers and domains that counting them would fill the memory.
    """
    if not trace.count_LN.size or trace.count_LN.min() != trace.k or not trace.k:
        raise ValueError(
            f"traffic: got a trace whose tokens have {trace.mean_k:.2f} experts on average, "
            "allowed is the same number for all"
        )
    n_cells = trace.n_experts * trace.n_layers * max(len(trace.domains), 1)
    if n_cells > MAX_CELLS:
        raise ValueError(
            f"traffic: got a trace of {n_cells} experts in all layers and domains, allowed are "
            f"{MAX_CELLS}"
        )
    load_DLE = domain_loads(trace)
    there = load_DLE.sum(axis=(1, 2)) > 0
    load_DLE = load_DLE[there]
    n_tokens_D11 = load_DLE[:, :1].sum(axis=2, keepdims=True) / trace.k
    chosen_DLE = load_DLE / n_tokens_D11
    read_DS, window_DS = windows(trace)
    read_DS = np.where(window_DS >= FEW_WINDOWS, read_DS, np.nan)[there]
    known = np.isfinite(read_DS).any()
    return ExpertTraffic(
        name or trace.model or "a trace", trace.k, chosen_DLE.reshape(-1, trace.n_experts),
        group_R=np.repeat(np.arange(len(chosen_DLE)), trace.n_layers) if known else None,
        sizes_S=np.array(SIZES) if known else None, in_a_row_GS=read_DS if known else None,
    )  # fmt: skip


def _combed(chance_E: np.ndarray, k: int, n_tokens: int, rng: np.random.Generator) -> np.ndarray:
    """Choose k experts for each token with these chances, exactly: systematic sampling.

    Source: Madow (1949), Annals of Mathematical Statistics 20, 333-354.
    """
    n_experts = len(chance_E)
    order_NE = rng.random((n_tokens, n_experts)).argsort(axis=1)
    end_NE = np.cumsum(chance_E[order_NE], axis=1)
    end_NE[:, -1] = k  # so that rounding loses no tooth
    tooth_NE = np.floor(np.minimum(end_NE, k) - rng.random((n_tokens, 1)))
    before_NE = np.concatenate([np.full((n_tokens, 1), -1.0), tooth_NE[:, :-1]], axis=1)
    return order_NE[tooth_NE > before_NE].reshape(n_tokens, k).astype(np.int32)


def _summing_to(chance_E: np.ndarray, k: int) -> np.ndarray:
    """Chances scaled to add up to k, none above 1."""
    chance_E = np.clip(chance_E, 1e-12, 1.0)
    for _ in range(50):
        chance_E = np.minimum(chance_E * (k / chance_E.sum()), 1.0)
    return chance_E
