"""Two sayings about experts, each held against a recorded trace: a measured answer with baselines.

"Experts are topic specialists" and "the same experts stay hot". Text comes in stretches: what a
token chooses resembles its neighbours' choices. So labels are shuffled by stretches, and
confidence is by stretches, as if each were one observation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import metrics
from ..errors import check_int
from ..routing import Routing
from ..traces import Trace

STRETCH = 64  # tokens
N_DRAWS = 199
N_TOKEN_DRAWS, N_SHUFFLES = 19, 19  # where only the mean is needed
CLOSE = 0.1  # of overlaps: no difference worth a word
SIGNIFICANT = 0.05
HOT_SHARE = 0.25  # of the experts count as hot
MIN_STRETCHES = 4


@dataclass(frozen=True)
class MythCheck:
    """Answer to one saying.

    Attributes
    ----------
    name, claim
        Short name, and the saying.
    verdict, answer
        'yes', 'partly', 'no' or 'cannot tell', and the answer in one plain sentence.
    measured, chance
        What was measured, and its mean when it is down to chance; means over the layers.
    low, high
        Where 95 % of the measurements would lie: of `measured` by bootstrap over stretches, where
        it is an overlap; of `chance` by permutation, where it is information.
    p_value
        Share of shuffles that reach what was measured, or None.
    per_layer
        `measured` of each layer.
    figures
        What else the answer rests on, by name.
    """

    name: str
    claim: str
    verdict: str
    answer: str
    measured: float | None = None
    chance: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    per_layer: tuple[float, ...] = ()
    figures: tuple[tuple[str, float], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for `json.dumps`."""
        return asdict(self) | {"figures": dict(self.figures)}


