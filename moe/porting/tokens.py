"""The named tokens: what each of them tests, and logits that do test it, found by trying."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import kernels
from ..routers.fixed_k import EPS, choices
from ..routers.sparsemixer import SparseMixer
from .gate import Gate, is_clear, marked
from .tiny import POOL, TWINS

N_TOKENS = 64
TRIES = 256  # logits that are drawn for a name; the first that do what the name says are taken
MOST_DRAWS = 1000  # of TRIES each, before a name is given up
GRAIN = 64  # logits are multiples of one over this, so that their sums are exact
EVEN, LOW, HIGH = "even load", "fond of low numbers", "fond of high numbers"
PADDING = "padding: routed, and in no loss"
BROKEN = "NaN in the token: its own result, and nobody else's"
ZEROS = "a token of zeros"
CLAMPED = "what goes into the activation is beyond its limit"
PLAIN = "plain"
FAR_ABOVE = "one expert far above all others"
RENORMALIZED = "weights are divided by their sum"
BIAS_STEERS = "the bias changes the choice and not the weights"
ZERO_WOULD_WIN = "scores below zero with their bias: a mask of zero would win"
GROUPS_BY_TWO = "groups rank by the sum of their two best"
N_EVEN, N_FOND, N_PADDING, N_EACH = POOL, 6, 2, 2
Draw = Callable[[np.random.Generator], np.ndarray]


# What is drawn ------------------------------------------------------------------------------------


def _on_grid(logits_NE: np.ndarray) -> np.ndarray:
    return np.round(GRAIN * logits_NE) / GRAIN


def _plain(rng: np.random.Generator) -> np.ndarray:
    return _on_grid(rng.normal(0, 1.5, (TRIES, POOL)))


def _twins(rng: np.random.Generator) -> np.ndarray:
    """Each token has one pair of equal logits, at experts with equal biases."""
    logits_NE = _plain(rng)
    for pair, (one, other) in enumerate(TWINS):
        logits_NE[pair :: len(TWINS), other] = logits_NE[pair :: len(TWINS), one]
    return logits_NE


def _equal_groups(rng: np.random.Generator) -> np.ndarray:
    logits_NE = _plain(rng)
    for one, other in TWINS:
        logits_NE[:, other] = logits_NE[:, one]
    return logits_NE


def _all_equal(rng: np.random.Generator) -> np.ndarray:
    return np.repeat(_plain(rng)[:, :1], POOL, axis=1)


def _one_far_above(rng: np.random.Generator) -> np.ndarray:
    logits_NE = _plain(rng)
    logits_NE[np.arange(TRIES), rng.integers(POOL, size=TRIES)] += 40
    return logits_NE


def _one_alone(rng: np.random.Generator) -> np.ndarray:
    """One expert far above the others, whose scores are small by any function."""
    return _one_far_above(rng) - 5


def _shifted(by: float) -> Draw:
    return lambda rng: _plain(rng) + by


def _far_below_zero(rng: np.random.Generator) -> np.ndarray:
    return _equal_groups(rng) - rng.integers(30, 90, (TRIES, 1))


def _close_pairs(rng: np.random.Generator) -> np.ndarray:
    """The best expert has a rival at less than a hundredth of its logit."""
    logits_NE = _plain(rng)
    best_N = logits_NE.argmax(axis=1)
    logits_NE[np.arange(TRIES), best_N] += 3
    rival_N = (best_N + 1 + rng.integers(POOL - 1, size=TRIES)) % POOL
    logits_NE[np.arange(TRIES), rival_N] = logits_NE[np.arange(TRIES), best_N] - 1 / GRAIN
    return logits_NE


def _fond(slope: float) -> Draw:
    return lambda rng: _on_grid(0.25 * _plain(rng) + np.linspace(slope, -slope, POOL))


# What a name promises -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A name, and when logits do what it says.

    Attributes
    ----------
    name
        What a token of this name tests, unique.
    draw
        Makes (TRIES, E) logits that may do it.
    holds
        Which of them do, (N,) bool.
    applies
        Whether the gate has what is tested.
    """

    name: str
    draw: Draw
    holds: Callable[[Gate, np.ndarray], np.ndarray]
    applies: Callable[[Gate], bool] = lambda gate: True


def _differ(one_NE: np.ndarray, other_NE: np.ndarray) -> np.ndarray:
    return np.asarray((one_NE != other_NE).any(axis=1))


def _always(gate: Gate, logits_NE: np.ndarray) -> np.ndarray:
    return np.ones(len(logits_NE), bool)


def _both_chosen(gate: Gate, logits_NE: np.ndarray) -> np.ndarray:
    chosen_NE = gate.chosen(logits_NE)
    pairs = [
        (logits_NE[:, one] == logits_NE[:, other]) & chosen_NE[:, one] & chosen_NE[:, other]
        for one, other in TWINS
    ]
    return np.asarray(np.any(pairs, axis=0))


