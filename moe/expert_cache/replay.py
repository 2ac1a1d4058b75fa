"""A trace replayed: each task's second half under each policy, its first half being the past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import kernels
from ..errors import check_choice, check_int
from ..traces import Trace
from . import POLICIES
from .base import Past, Policy, Requests

MOST_SIZES = 64  # in one call
MOST_EXPERTS = 4096  # of a layer: pairs of them are counted
MOST_OTHERS = (
    8  # tasks whose pasts are tried on another: of a thousand texts all pairs take for ever
)
ALL = "all"  # the task of a trace without domains
LEAST_TOKENS = 2  # of a task: a past, and something after it


@dataclass(frozen=True, eq=False)
class CacheResult:
    """How one policy did with one size of cache, by task and layer.

    A cache belongs to a layer, begins empty at a task's second half, and is asked for a token's
    experts one after another, best first. Where several other tasks' pasts were tried, up to
    `MOST_OTHERS`, all of them are counted.

    Attributes
    ----------
    policy, slots, n_experts
        Registry name; experts of a layer that find room, and those that there are.
    layers, tasks
        Numbers of the layers, and names of the tasks.
    tokens_T
        Tokens replayed of each task.
    requests_TL, hits_TL, early_TL, reads_TL
        Experts asked for; those that were there from an earlier use; those that had been read
        ahead; and experts read, ahead or when they were missed.
    """

    policy: str
    slots: int
    n_experts: int
    layers: tuple[int, ...]
    tasks: tuple[str, ...]
    tokens_T: np.ndarray
    requests_TL: np.ndarray
    hits_TL: np.ndarray
    early_TL: np.ndarray
    reads_TL: np.ndarray

    @property
    def hit_rate(self) -> float:
        """Share of requests for which nothing had to be read, over tasks and layers."""
        return _share(self.hits_TL.sum(), self.requests_TL.sum())

    @property
    def ready_rate(self) -> float:
        """Share of requests whose expert was there, read ahead or not: nobody waited."""
        return _share((self.hits_TL + self.early_TL).sum(), self.requests_TL.sum())

    @property
    def hit_rate_L(self) -> np.ndarray:
        """`hit_rate` of each layer, (L,)."""
        return _shares(self.hits_TL.sum(axis=0), self.requests_TL.sum(axis=0))

    @property
    def hit_rate_T(self) -> np.ndarray:
        """`hit_rate` of each task, (T,)."""
        return _shares(self.hits_TL.sum(axis=1), self.requests_TL.sum(axis=1))

    @property
    def reads_per_token(self) -> float:
        """Experts that a token's way through all layers reads, ahead or when they are missed."""
        return _share(self.reads_TL.sum(), self.tokens_T.sum())

    @property
    def waits_per_token(self) -> float:
        """Experts that a token has to wait for."""
        missed = self.requests_TL - self.hits_TL - self.early_TL
        return _share(missed.sum(), self.tokens_T.sum())

    def per_layer(self) -> tuple[float, float]:
        """Experts that a token reads, and those that it waits for, in a layer on average."""
        n_layers = len(self.layers)
        return self.reads_per_token / n_layers, self.waits_per_token / n_layers

    def as_json(self) -> dict[str, Any]:
        """Return rates in all, per layer and per task, and counts per token."""
        return {
            "policy": self.policy,
            "slots": self.slots,
            "hit_rate": self.hit_rate,
            "ready_rate": self.ready_rate,
            "reads_per_token": self.reads_per_token,
            "waits_per_token": self.waits_per_token,
            "hit_rate_by_layer": dict(
                zip(map(str, self.layers), self.hit_rate_L.tolist(), strict=True)
            ),
            "hit_rate_by_task": dict(zip(self.tasks, self.hit_rate_T.tolist(), strict=True)),
        }


