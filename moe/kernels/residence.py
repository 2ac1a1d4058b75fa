"""A cache of experts replayed: which are there when a token needs them, and how many are read.

A kernel, because what a cache holds at one request hangs on all requests before it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .backend import choose, njit


class Visits(NamedTuple):
    """How the requests of one layer went.

    `hits`: the expert was still there from an earlier use, so nothing was read for it; `early`: it
    had been read ahead, and not used since; `reads`: experts read, ahead or when they were missed.
    """

    hits: int
    early: int
    reads: int


def replay_cache_oracle(
    expert_NK: np.ndarray,
    worth_NK: np.ndarray,
    ahead_NP: np.ndarray,
    slots: int,
    n_experts: int,
    skips: bool,
) -> Visits:
    """Let tokens ask for their experts, one after another, of a cache that begins empty.

    Parameters
    ----------
    expert_NK
        Experts of each token in the order in which it asks for them; -1 asks for nothing.
    worth_NK
        What the expert is worth from this request on, int64: where there is no room, the expert
        worth least goes, of equal ones that with the lower number.
    ahead_NP
        Experts to be brought in before a token asks, int64, -1 for none; the first `slots` of
        them. They are worth 2 n K until they are used: more than an odd 2 a + 1 of each request
        a before, and less than that of each after.
    slots
        Experts that find room, 1 or more.
    n_experts
        E.
    skips
        Whether an expert that was missed is dropped after its use if it is worth no more than
        all that are there; otherwise it always takes the place of one.
    """
    worth: dict[int, int] = {}
    unused: set[int] = set()
    hits = early = reads = 0

    def take(expert: int, value: int, may_skip: bool) -> None:
        if len(worth) == slots:
            least = min(worth, key=lambda other: (worth[other], other))
            if may_skip and value <= worth[least]:
                return
            del worth[least]
            unused.discard(least)
        worth[expert] = value

    for n, experts in enumerate(expert_NK.tolist()):
        for expert in ahead_NP[n, :slots].tolist():
            if expert in worth:
                worth[expert] = 2 * n * expert_NK.shape[1]
            elif expert >= 0:
                reads += 1
                take(expert, 2 * n * expert_NK.shape[1], may_skip=False)
                unused.add(expert)
        for expert, value in zip(experts, worth_NK[n].tolist(), strict=True):
            if expert in worth:
                hits += expert not in unused
                early += expert in unused
                unused.discard(expert)
                worth[expert] = value
            elif expert >= 0:
                reads += 1
                take(expert, value, skips)
    return Visits(hits, early, reads)


@njit
def _replay_cache(expert_NK, worth_NK, ahead_NP, slots, n_experts, skips):
    worth_E = np.zeros(n_experts, np.int64)
    unused_E = np.zeros(n_experts, np.bool_)
    slot_E = np.full(n_experts, -1, np.int64)
    expert_S = np.empty(min(slots, n_experts), np.int64)
    used = hits = early = reads = 0
    n_ahead = min(slots, ahead_NP.shape[1])
    width = expert_NK.shape[1]
    for n in range(expert_NK.shape[0]):
        for turn in range(n_ahead + width):
            ahead = turn < n_ahead
            e = ahead_NP[n, turn] if ahead else np.int64(expert_NK[n, turn - n_ahead])
            if e < 0:
                continue
            value = 2 * n * width if ahead else worth_NK[n, turn - n_ahead]
            if slot_E[e] >= 0:
                worth_E[e] = value
                if not ahead:
                    if unused_E[e]:
                        early += 1
                    else:
                        hits += 1
                    unused_E[e] = False
                continue
            reads += 1
            place = used
            if used < expert_S.size:
                used += 1
            else:
                place = 0
                for s in range(1, used):
                    a, b = expert_S[s], expert_S[place]
                    if worth_E[a] < worth_E[b] or (worth_E[a] == worth_E[b] and a < b):
                        place = s
                least = expert_S[place]
                if skips and not ahead and value <= worth_E[least]:
                    continue
                slot_E[least] = -1
                unused_E[least] = False
            slot_E[e], expert_S[place] = place, e
            worth_E[e], unused_E[e] = value, ahead
    return hits, early, reads


def _replay_cache_fast(
    expert_NK: np.ndarray,
    worth_NK: np.ndarray,
    ahead_NP: np.ndarray,
    slots: int,
    n_experts: int,
    skips: bool,
) -> Visits:
    return Visits(*_replay_cache(expert_NK, worth_NK, ahead_NP, slots, n_experts, skips))


replay_cache = choose(replay_cache_oracle, _replay_cache_fast)