def _lower_chosen(gate: Gate, logits_NE: np.ndarray) -> np.ndarray:
    """One of two equals is chosen, though the other is in reach."""
    chosen_NE, reach_NE = gate.chosen(logits_NE), np.ones(logits_NE.shape, bool)
    if (router := gate.groups) is not None:
        masked = kernels.mask_groups(
            gate.selection(logits_NE), router.n_group, router.topk_group, router.group_score_of
        )
        reach_NE = ~np.isneginf(masked)
    pairs = [
        (logits_NE[:, one] == logits_NE[:, other])
        & (chosen_NE[:, one] & ~chosen_NE[:, other])
        & (reach_NE[:, one] & reach_NE[:, other])
        for one, other in TWINS
    ]
    return np.asarray(np.any(pairs, axis=0))


def _bias_steers(gate: Gate, logits_NE: np.ndarray) -> np.ndarray:
    return _differ(gate.chosen(logits_NE), gate.chosen(logits_NE, steered=False))


def _lifted(gate: Gate, logits_NE: np.ndarray) -> np.ndarray:
    """One that is chosen has a score of a fiftieth of the others'."""
    scores_NE, chosen_NE = gate.scores(logits_NE), gate.chosen(logits_NE)
    least_N = np.where(chosen_NE, scores_NE, np.inf).min(axis=1)
    return np.asarray(least_N < gate.chosen_sum(logits_NE) / 50)


def _zero_would_win(gate: Gate, logits_NE: np.ndarray) -> np.ndarray:
    assert gate.groups is not None
    wrong_NE = gate.misjudging(logits_NE, gate.groups.group_score_of, 0.0)
    return _differ(gate.chosen(logits_NE), wrong_NE)


def _group_rule_counts(gate: Gate, logits_NE: np.ndarray) -> np.ndarray:
    assert gate.groups is not None
    wrong_NE = gate.misjudging(logits_NE, 3 - gate.groups.group_score_of)
    return _differ(gate.chosen(logits_NE), wrong_NE)


def _out_of_reach(gate: Gate, logits_NE: np.ndarray, best: int) -> np.ndarray:
    """Whether one of so many best experts is not chosen."""
    wanted_NE = marked(kernels.topk(gate.selection(logits_NE), best), logits_NE.shape[1])
    return np.asarray((wanted_NE & ~gate.chosen(logits_NE)).any(axis=1))


def _one_group_of_two(gate: Gate, logits_NE: np.ndarray) -> np.ndarray:
    """The last two groups are equal, and only the first of them is in reach."""
    chosen_NE = gate.chosen(logits_NE)
    (first, second), (_, last) = TWINS[0], TWINS[-1]
    inside = chosen_NE[:, first:second].any(axis=1) & ~chosen_NE[:, second : last + 1].any(axis=1)
    # With the second of them raised a little, that one is in reach instead.
    raised_NE = logits_NE.copy()
    raised_NE[:, second : last + 1] += 0.25
    return np.asarray(inside & gate.chosen(raised_NE)[:, second : last + 1].any(axis=1))


def _chooses_identity(gate: Gate, logits_NE: np.ndarray) -> np.ndarray:
    first = POOL - len(gate.router.specials)
    return np.asarray(gate.chosen(logits_NE)[:, first:].any(axis=1))


def _is_scored(gate: Gate, *scores: str) -> bool:
    return gate.fixed is not None and gate.fixed.score in scores


def _renormalizes(gate: Gate) -> bool:
    return gate.fixed is not None and gate.fixed.renormalize


def _best_of(gate: Gate, number: int) -> bool:
    return gate.groups is not None and gate.groups.group_score_of == number


def _addend_shows(gate: Gate, logits_NE: np.ndarray) -> np.ndarray:
    """Whether the sum of scores is that small, and a float32 holds it."""
    assert gate.fixed is not None
    sum_N = gate.chosen_sum(logits_NE)
    return (sum_N > 1e-30) & (sum_N < 1000 * (gate.fixed.norm_eps or EPS))


def _sum_is_off(gate: Gate, logits_NE: np.ndarray) -> np.ndarray:
    return np.abs(gate.chosen_sum(logits_NE) - 1) > 0.25