def _share(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else 0.0


def _shares(part_X: np.ndarray, whole_X: np.ndarray) -> np.ndarray:
    return np.divide(part_X, whole_X, out=np.zeros(len(whole_X)), where=whole_X > 0)


def replay(
    trace: Trace, slots: Sequence[int], policies: Sequence[str] = ()
) -> Iterator[CacheResult]:
    """Replay a trace with each size of cache under each policy, sizes outermost.

    Each domain is a task; a trace without domains is one. Of each the first half of the tokens is
    the past, and the second half is replayed.

    Parameters
    ----------
    slots
        Experts of a layer that find room, each in 1..E.
    policies
        Names from `POLICIES`; by default all that the trace allows, in that order.

    Raises
    ------
    ValueError
        If a name or a size is not allowed, no task has two tokens, or a policy needs another
        task's past and there is none.
    """
    check_int("experts of the trace", trace.n_experts, 1, MOST_EXPERTS)
    for size in slots:
        check_int("slots", size, 1, trace.n_experts, f"there are {trace.n_experts} experts")
    check_int("number of sizes of cache", len(slots), 1, MOST_SIZES)
    for name in policies:
        check_choice("policy", name, POLICIES)
    tasks = tasks_of(trace)
    chosen = policies or [name for name in POLICIES if len(tasks) > 1 or not _needs_other(name)]
    lonely = [name for name in chosen if _needs_other(name) and len(tasks) == 1]
    if lonely:
        raise ValueError(
            f"policy: got {lonely[0]}, allowed for a trace of one task are those that need no "
            "other task's past"
        )
    return _replayed(trace, slots, chosen, tasks)


def usual_slots(n_experts: int) -> tuple[int, ...]:
    """An eighth, a quarter and half of the experts: sizes of a cache that are worth a look."""
    return tuple(sorted({max(1, n_experts // part) for part in (8, 4, 2)}))


def _needs_other(name: str) -> bool:
    return POLICIES[name].past == "other"


def tasks_of(trace: Trace) -> dict[str, np.ndarray]:
    """Places of the tokens of each task that has a past and a rest, by its name.

    Raises
    ------
    ValueError
        If there is no such task.
    """
    if trace.domain_N is None:
        places = {ALL: np.arange(trace.n_tokens)}
    else:
        places = {name: np.flatnonzero(trace.domain_N == d) for d, name in enumerate(trace.domains)}
    tasks = {name: at_n for name, at_n in places.items() if len(at_n) >= LEAST_TOKENS}
    if not tasks:
        raise ValueError(
            f"trace: got {trace.n_tokens} tokens, allowed is at least one task of {LEAST_TOKENS}"
        )
    return tasks


def _replayed(
    trace: Trace, slots: Sequence[int], chosen: Sequence[str], tasks: dict[str, np.ndarray]
) -> Iterator[CacheResult]:
    pasts = {
        name: [_past(trace, layer, at_n[: len(at_n) // 2]) for layer in range(trace.n_layers)]
        for name, at_n in tasks.items()
    }
    later = {name: at_n[len(at_n) // 2 :] for name, at_n in tasks.items()}
    # A policy's plan does not know the size of the cache, so all sizes share it.
    counted = {name: _counts(trace, POLICIES[name](), slots, pasts, later) for name in chosen}
    for i, size in enumerate(slots):
        for name in chosen:
            tokens_T, requests_TL, visits_STL3 = counted[name]
            yield CacheResult(
                name, size, trace.n_experts, trace.layers, tuple(tasks), tokens_T, requests_TL,
                *np.moveaxis(visits_STL3[i], -1, 0),
            )  # fmt: skip


def _counts(
    trace: Trace,
    policy: Policy,
    slots: Sequence[int],
    pasts: dict[str, list[Past]],
    later: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens (T,), requests (T, L), and visits (sizes, T, L, 3) of a policy."""
    tokens_T = np.zeros(len(later), np.int64)
    requests_TL = np.zeros((len(later), trace.n_layers), np.int64)
    visits_STL3 = np.zeros((len(slots), *requests_TL.shape, 3), np.int64)
    for t, (task, at_n) in enumerate(later.items()):
        known: dict[str, list[list[Past | None]]] = {
            "": [[None] * trace.n_layers],
            "own": [[*pasts[task]]],
            "other": [[*pasts[name]] for name in _others(tuple(pasts), t)],
        }
        for past_L in known[policy.past]:
            tokens_T[t] += len(at_n)
            for layer in range(trace.n_layers):
                requests = _requests(trace, layer, at_n, past_L[layer])
                requests_TL[t, layer] += int((requests.expert_NK >= 0).sum())
                plan = policy.plan(requests)
                for i, size in enumerate(slots):
                    visits_STL3[i, t, layer] += kernels.replay_cache(
                        requests.expert_NK, *plan, size, trace.n_experts, policy.skips
                    )
    return tokens_T, requests_TL, visits_STL3


def _others(tasks: Sequence[str], at: int) -> Sequence[str]:
    """The tasks that come after one, in a circle: those whose pasts are tried on it."""
    return (*tasks[at + 1 :], *tasks[:at])[:MOST_OTHERS]


def _requests(trace: Trace, layer: int, at_n: np.ndarray, past: Past | None) -> Requests:
    below_NK = trace.expert_LNK[layer - 1, at_n] if layer else None
    return Requests(trace.expert_LNK[layer, at_n], below_NK, trace.n_experts, trace.k, past)


def _past(trace: Trace, layer: int, at_n: np.ndarray) -> Past:
    requests = _requests(trace, layer, at_n, None)
    return Past(requests.expert_NK, requests.below_NK, trace.n_experts)
