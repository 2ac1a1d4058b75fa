"""Popularity and locality as a law of three numbers, and how they are fitted.

**Spread** s: the log-odds with which a token chooses an expert are normal over the experts, with
standard deviation s, and shifted so that a token has k. 0 is even. **Concentration** c: within a
document an expert's chance varies around that, as Beta(c p, c (1 - p)); large is not at all.
**Stickiness** r: a token takes its neighbour's experts instead of its own with chance r.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import check_float, check_int
from ..traces.trace import MAX_EXPERTS

MOST_SPREAD = 8.0
MOST_CONCENTRATION = 1e9  # beyond, differences of logarithms lose all digits; 1e6 is not at all
NEVER = 1e-12  # the least chance of an expert: Beta needs one above 0
MOST_TOKENS = 2**53  # whole numbers that floats tell apart
UNKNOWN = "traffic: got none of which it is known what two tokens or more read, allowed is some"


def chosen_by_law(n_experts: int, k: int, spread: float) -> np.ndarray:
    """Chance that a token chooses each expert, descending, (E,); they add up to k.

    Examples
    --------
    >>> chosen_by_law(4, 2, 0.0).tolist()
    [0.5, 0.5, 0.5, 0.5]
    >>> chosen_by_law(4, 1, 1.0).round(2).tolist()
    [0.47, 0.28, 0.17, 0.08]
    """
    from scipy.optimize import brentq
    from scipy.special import expit, ndtri

    check_int("n_experts", n_experts, 1, MAX_EXPERTS)
    check_int("k", k, 1, n_experts, f"n_experts is {n_experts}")
    check_float("spread", spread, 0.0, MOST_SPREAD)
    if k == n_experts:
        return np.ones(n_experts)
    score_E = spread * ndtri((np.arange(n_experts, 0, -1) - 0.5) / n_experts)
    if spread == 0:
        return np.full(n_experts, k / n_experts)
    reach = np.abs(score_E).max() + 50.0
    shift = brentq(lambda a: expit(a + score_E).sum() - k, -reach, reach, xtol=1e-12)
    return np.asarray(expit(shift + score_E))


def reads_at_random(chosen_RE: np.ndarray, sizes: Sequence[int] | np.ndarray) -> np.ndarray:
    """Experts that N independent tokens read, expected: sum of 1 - (1 - p)^N, (R, sizes).

    Parameters
    ----------
    chosen_RE
        Chance that a token chooses each expert, a row for each layer, say.
    sizes
        The numbers N.

    Raises
    ------
    ValueError
        If one of them is not allowed.
    """
    left_RE = np.clip(1.0 - np.asarray(chosen_RE), 0.0, 1.0)
    return np.stack([(1 - left_RE**n).sum(axis=1) for n in _checked(sizes, 0)], axis=1)


@dataclass(frozen=True)
class Locality:
    """How far neighbours in a document choose alike.

    Attributes
    ----------
    stickiness
        r, the chance of taking the neighbour's experts.
    concentration
        c, how closely documents keep to the popularity.
    """

    stickiness: float
    concentration: float

    def __post_init__(self) -> None:
        check_float("stickiness", self.stickiness, 0.0, 1.0)
        check_float("concentration", self.concentration, 0.0, MOST_CONCENTRATION, open_low=True)


def reads_in_a_row(
    chosen_RE: np.ndarray, locality: Locality, sizes: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Experts that N consecutive tokens of a document read, expected, (R, sizes).

    N tokens are 1 + (N - 1)(1 - r) draws of their own; that none of m draws is expert e has the
    chance B(c p, c (1 - p) + m) / B(c p, c (1 - p)).

    Raises
    ------
    ValueError
        If a number N is not allowed: no token reads nothing, whatever the law.
    """
    from scipy.special import betaln

    chance_RE = np.clip(np.asarray(chosen_RE, float), NEVER, 1 - NEVER)
    for_RE = locality.concentration * chance_RE
    against_RE = locality.concentration * (1 - chance_RE)
    whole_RE = betaln(for_RE, against_RE)
    columns = []
    for n in _checked(sizes, 1):
        draws = 1 + (n - 1) * (1 - locality.stickiness)
        columns.append((1 - np.exp(betaln(for_RE, against_RE + draws) - whole_RE)).sum(axis=1))
    return np.stack(columns, axis=1)


def _checked(sizes: Sequence[int] | np.ndarray, low: int) -> list[int]:
    return [check_int("n_tokens", n, low, MOST_TOKENS) for n in np.asarray(sizes).tolist()]


def fit_spread(n_experts: int, k: int, sizes: np.ndarray, read_GS: np.ndarray) -> float:
    """The spread whose law reads as many experts as was measured: least squares of logarithms.

    Parameters
    ----------
    sizes
        Numbers of independent tokens, (S,).
    read_GS
        Experts that they read, a row for each task or domain, (G, S); NaN is unknown.

    Raises
    ------
    ValueError
        If nothing is known of more than one token, or a token has every expert: all are then read,
        whatever the spread.
    """
    from scipy.optimize import minimize_scalar

    if k == n_experts:
        raise ValueError(
            f"k: got all {k} experts, allowed are fewer, since no spread follows of all"
        )

    used_S = np.asarray(sizes) > 1  # one token reads k
    if not np.isfinite(np.asarray(read_GS)[:, used_S]).any():
        raise ValueError(UNKNOWN)

    def miss(spread: float) -> float:
        law_S = reads_at_random(chosen_by_law(n_experts, k, spread)[None], sizes)[0]
        return float(np.nansum(np.log(law_S / read_GS)[:, used_S] ** 2))

    found = minimize_scalar(miss, bounds=(0.0, MOST_SPREAD), method="bounded")
    return float(found.x)


def fit_locality(
    chosen_GRE: Sequence[np.ndarray], sizes: np.ndarray, read_GS: np.ndarray
) -> Locality:
    """The locality that reads as many experts in a row as was measured, by least squares.

    Parameters
    ----------
    chosen_GRE
        The popularity of each task: a row for each layer.
    sizes, read_GS
        As in `fit_spread`, of consecutive tokens.

    Raises
    ------
    ValueError
        If nothing is known of more than one token.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    used_S = np.asarray(sizes) > 1
    pairs = [
        (chosen_RE, np.asarray(sizes)[known_S], read_S[known_S])
        for chosen_RE, read_S in zip(chosen_GRE, read_GS, strict=True)
        if (known_S := used_S & np.isfinite(read_S)).any()
    ]
    if not pairs:
        raise ValueError(UNKNOWN)

    def locality(at: np.ndarray) -> Locality:
        return Locality(float(expit(at[0])), float(np.exp(np.clip(at[1], -20, 20))))

    def miss(at: np.ndarray) -> float:
        made = locality(at)
        return sum(
            float((np.log(reads_in_a_row(chosen_RE, made, of).mean(axis=0) / read_S) ** 2).sum())
            for chosen_RE, of, read_S in pairs
        )

    found = minimize(miss, np.array([-2.0, 4.0]), method="Nelder-Mead", options={"xatol": 1e-3})
    return locality(found.x)