KINDS = (
    Kind("two equal experts: both chosen", _twins, _both_chosen),
    Kind("two equal experts for the last place: the lower number", _twins, _lower_chosen),
    Kind("all experts equal", _all_equal, _always),
    Kind(FAR_ABOVE, _one_far_above, _always),
    Kind(
        "logits of hundreds: the exponential overflows",
        _shifted(800),
        _always,
        lambda gate: not _is_scored(gate, "sigmoid"),
    ),
    Kind(
        "scores close to zero: what is added to their sum shows",
        _far_below_zero,
        _addend_shows,
        lambda gate: _is_scored(gate, "sigmoid", "sqrt_softplus") and _renormalizes(gate),
    ),
    Kind(
        RENORMALIZED,
        _plain,
        _sum_is_off,
        _renormalizes,
    ),
    Kind(
        "weights are not divided by their sum",
        _plain,
        _sum_is_off,
        lambda gate: gate.fixed is not None and not gate.fixed.renormalize,
    ),
    Kind(
        BIAS_STEERS,
        _plain,
        _bias_steers,
        lambda gate: gate.bias_E is not None,
    ),
    Kind(
        "an expert chosen for its bias alone weighs next to nothing",
        _one_alone,
        lambda gate, logits_NE: _bias_steers(gate, logits_NE) & _lifted(gate, logits_NE),
        lambda gate: gate.bias_E is not None,
    ),
    Kind(
        "the best expert is in a group out of reach",
        _plain,
        lambda gate, logits_NE: _out_of_reach(gate, logits_NE, 1),
        lambda gate: _best_of(gate, 2),
    ),
    Kind(
        "one of the k best is in a group out of reach",
        _plain,
        lambda gate, logits_NE: _out_of_reach(gate, logits_NE, int(gate.router.options()["k"])),
        lambda gate: gate.groups is not None,
    ),
    Kind(
        GROUPS_BY_TWO,
        _plain,
        _group_rule_counts,
        lambda gate: _best_of(gate, 2),
    ),
    Kind(
        "groups rank by their best expert",
        _plain,
        _group_rule_counts,
        lambda gate: _best_of(gate, 1),
    ),
    Kind(
        "two equal groups: the one of lower numbers is in reach",
        _equal_groups,
        _one_group_of_two,
        lambda gate: gate.groups is not None,
    ),
    Kind(
        ZERO_WOULD_WIN,
        _plain,
        _zero_would_win,
        lambda gate: gate.groups is not None and gate.bias_E is not None,
    ),
    Kind(
        "an expert that returns what it gets",
        _plain,
        _chooses_identity,
        lambda gate: bool(gate.router.specials),
    ),
    Kind(
        "two experts of close logits share a weight",
        _close_pairs,
        lambda gate, logits_NE: gate.weights(logits_NE)[:, 0] < 0.6,
        lambda gate: isinstance(gate.router, SparseMixer),
    ),
    Kind(
        "a clear first and a clear second: both weigh one",
        _plain,
        lambda gate, logits_NE: gate.weights(logits_NE).min(axis=1) > 0.999,
        lambda gate: isinstance(gate.router, SparseMixer),
    ),
    Kind(CLAMPED, _plain, _always, lambda gate: gate.clamps),
)


def _found(gate: Gate, kind: Kind, rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """So many logits (E,) that do what a name says, clearly; drawn until they are found.

    Raises
    ------
    ValueError
        If they are not: with some options no token can do it.
    """
    found: list[np.ndarray] = []
    for _ in range(MOST_DRAWS):
        logits_NE = kind.draw(rng)
        logits_NE = logits_NE[kind.holds(gate, logits_NE)]
        if len(logits_NE):
            found += [*logits_NE[is_clear(gate, logits_NE)]]
        if len(found) >= count:
            return found[:count]
    raise ValueError(
        f"options: got {gate.router!r}, allowed is a gate with which a token can test {kind.name!r}"
    )


def _evenly(expert: int, k: int) -> Kind:
    """A token that goes to k neighbours, in a circle, from one on."""
    wanted_E = np.isin(np.arange(POOL), (expert + np.arange(k)) % POOL)

    def draw(rng: np.random.Generator) -> np.ndarray:
        return _on_grid(0.25 * _plain(rng) + np.where(wanted_E, 4.0, -4.0))

    return Kind(EVEN, draw, lambda gate, logits_NE: ~_differ(gate.chosen(logits_NE), wanted_E))


def named_logits(
    gate: Gate, rng: np.random.Generator, at_zero_E: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Names of the tokens, and their logits (N, E); a token of NaN has such logits.

    Parameters
    ----------
    at_zero_E
        Logits of a token of zeros.
    """
    k = choices(gate.route(_plain(rng))).shape[1]
    rows: list[tuple[str, np.ndarray]] = []
    for expert in range(N_EVEN):
        rows += [(EVEN, row) for row in _found(gate, _evenly(expert, k), rng, 1)]
    fond = [Kind(LOW, _fond(3), _always), Kind(HIGH, _fond(-3), _always)]
    counted = [(kind, N_FOND) for kind in fond]
    counted += [(kind, N_EACH) for kind in KINDS if kind.applies(gate)]
    counted += [(Kind(PADDING, _plain, _always), N_PADDING)]
    for kind, count in counted:
        rows += [(kind.name, row) for row in _found(gate, kind, rng, count)]
    rows += [(ZEROS, at_zero_E), (BROKEN, np.full(POOL, np.nan))]
    rest = N_TOKENS - len(rows)
    rows += [(PLAIN, row) for row in _found(gate, Kind(PLAIN, _plain, _always), rng, rest)]
    return _numbered([name for name, _ in rows]), np.stack([row for _, row in rows])


def _numbered(names: list[str]) -> list[str]:
    """Names with a number where there are several of one."""
    seen: dict[str, int] = {}
    numbered = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        count = names.count(name)
        numbered.append(name if count == 1 else f"{name} ({seen[name]} of {count})")
    return numbered
