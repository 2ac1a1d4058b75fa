"""Two sayings about experts, each held against a recorded trace: a measured answer with baselines.

"Experts are topic specialists" and "the same experts stay hot". Text comes in stretches: what a
token chooses resembles its neighbours' choices. So labels are shuffled by stretches, and
confidence is by stretches, as if each were one observation.

How much topics explain is said in words by its share, in `GRADES`. Whether they do is a property of
a model, and of how much of a text it sees: the note beside the answer says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import metrics
from ..contingency import CHUNK, cells_information, tally
from ..errors import check_int
from ..numbers import plural
from ..routing import Routing
from . import Trace
from .chance import strongest_domain

STRETCH = 64  # tokens
N_DRAWS = 199
N_TOKEN_DRAWS, N_SHUFFLES = 19, 19  # where only the mean is needed
CLOSE = 0.1  # of overlaps: no difference worth a word
SIGNIFICANT = 0.05
HOT_SHARE = 0.25  # of the experts count as hot
MIN_STRETCHES = 4
MAX_HOT_CELLS = 1 << 20  # stretches by experts by layers: of more, stretches evenly apart
REPEATED = 0.5  # of the tokens, that occur twice: with fewer, ids tell nothing of themselves
# Least share of the choice of expert, in whole per cents, that topics explain for a verdict.
GRADES = ((0.1, "yes"), (0.01, "a little"), (0.0, "hardly"))
PUBLISHED = (
    "Mixtral's authors found hardly any specialisation by topic (arXiv 2401.04088, section 5), "
    "OLMoE's a clear one for arXiv and GitHub (arXiv 2409.02060, section 5.3), and DeepSeek-V3's "
    "report more of it where load is balanced without a loss (arXiv 2412.19437, section 4.5.3)."
)


@dataclass(frozen=True)
class MythCheck:
    """Answer to one saying.

    Attributes
    ----------
    name, claim
        Short name, and the saying.
    verdict, answer
        'yes', 'partly', 'no' or 'cannot tell', of topics also 'a little' and 'hardly'; and the
        answer in one plain sentence.
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
        What else the answer rests on, by name; without those that cannot be told.
    note
        What belongs beside the answer: of whom it can be true.
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
    note: str = ""

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
    start_G = np.flatnonzero(np.concatenate([[True], ~same]))
    long_G = np.diff(start_G, append=trace.n_tokens)
    number_G = np.maximum(np.rint(long_G / length).astype(np.int64), 1)
    place_N = np.arange(trace.n_tokens) - np.repeat(start_G, long_G)
    within_N = np.minimum(place_N // length, np.repeat(number_G, long_G) - 1)
    return np.asarray(np.repeat(np.cumsum(number_G) - number_G, long_G) + within_N)


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
    figures = {"domain_above_chance": domain.excess}
    no_ids = _ids_tell_nothing(trace)
    if no_ids:
        tokens = f"; what the token itself explains cannot be told, as {no_ids}"
    else:
        within = _domain_information_within(trace, rng)
        token = _token_information(trace, rng)
        figures |= {
            "token_above_chance": token.excess,
            "domain_beyond_tokens": within.excess,
            "domain_beyond_tokens_p_value": within.p_value,
        }
        tokens = f"; the token itself explains {max(token.excess, 0):.0%}"
    figures["most_specific_expert_times_uniform"] = max(
        strongest_domain(trace.routing(i), trace.domain_N)[2] for i in range(trace.n_layers)
    )
    p_value = domain.p_value
    share = round(max(domain.excess, 0.0), 2)
    explain = f"The topic explains {share:.0%} of who gets a token"
    if p_value > SIGNIFICANT:
        verdict = "no"
        answer = f"No. {explain}, and shuffled topics as much{tokens}."
    else:
        verdict = next(word for least, word in GRADES if share >= least)
        answer = f"{verdict.capitalize()}. {explain}{tokens}."
        if not no_ids and within.p_value > SIGNIFICANT:
            answer += " Of one and the same token, the topic explains nothing more."
    return MythCheck(
        name, claim, verdict, answer, domain.measured, domain.chance, domain.low, domain.high,
        p_value, domain.per_layer, tuple(figures.items()),
        f"That shuffled topics explain as much: p = {p_value:.3f}. {_whose(trace)}",
    )  # fmt: skip


def _whose(trace: Trace) -> str:
    """Of whom an answer on topics can be true."""
    published = f"Models differ: {PUBLISHED}"
    if trace.context is None or trace.context >= STRETCH:
        return published
    many = plural(trace.context, "token")
    return (
        f"This model sees {many} at a time, and its router cannot know of a topic what they do not "
        f"show. {published}"
    )


def _ids_tell_nothing(trace: Trace) -> str:
    """Why the token ids cannot explain a choice; empty if they can."""
    if trace.token_ids_N is None:
        return "the trace has no token ids"
    _, id_N, count = np.unique(trace.token_ids_N, return_inverse=True, return_counts=True)
    if (count[id_N] > 1).mean() < REPEATED:
        return "too few tokens occur twice"
    return ""


def same_experts_stay_hot(trace: Trace, seed: int = 0, length: int = STRETCH) -> MythCheck:
    """Measure whether the experts that are hot in one stretch of text are so in another.

    Hot are the quarter of the experts with most tokens in a stretch. Their overlap between two
    stretches lies between that of random sets (a quarter) and that of stretches made of shuffled
    tokens, which have the layer's load everywhere.
    """
    name, claim = "same_experts_stay_hot", "The same experts stay hot."
    stretch_N = stretches(trace, length)
    n_stretches = int(stretch_N.max(initial=-1)) + 1
    most = MAX_HOT_CELLS // max(trace.n_layers * trace.n_experts, N_DRAWS)
    most = max(most, MIN_STRETCHES)
    if n_stretches > most:
        chosen = np.unique(np.linspace(0, n_stretches - 1, most).astype(np.int64))
        number = np.full(n_stretches, -1)
        number[chosen] = np.arange(len(chosen))
        stretch_N, n_stretches = number[stretch_N], len(chosen)
    n_hot = max(round(HOT_SHARE * trace.n_experts), 1)
    if n_stretches < MIN_STRETCHES or n_hot == trace.n_experts:
        return MythCheck(
            name, claim, "cannot tell",
            f"It takes {MIN_STRETCHES} stretches of {length} tokens and two experts.",
        )  # fmt: skip
    rng = np.random.default_rng(check_int("seed", seed, 0))
    # Stretch numbers of the same sizes, all in one or one at random for each bootstrap.
    once_S = np.ones((1, n_stretches))
    drawn_RS = np.stack(
        [
            np.bincount(rng.integers(0, n_stretches, n_stretches), minlength=n_stretches)
            for _ in range(N_DRAWS)
        ]
    )
    overlap_LR = _hot_overlap(trace, stretch_N, n_hot, rng, np.concatenate([once_S, drawn_RS]))
    per_layer = tuple(overlap_LR[:, 0].tolist())
    measured = float(np.mean(per_layer))
    low, high = np.nanquantile(overlap_LR[:, 1:].mean(axis=0), [0.025, 0.975]).tolist()
    shuffles = [
        _hot_overlap(trace, rng.permutation(stretch_N), n_hot, rng, once_S).mean()
        for _ in range(N_SHUFFLES)
    ]
    same_load, random_sets = float(np.mean(shuffles)), n_hot / trace.n_experts
    shared = f"two passages share {measured:.0%} of their busiest experts"
    chance = f"chance alone gives {random_sets:.0%}"
    rest = f"; {chance}, and a popularity that never changes would give {same_load:.0%}"
    if same_load <= random_sets + CLOSE:
        verdict, word = "no", "No. No expert is busy all the time"
        rest = f", and {chance}"
    elif low <= random_sets and high >= same_load:
        verdict, word = "cannot tell", "Too little text to tell"
    elif low <= random_sets:
        verdict, word = "no", "No"
    elif high >= same_load:
        verdict, word = "yes", "Yes"
    else:
        verdict, word = "partly", "Partly"
    return MythCheck(
        name, claim, verdict, f"{word}: {shared}{rest}.", measured, random_sets, low, high,
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


Information = Callable[[int], np.ndarray]  # nats of each layer in R shuffles of labels, (L, R)


def _compared(trace: Trace, nats: Information, n_draws: int) -> _Information:
    """Information of each layer as recorded and in `n_draws` shuffles, over its load's entropy."""
    loads = [trace.routing(index).load for index in range(trace.n_layers)]
    entropy_L = np.array([max(metrics.load_entropy(load_E), 1e-12) for load_E in loads])
    per_layer = tuple((nats(0)[:, 0] / entropy_L).tolist())
    measured = float(np.mean(per_layer))
    drawn = (nats(n_draws) / entropy_L[:, None]).mean(axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    reached = (1 + (drawn >= measured - 1e-12).sum()) / (1 + n_draws)
    return _Information(
        measured, float(drawn.mean()), float(low), float(high), float(reached), per_layer
    )


def _shuffled(label_S: np.ndarray, n_shuffles: int, rng: np.random.Generator) -> np.ndarray:
    """R shuffles of the labels, (R, S); for none, the labels as they are, (1, S)."""
    labels_RS = np.tile(label_S, (max(n_shuffles, 1), 1))
    return rng.permuted(labels_RS, axis=1) if n_shuffles else labels_RS


def _by_token(trace: Trace, label_N: np.ndarray, shuffled: Callable[[], np.ndarray]) -> Information:
    """What each layer tells of the labels of tokens; every layer of the same shuffles."""
    routings = [trace.routing(index) for index in range(trace.n_layers)]

    def nats(n_shuffles: int) -> np.ndarray:
        columns = []
        for _ in range(max(n_shuffles, 1)):
            labels_N = shuffled() if n_shuffles else label_N
            columns.append([
                cells_information(labels_N[None, routing.token_A], routing.expert_A)[0]
                for routing in routings
            ])  # fmt: skip
        return np.array(columns).T

    return nats


def _domain_information(
    trace: Trace, label_S: np.ndarray, stretch_N: np.ndarray, rng: np.random.Generator
) -> _Information:
    """What experts tell of the domain; domains are shuffled among the stretches."""
    tables = [_cells(trace.routing(i), stretch_N) for i in range(trace.n_layers)]

    step = max(CHUNK // max(len(label_S), *(len(count_C) for *_, count_C in tables)), 1)

    def nats(n_shuffles: int) -> np.ndarray:
        parts = []
        for low in range(0, max(n_shuffles, 1), step):
            labels_RS = _shuffled(label_S, min(step, n_shuffles - low), rng)
            parts.append([
                cells_information(labels_RS[:, stretch_C], expert_C, count_C)
                for stretch_C, expert_C, count_C in tables
            ])  # fmt: skip
        return np.concatenate(parts, axis=1)

    return _compared(trace, nats, N_DRAWS)


def _domain_information_within(trace: Trace, rng: np.random.Generator) -> _Information:
    """The same; domains are shuffled among the tokens of one id, which keeps the vocabularies."""
    label_N, ids_N = trace.domain_N, trace.token_ids_N
    assert label_N is not None and ids_N is not None
    there_N = np.argsort(ids_N, kind="stable")

    def shuffled() -> np.ndarray:
        labels_N = np.array(label_N)
        labels_N[there_N] = label_N[np.lexsort((rng.random(len(ids_N)), ids_N))]
        return labels_N

    return _compared(trace, _by_token(trace, label_N, shuffled), N_DRAWS)


def _token_information(trace: Trace, rng: np.random.Generator) -> _Information:
    """What experts tell of the token's id; ids are shuffled, and only their mean is needed."""
    assert trace.token_ids_N is not None
    id_N = np.unique(trace.token_ids_N, return_inverse=True)[1]
    nats = _by_token(trace, id_N, lambda: rng.permutation(id_N))
    return _compared(trace, nats, N_TOKEN_DRAWS)


def _cells(routing: Routing, label_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label, expert and number of assignments, where there are some; labels below 0 left out."""
    label_A = label_N[routing.token_A].astype(np.int64)
    listed_A = label_A >= 0
    key_A = label_A[listed_A] * routing.n_experts + routing.expert_A[listed_A]
    cell_C, count_C = tally(key_A, (int(label_A.max(initial=-1)) + 1) * routing.n_experts)
    return cell_C // routing.n_experts, cell_C % routing.n_experts, count_C


def _hot_overlap(
    trace: Trace,
    stretch_N: np.ndarray,
    n_hot: int,
    rng: np.random.Generator,
    times_RS: np.ndarray,
) -> np.ndarray:
    """Mean share of hot experts that two stretches have in common in each layer, (L, R).

    Parameters
    ----------
    stretch_N
        Stretch of each token; -1 is none.
    times_RS
        How often each stretch is drawn. Pairs of one stretch with itself do not count; NaN if there
        are no others.
    """
    n_stretches = times_RS.shape[1]
    n_pairs_R = n_stretches**2 - (times_RS**2).sum(axis=1)
    overlap_LR = np.zeros((trace.n_layers, len(times_RS)))
    for index, shared_R in enumerate(overlap_LR):
        # Ties by lot: if they went to the lower index, ties alone would make experts overlap.
        load_SE = rng.random((n_stretches, trace.n_experts)) / 2
        stretch_C, expert_C, count_C = _cells(trace.routing(index), stretch_N)
        load_SE[stretch_C, expert_C] += count_C
        hot_SE = np.zeros(load_SE.shape)
        np.put_along_axis(hot_SE, np.argpartition(-load_SE, n_hot - 1)[:, :n_hot], 1, axis=1)
        # All pairs of stretches, less each with itself.
        all_R = ((times_RS @ hot_SE) ** 2).sum(axis=1)
        shared_R[:] = all_R / n_hot - (times_RS**2).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(overlap_LR / n_pairs_R)
