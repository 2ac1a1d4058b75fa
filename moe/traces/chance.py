"""What a layer's specialisation would be by chance: the same choices, dealt to other tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import metrics
from ..contingency import CHUNK, cells_information, tally
from ..routing import Routing

N_SHUFFLES = 20


@dataclass(frozen=True)
class ByChance:
    """Means over shuffles; None where a figure is not defined.

    Attributes
    ----------
    information
        `metrics.label_information` of the domains, in nats.
    strongest
        What `strongest_domain` gives.
    vocabulary
        Mean share of a token id's favourite expert.
    """

    information: float | None
    strongest: float | None
    vocabulary: float | None


def by_chance(
    routing: Routing,
    domain_N: np.ndarray | None,
    ids_N: np.ndarray | None,
    min_count: int,
    rng: np.random.Generator,
) -> ByChance:
    """Deal the labels of the tokens that have experts anew among them, `N_SHUFFLES` times.

    Loads stay, and so does how many experts and which expert first each place has; what it
    depends on is gone.

    Parameters
    ----------
    domain_N, ids_N
        Domain and id of each token, or None.
    min_count
        Of an id, to count in the vocabulary.
    """
    count_N = np.bincount(routing.token_A, minlength=routing.n_tokens)
    at_M = np.flatnonzero(count_N)
    often_M = np.zeros(0, np.int64)
    if ids_N is not None and len(at_M):
        _, often_M, count = np.unique(ids_N[at_M], return_inverse=True, return_counts=True)
        often = count >= min_count
        row = np.where(often, np.cumsum(often) - 1, -1)
        often_M = row[often_M] if often.any() else np.zeros(0, np.int64)
    if not len(at_M) or (domain_N is None and not len(often_M)):
        return ByChance(None, None, None)
    place_N = np.cumsum(count_N > 0) - 1
    place_A = place_N[routing.token_A]
    first_M = metrics.first_choices(routing)[at_M]
    chunks: list[tuple[np.ndarray, ...]] = []
    step = max(CHUNK // len(routing.token_A), 1)
    for low in range(0, N_SHUFFLES, step):
        n_tables = min(step, N_SHUFFLES - low)
        order_RM = rng.permuted(np.tile(np.arange(len(at_M)), (n_tables, 1)), axis=1)
        figures = [np.zeros(0)] * 3
        if domain_N is not None:
            label_RA = domain_N[at_M][order_RM][:, place_A]
            figures[0] = cells_information(label_RA, routing.expert_A)
            figures[1] = np.array([_strongest(row_A, routing)[2] for row_A in label_RA])
        if len(often_M):
            figures[2] = _favourites(often_M[order_RM], first_M, routing.n_experts)
        chunks.append(tuple(figures))
    return ByChance(*(mean_or_none(np.concatenate(part)) for part in zip(*chunks, strict=True)))


def mean_or_none(values: np.ndarray) -> float | None:
    """Mean of some values; None of none."""
    return float(values.mean()) if len(values) else None


def strongest_domain(routing: Routing, domain_N: np.ndarray) -> tuple[int, int, float]:
    """Domain and expert of the highest share of a domain's assignments, and that share times E."""
    return _strongest(np.asarray(domain_N)[routing.token_A], routing)


def _strongest(label_A: np.ndarray, routing: Routing) -> tuple[int, int, float]:
    if not len(label_A):
        return 0, 0, 0.0
    n_experts = routing.n_experts
    label_A = label_A.astype(np.int64)
    key_A = label_A * n_experts + routing.expert_A
    cell, count = tally(key_A, (int(label_A.max()) + 1) * n_experts)
    share = count / np.bincount(label_A)[cell // n_experts]
    best = int(share.argmax())
    label, expert = divmod(int(cell[best]), n_experts)
    return label, expert, float(share[best]) * n_experts


def _favourites(row_RM: np.ndarray, first_M: np.ndarray, n_experts: int) -> np.ndarray:
    """Mean over rows of the share of their favourite first choice, for each deal, (R,)."""
    n_rows = int(row_RM.max()) + 1
    deal, at = np.nonzero(row_RM >= 0)
    row = deal * n_rows + row_RM[deal, at]
    cell, count = tally(row * n_experts + first_M[at], len(row_RM) * n_rows * n_experts)
    most = np.maximum.reduceat(count, np.flatnonzero(np.diff(cell // n_experts, prepend=-1)))
    return np.asarray((most / np.bincount(row)).reshape(-1, n_rows).mean(axis=1))