def stretches(trace: Trace, length: int = STRETCH) -> np.ndarray:
    """Number of each token's stretch, (N,): up to `length` neighbours of one sequence and domain.

    The remainder of a sequence joins the stretch before if it is shorter than half of one.
    """
    check_int("length", length, 1)
    label_N = np.zeros(trace.n_tokens, np.int64) if trace.domain_N is None else trace.domain_N
    if not trace.n_tokens:
        return label_N
    same = (np.diff(trace.sequence_N) == 0) & (np.diff(label_N) == 0)
    start = np.flatnonzero(np.concatenate([[True], ~same]))
    stretch_N = np.zeros(trace.n_tokens, np.int64)
    used = 0
    for low, high in zip(start, [*start[1:], trace.n_tokens], strict=True):
        number = max(round((high - low) / length), 1)
        own = np.minimum(np.arange(high - low) // length, number - 1)
        stretch_N[low:high] = used + own
        used += number
    return stretch_N


def topic_specialists(trace: Trace, seed: int = 0, length: int = STRETCH) -> MythCheck:
    """Measure whether experts are specialists of topics, or rather of tokens.

    Information that the domain, and the token itself, carry of the choice of experts, each as a
    share of all there is to know of it (its entropy) and less what shuffled labels give. Domains
    are shuffled by stretches; and, apart from that, within each token id: what exceeds those is
    about the topic and not about the topic's vocabulary.
    """
    name, claim = "topic_specialists", "Experts are topic specialists."
    stretch_N = stretches(trace, length)
    if trace.domain_N is None:
        return MythCheck(name, claim, "cannot tell", "The trace names no domains.")
    label_S = trace.domain_N[np.unique(stretch_N, return_index=True)[1]]
    stretches_of = np.bincount(label_S)
    if (stretches_of >= 2).sum() < 2:
        return MythCheck(
            name, claim, "cannot tell",
            f"It takes two domains with two stretches of {length} tokens each.",
        )  # fmt: skip
    rng = np.random.default_rng(check_int("seed", seed, 0))
    domain = _domain_information(trace, label_S, stretch_N, rng)
    within = _domain_information_within(trace, rng)
    token = _token_information(trace, rng)
    p_value = domain.p_value
    shares = (
        f"topics explain {max(domain.excess, 0):.0%} of the choice of expert, "
        f"the tokens themselves {max(token.excess, 0):.0%}"
    )
    if p_value > SIGNIFICANT:
        verdict = "no"
        answer = f"No: {shares}; shuffled topics explain as much (p = {p_value:.2f})."
    elif token.excess > domain.excess:
        verdict = "partly"
        answer = f"Mostly no: {shares} (that topics do by chance: p = {p_value:.3f})."
    else:
        verdict = "yes"
        answer = f"Yes: {shares} (that topics do by chance: p = {p_value:.3f})."
    return MythCheck(
        name, claim, verdict, answer, domain.measured, domain.chance, domain.low, domain.high,
        p_value, domain.per_layer,
        (
            ("domain_above_chance", domain.excess),
            ("token_above_chance", token.excess),
            ("domain_beyond_tokens", within.excess),
            ("domain_beyond_tokens_p_value", within.p_value),
            ("most_specific_expert_times_uniform", _lift(trace)),
        ),
    )  # fmt: skip


def same_experts_stay_hot(trace: Trace, seed: int = 0, length: int = STRETCH) -> MythCheck:
    """Measure whether the experts that are hot in one stretch of text are so in another.

    Hot are the quarter of the experts with most tokens in a stretch. Their overlap between two
    stretches lies between that of random sets (a quarter) and that of stretches made of shuffled
    tokens, which have the layer's load everywhere.
    """
    name, claim = "same_experts_stay_hot", "The same experts stay hot."
    stretch_N = stretches(trace, length)
    n_stretches = int(stretch_N.max(initial=-1)) + 1
    n_hot = max(round(HOT_SHARE * trace.n_experts), 1)
    if n_stretches < MIN_STRETCHES or n_hot == trace.n_experts:
        return MythCheck(
            name, claim, "cannot tell",
            f"It takes {MIN_STRETCHES} stretches of {length} tokens and two experts.",
        )  # fmt: skip
    rng = np.random.default_rng(check_int("seed", seed, 0))
    overlap_LSS = _hot_overlap(trace, stretch_N, n_hot, rng)
    apart = ~np.eye(n_stretches, dtype=bool)
    per_layer = tuple(float(overlap_SS[apart].mean()) for overlap_SS in overlap_LSS)
    measured = float(np.mean(per_layer))
    low, high = _bootstrap(overlap_LSS.mean(axis=0), rng)
    shuffles = [
        _hot_overlap(trace, rng.permutation(stretch_N), n_hot, rng)[:, apart].mean()
        for _ in range(N_SHUFFLES)
    ]
    same_load, random_sets = float(np.mean(shuffles)), n_hot / trace.n_experts
    found = f"two stretches of text share {measured:.0%} of their hot experts"
    between = (
        f"random ones would share {random_sets:.0%}, a fixed popularity would give {same_load:.0%}"
    )
    if same_load <= random_sets + CLOSE:
        verdict, word = "no", "No, none is hot over the whole text"
    elif low <= random_sets and high >= same_load:
        verdict, word = "cannot tell", "Too little text to tell"
    elif low <= random_sets:
        verdict, word = "no", "No"
    elif high >= same_load:
        verdict, word = "yes", "Yes"
    else:
        verdict, word = "partly", "Partly"
    return MythCheck(
        name, claim, verdict, f"{word}: {found}; {between}.", measured, random_sets, low, high,
        None, per_layer, (("same_load_everywhere", same_load), ("stretches", float(n_stretches))),
    )  # fmt: skip


CHECKS: tuple[Callable[[Trace], MythCheck], ...] = (topic_specialists, same_experts_stay_hot)


def check_myths(trace: Trace) -> list[MythCheck]:
    """Hold every saying against the trace."""
    return [check(trace) for check in CHECKS]


@dataclass(frozen=True)
class _Information:
    """Share of the choice of expert that a label explains: mean over layers, and if shuffled."""

    measured: float
    chance: float
    low: float
    high: float
    p_value: float
    per_layer: tuple[float, ...]

    @property
    def excess(self) -> float:
        """What is not chance."""
        return self.measured - self.chance


def _compared(trace: Trace, told: Callable[[bool], list[float]], n_draws: int) -> _Information:
    """Nats that each layer tells, really and `n_draws` times shuffled, over its load's entropy."""
    loads = [trace.routing(index).load for index in range(trace.n_layers)]
    entropy_L = np.array([max(metrics.load_entropy(load_E), 1e-12) for load_E in loads])
    per_layer = tuple((np.array(told(False)) / entropy_L).tolist())
    measured = float(np.mean(per_layer))
    drawn = np.array([np.mean(told(True) / entropy_L) for _ in range(n_draws)])
    low, high = np.quantile(drawn, [0.025, 0.975])
    reached = (1 + (drawn >= measured - 1e-12).sum()) / (1 + n_draws)
    return _Information(
        measured, float(drawn.mean()), float(low), float(high), float(reached), per_layer
    )


def _domain_information(
    trace: Trace, label_S: np.ndarray, stretch_N: np.ndarray, rng: np.random.Generator
) -> _Information:
    """What experts tell of the domain; domains are shuffled among the stretches."""
    assert trace.domain_N is not None
    tables = [_loads(trace.routing(i), stretch_N, len(label_S)) for i in range(trace.n_layers)]

    def told(shuffled: bool) -> list[float]:
        labels_S = rng.permutation(label_S) if shuffled else label_S
        is_DS = np.arange(len(trace.domains))[:, None] == labels_S
        return [metrics.table_information(is_DS @ load_SE) for load_SE in tables]

    return _compared(trace, told, N_DRAWS)


def _domain_information_within(trace: Trace, rng: np.random.Generator) -> _Information:
    """The same; domains are shuffled among the tokens of one id, which keeps the vocabularies."""
    label_N, ids_N = trace.domain_N, trace.token_ids_N
    assert label_N is not None
    routings = [trace.routing(index) for index in range(trace.n_layers)]
    there_N = np.argsort(ids_N, kind="stable")

    def told(shuffled: bool) -> list[float]:
        labels_N = np.array(label_N)
        if shuffled:
            labels_N[there_N] = label_N[np.lexsort((rng.random(len(ids_N)), ids_N))]
        tables = (_loads(routing, labels_N, len(trace.domains)) for routing in routings)
        return [metrics.table_information(load_DE) for load_DE in tables]

    return _compared(trace, told, N_DRAWS)


def _token_information(trace: Trace, rng: np.random.Generator) -> _Information:
    """What experts tell of the token's id; ids are shuffled, and only their mean is needed."""
    ids_N = trace.token_ids_N

    def told(shuffled: bool) -> list[float]:
        labels_N = rng.permutation(ids_N) if shuffled else ids_N
        layers = range(trace.n_layers)
        return [metrics.label_information(trace.routing(index), labels_N) for index in layers]

    return _compared(trace, told, N_TOKEN_DRAWS)


def _loads(routing: Routing, label_N: np.ndarray, n_labels: int) -> np.ndarray:
    """Assignments of the tokens of each label per expert, (labels, E)."""
    cell_A = label_N[routing.token_A].astype(np.int64) * routing.n_experts + routing.expert_A
    count_C = np.bincount(cell_A, minlength=n_labels * routing.n_experts)
    return np.asarray(count_C.reshape(n_labels, routing.n_experts))


def _lift(trace: Trace) -> float:
    """Share of its domain that the most topic-specific expert takes, over its fair share 1 / E."""
    assert trace.domain_N is not None
    n_domains = len(trace.domains)
    return max(
        float(metrics.specialisation(trace.routing(i), trace.domain_N, n_domains).max())
        * trace.n_experts
        for i in range(trace.n_layers)
    )


def _hot_overlap(
    trace: Trace, stretch_N: np.ndarray, n_hot: int, rng: np.random.Generator
) -> np.ndarray:
    """Share of hot experts that each pair of stretches has in common in each layer, (L, S, S)."""
    tables = []
    for index in range(trace.n_layers):
        load_SE = _loads(trace.routing(index), stretch_N, int(stretch_N.max()) + 1)
        # Ties by lot: going to the lower index, they would make an overlap of their own.
        order_SE = np.argsort(-(load_SE + rng.random(load_SE.shape) / 2), axis=1)
        hot_SE = np.zeros(load_SE.shape)
        np.put_along_axis(hot_SE, order_SE[:, :n_hot], 1, axis=1)
        tables.append(hot_SE @ hot_SE.T / n_hot)
    return np.stack(tables)


def _bootstrap(overlap_SS: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """95 % interval of the mean overlap of different stretches, drawing stretches anew."""
    means = []
    for _ in range(N_DRAWS):
        drawn = rng.integers(0, len(overlap_SS), len(overlap_SS))
        apart = drawn[:, None] != drawn
        if apart.any():
            means.append(overlap_SS[np.ix_(drawn, drawn)][apart].mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
