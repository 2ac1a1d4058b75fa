"""Grouped expert matrix products, forward and backward: each expert sees only its own rows.

Slots are the kept assignments sorted by expert (`dispatch.Plan`). Nothing is computed for an
expert that no token chose. Each item counts the rows it multiplied, so that what a layer says
it executed is what it did execute.
"""

from __future__ import annotations

import numpy as np

from .activations import (
    CODES,
    activate_backward_oracle,
    activate_backward_rows,
    activate_oracle,
    activate_rows,
)
from .backend import choose, njit, run_items, take_item
from .dispatch import Plan

TILE = 256


def experts_forward_oracle(
    x_ND: np.ndarray,
    plan: Plan,
    w_up_EDH: np.ndarray,
    w_down_EFD: np.ndarray,
    activation: str,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Run each chosen expert on its tokens.

    Parameters
    ----------
    x_ND
        Token rows, (N, D).
    plan
        Slots sorted by expert.
    w_up_EDH, w_down_EFD
        Weights of the two products; H = 2F for gated activations, else F.
    activation
        'swiglu', 'gelu' or 'relu'.

    Returns
    -------
    y_SD, h_SH, rows
        Results and first products of each slot, unweighted; expert rows executed.
    """
    n_slots, rows = plan.token_S.size, 0
    y_SD = np.empty((n_slots, x_ND.shape[1]), x_ND.dtype)
    h_SH = np.empty((n_slots, w_up_EDH.shape[2]), x_ND.dtype)
    for e in range(w_up_EDH.shape[0]):
        slots = slice(plan.expert_start_E1[e], plan.expert_start_E1[e + 1])
        if slots.start == slots.stop:
            continue
        h_SH[slots] = x_ND[plan.token_S[slots]] @ w_up_EDH[e]
        y_SD[slots] = activate_oracle(h_SH[slots], activation) @ w_down_EFD[e]
        rows += int(slots.stop - slots.start)
    return y_SD, h_SH, rows


@njit
def gather_rows(x_ND, token_S):
    """Copy of the rows x[token]."""
    out_SD = np.empty((token_S.size, x_ND.shape[1]), x_ND.dtype)
    for s in range(token_S.size):
        out_SD[s] = x_ND[token_S[s]]
    return out_SD


@njit
def _experts_forward(
    queue, n_items, x_ND, token_S, item_I3, w_up_EDH, w_down_EFD, code, h_SH, y_SD, rows_I
):
    item = take_item(queue)
    while item < n_items:
        e, low, high = item_I3[item]
        x_TD = gather_rows(x_ND, token_S[low:high])
        np.dot(x_TD, w_up_EDH[e], h_SH[low:high])
        a_TF = np.empty((high - low, w_down_EFD.shape[1]), x_ND.dtype)
        activate_rows(h_SH[low:high], code, a_TF)
        np.dot(a_TF, w_down_EFD[e], y_SD[low:high])
        rows_I[item] = high - low
        item = take_item(queue)


def _tiles(expert_start_E1: np.ndarray, tile: int) -> np.ndarray:
    """Items (expert, first slot, end slot) of at most `tile` rows, for experts that have any."""
    count_E = np.diff(expert_start_E1)
    tiles_E = -(-count_E // tile)
    expert_I = np.repeat(np.arange(count_E.size), tiles_E)
    within_I = np.arange(expert_I.size) - np.repeat(np.cumsum(tiles_E) - tiles_E, tiles_E)
    low_I = expert_start_E1[expert_I] + within_I * tile
    high_I = np.minimum(low_I + tile, expert_start_E1[expert_I + 1])
    return np.stack([expert_I, low_I, high_I], axis=1).astype(np.int64)


def _experts_forward_fast(
    x_ND: np.ndarray,
    plan: Plan,
    w_up_EDH: np.ndarray,
    w_down_EFD: np.ndarray,
    activation: str,
) -> tuple[np.ndarray, np.ndarray, int]:
    n_slots = plan.token_S.size
    y_SD = np.empty((n_slots, x_ND.shape[1]), x_ND.dtype)
    h_SH = np.empty((n_slots, w_up_EDH.shape[2]), x_ND.dtype)
    item_I3 = _tiles(plan.expert_start_E1, TILE)
    rows_I = np.zeros(len(item_I3), np.int64)
    work = float(n_slots) * (w_up_EDH[0].size + w_down_EFD[0].size)
    run_items(
        _experts_forward, len(item_I3), work, x_ND, plan.token_S, item_I3, w_up_EDH, w_down_EFD,
        CODES[activation], h_SH, y_SD, rows_I,
    )  # fmt: skip
    return y_SD, h_SH, int(rows_I.sum())


experts_forward = choose(experts_forward_oracle, _experts_forward_fast)


def experts_backward_oracle(
    dy_ND: np.ndarray,
    x_ND: np.ndarray,
    h_SH: np.ndarray,
    weight_S: np.ndarray,
    plan: Plan,
    w_up_EDH: np.ndarray,
    w_down_EFD: np.ndarray,
    activation: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Gradients of the weighted sum of expert results.

    The gradient of an assignment's weight is dy . f(x) = (dy W_down^T) . a, so the experts'
    results need not be kept: the product on the left is needed for dh anyway.

    Returns
    -------
    dx_SD, dweight_S, dw_up_EDH, dw_down_EFD, rows
        Gradients per slot and per expert (zero for an expert without tokens), rows executed.
    """
    dx_SD = np.empty((plan.token_S.size, x_ND.shape[1]), x_ND.dtype)
    dweight_S = np.empty(plan.token_S.size, x_ND.dtype)
    dw_up_EDH, dw_down_EFD = np.zeros_like(w_up_EDH), np.zeros_like(w_down_EFD)
    rows = 0
    for e in range(w_up_EDH.shape[0]):
        slots = slice(plan.expert_start_E1[e], plan.expert_start_E1[e + 1])
        if slots.start == slots.stop:
            continue
        x_TD, dy_TD = x_ND[plan.token_S[slots]], dy_ND[plan.token_S[slots]]
        weight_T1 = weight_S[slots, None]
        a_TF = activate_oracle(h_SH[slots], activation)
        da_TF = dy_TD @ w_down_EFD[e].T
        dweight_S[slots] = (da_TF * a_TF).sum(axis=1)
        dw_down_EFD[e] = (weight_T1 * a_TF).T @ dy_TD
        dh_TH = activate_backward_oracle(h_SH[slots], weight_T1 * da_TF, activation)
        dw_up_EDH[e] = x_TD.T @ dh_TH
        dx_SD[slots] = dh_TH @ w_up_EDH[e].T
        rows += int(slots.stop - slots.start)
    return dx_SD, dweight_S, dw_up_EDH, dw_down_EFD, rows


@njit
def _experts_backward(
    queue, n_items, order_I, dy_ND, x_ND, h_SH, weight_S, token_S, expert_start_E1, w_up_EDH,
    w_down_EFD, code, dx_SD, dweight_S, dw_up_EDH, dw_down_EFD, rows_E
):  # fmt: skip
    item = take_item(queue)
    while item < n_items:
        e = order_I[item]
        end = expert_start_E1[e + 1]
        for low in range(expert_start_E1[e], end, TILE):
            high = min(low + TILE, end)
            x_TD = gather_rows(x_ND, token_S[low:high])
            dy_TD = gather_rows(dy_ND, token_S[low:high])
            a_TF = np.empty((high - low, w_down_EFD.shape[1]), x_ND.dtype)
            activate_rows(h_SH[low:high], code, a_TF)
            da_TF = np.dot(dy_TD, w_down_EFD[e].T)
            for t in range(high - low):
                inner = da_TF[t, 0] * 0
                weight = weight_S[low + t]
                for f in range(a_TF.shape[1]):
                    inner += da_TF[t, f] * a_TF[t, f]
                    da_TF[t, f] *= weight
                    a_TF[t, f] *= weight
                dweight_S[low + t] = inner
            dh_TH = np.empty((high - low, h_SH.shape[1]), x_ND.dtype)
            activate_backward_rows(h_SH[low:high], da_TF, code, dh_TH)
            np.dot(dh_TH, w_up_EDH[e].T, dx_SD[low:high])
            if low == expert_start_E1[e]:  # later tiles add in slot order: same bits always
                np.dot(a_TF.T, dy_TD, dw_down_EFD[e])
                np.dot(x_TD.T, dh_TH, dw_up_EDH[e])
            else:
                dw_down_EFD[e] += np.dot(a_TF.T, dy_TD)
                dw_up_EDH[e] += np.dot(x_TD.T, dh_TH)
        rows_E[e] = end - expert_start_E1[e]
        item = take_item(queue)


def _experts_backward_fast(
    dy_ND: np.ndarray,
    x_ND: np.ndarray,
    h_SH: np.ndarray,
    weight_S: np.ndarray,
    plan: Plan,
    w_up_EDH: np.ndarray,
    w_down_EFD: np.ndarray,
    activation: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    n_slots = plan.token_S.size
    dx_SD = np.empty((n_slots, x_ND.shape[1]), x_ND.dtype)
    dweight_S = np.empty(n_slots, x_ND.dtype)
    dw_up_EDH, dw_down_EFD = np.zeros_like(w_up_EDH), np.zeros_like(w_down_EFD)
    count_E = np.diff(plan.expert_start_E1)
    order_I = np.argsort(-count_E, kind="stable")[: int((count_E > 0).sum())]  # longest first
    rows_E = np.zeros(count_E.size, np.int64)
    work = 2.0 * n_slots * (w_up_EDH[0].size + w_down_EFD[0].size)
    run_items(
        _experts_backward, order_I.size, work, order_I, dy_ND, x_ND, h_SH, weight_S, plan.token_S,
        plan.expert_start_E1, w_up_EDH, w_down_EFD, CODES[activation], dx_SD, dweight_S,
        dw_up_EDH, dw_down_EFD, rows_E,
    )  # fmt: skip
    return dx_SD, dweight_S, dw_up_EDH, dw_down_EFD, int(rows_E.sum())


experts_backward = choose(experts_backward_oracle, _experts_backward_fast)
