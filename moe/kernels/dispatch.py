"""Dispatch and combine: sort kept assignments by expert, gather rows, add weighted results."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .backend import choose, njit
from .costs import NUMBER_NS
from .threads import run_items, take_item
from .tile import fetch_line
from .workspace import empty

ROWS = 128
AHEAD = 3  # slots between asking for a row of results and adding it


class Plan(NamedTuple):
    """Where each kept assignment sits once they are sorted by expert; S kept assignments.

    `assignment_S`: which assignment fills slot s; `token_S`: its token;
    `expert_start_E1`: expert e owns slots expert_start[e]..expert_start[e + 1];
    `slot_S`, `token_start_N1`: the slots of token n are slot[token_start[n]..token_start[n + 1]],
    in order of expert, so that sums always run in the same order.
    """

    assignment_S: np.ndarray
    token_S: np.ndarray
    expert_start_E1: np.ndarray
    slot_S: np.ndarray
    token_start_N1: np.ndarray


def dispatch_plan_oracle(
    token_A: np.ndarray, expert_A: np.ndarray, kept_A: np.ndarray, n_tokens: int, n_experts: int
) -> Plan:
    """Sort kept assignments by expert, stable in the order given; see `Plan`."""
    kept = np.flatnonzero(kept_A)
    assignment_S = kept[np.argsort(expert_A[kept], kind="stable")]
    token_S = token_A[assignment_S]
    expert_load = np.bincount(expert_A[assignment_S], minlength=n_experts)
    token_load = np.bincount(token_S, minlength=n_tokens)
    return Plan(
        assignment_S.astype(np.int64),
        token_S.astype(np.int64),
        np.concatenate([[0], np.cumsum(expert_load)]).astype(np.int64),
        np.argsort(token_S, kind="stable").astype(np.int64),
        np.concatenate([[0], np.cumsum(token_load)]).astype(np.int64),
    )


@njit
def _dispatch_plan(token_A, expert_A, kept_A, n_tokens, n_experts):
    expert_start_E1 = np.zeros(n_experts + 1, np.int64)
    token_start_N1 = np.zeros(n_tokens + 1, np.int64)
    for a in range(token_A.size):
        if kept_A[a]:
            expert_start_E1[expert_A[a] + 1] += 1
            token_start_N1[token_A[a] + 1] += 1
    for e in range(n_experts):
        expert_start_E1[e + 1] += expert_start_E1[e]
    for n in range(n_tokens):
        token_start_N1[n + 1] += token_start_N1[n]
    n_slots = expert_start_E1[n_experts]
    assignment_S = np.empty(n_slots, np.int64)
    token_S = np.empty(n_slots, np.int64)
    slot_S = np.empty(n_slots, np.int64)
    next_E = expert_start_E1[:-1].copy()
    for a in range(token_A.size):
        if kept_A[a]:
            s = next_E[expert_A[a]]
            next_E[expert_A[a]] += 1
            assignment_S[s] = a
            token_S[s] = token_A[a]
    next_N = token_start_N1[:-1].copy()
    for s in range(n_slots):
        slot_S[next_N[token_S[s]]] = s
        next_N[token_S[s]] += 1
    return assignment_S, token_S, expert_start_E1, slot_S, token_start_N1


def _dispatch_plan_fast(
    token_A: np.ndarray, expert_A: np.ndarray, kept_A: np.ndarray, n_tokens: int, n_experts: int
) -> Plan:
    return Plan(*_dispatch_plan(token_A, expert_A, kept_A, n_tokens, n_experts))


dispatch_plan = choose(dispatch_plan_oracle, _dispatch_plan_fast)


def combine_oracle(y_SD: np.ndarray, weight_S: np.ndarray, plan: Plan) -> np.ndarray:
    """Sum of the expert results of each token, weighted; (S, D) and (S,) to (N, D)."""
    y_ND = np.zeros((plan.token_start_N1.size - 1, y_SD.shape[1]), y_SD.dtype)
    np.add.at(y_ND, plan.token_S, weight_S[:, None] * y_SD)
    return y_ND


@njit
def _combine(queue, n_items, y_SD, weight_S, slot_S, token_start_N1, y_ND):
    flat, width, line = y_SD.reshape(-1), y_ND.shape[1], 64 // y_SD.itemsize
    item = take_item(queue)
    while item < n_items:
        for n in range(item * ROWS, min((item + 1) * ROWS, y_ND.shape[0])):
            y_ND[n] = 0
            for i in range(token_start_N1[n], token_start_N1[n + 1]):
                # Rows lie far apart, where the hardware sees no pattern to fetch ahead.
                soon = slot_S[min(i + AHEAD, slot_S.size - 1)] * width
                for d in range(0, width, line):
                    fetch_line(flat, soon + d)
                s = slot_S[i]
                weight = weight_S[s]
                for d in range(width):
                    y_ND[n, d] += weight * y_SD[s, d]
        item = take_item(queue)


def _combine_fast(y_SD: np.ndarray, weight_S: np.ndarray, plan: Plan) -> np.ndarray:
    y_ND = empty((plan.token_start_N1.size - 1, y_SD.shape[1]), y_SD.dtype)
    items = -(-y_ND.shape[0] // ROWS)
    work_ns = NUMBER_NS["combine"] * y_SD.size
    run_items(_combine, items, work_ns, y_SD, weight_S, plan.slot_S, plan.token_start_N1, y_ND)
    return y_ND


combine = choose(combine_oracle, _combine_fast)
