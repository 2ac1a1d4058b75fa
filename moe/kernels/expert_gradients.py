"""Gradients of the experts' matrix products; shapes and names as in `experts.py`.

A thread takes items of two kinds: some slots of one expert, which give the gradients at x, at the
weights and at the first product h; or some columns of a weight gradient, which sums over all slots
of an expert and so waits for them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .activation_text import parse
from .activations import activate_backward, activate_backward_oracle, activate_oracle
from .backend import choose, inner, njit
from .blocks import STRETCH, multiply, scratch, transpose
from .costs import PRODUCT_NS
from .dispatch import Plan
from .environment import CHECK
from .experts import BLOCK
from .flat import Block, Matrix, Rows
from .items import DOWN, TALL, TILE, backward_queue
from .memory import room, spaced
from .threads import add_to, num_threads, peek, run_items, take_item
from .workspace import empty

PATIENCE = 1 << 31  # looks at a flag before a thread that waits for another gives up, if checked


def experts_backward_oracle(
    dy_ND: np.ndarray,
    x_ND: np.ndarray,
    h_SH: np.ndarray,
    weight_S: np.ndarray,
    plan: Plan,
    w_up_EDH: np.ndarray,
    w_down_EFD: np.ndarray,
    activation: str,
    db_up_EH: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of the weighted sum of expert results.

    The gradient of an assignment's weight is dy . f(x) = (dy W_down^T) . a, so the experts'
    results need not be kept: the product on the left is needed for dh anyway. Gradients of the
    first products' biases are added to `db_up_EH`, if that is given.

    Returns
    -------
    dx_SD, dweight_S, dw_up_EDH, dw_down_EFD
        Gradients per slot and per expert; zero for an expert without tokens.
    """
    dx_SD = np.empty((plan.token_S.size, x_ND.shape[1]), x_ND.dtype)
    dweight_S = np.empty(plan.token_S.size, x_ND.dtype)
    dw_up_EDH, dw_down_EFD = np.zeros_like(w_up_EDH), np.zeros_like(w_down_EFD)
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
        if db_up_EH is not None:
            db_up_EH[e] += dh_TH.sum(axis=0)
        dx_SD[slots] = dh_TH @ w_up_EDH[e].T
    return dx_SD, dweight_S, dw_up_EDH, dw_down_EFD


class _Backward(NamedTuple):
    """What the backward pass of the experts reads and writes, flat; see `experts_backward`.

    `wa` is the weighted result of the activation, (S, F): the left factor of `ddown`.
    """

    x: np.ndarray
    dy: np.ndarray
    h: np.ndarray
    weight_S: np.ndarray
    token_S: np.ndarray
    expert_start_E1: np.ndarray
    up: np.ndarray
    down: np.ndarray
    dx: np.ndarray
    dweight_S: np.ndarray
    dh: np.ndarray
    wa: np.ndarray
    dup: np.ndarray
    ddown: np.ndarray


@inner
def _gather(x, token_S, low, high, n_model, left, width, out, out_row):
    """Copy columns left..left+width of the rows x[token] into rows of `out`."""
    for s in range(low, high):
        source = x[token_S[s] * n_model + left : token_S[s] * n_model + left + width]
        target = out[(s - low) * out_row : (s - low) * out_row + width]
        for j in range(width):
            target[j] = source[j]


@inner
def _slot_gradients(p, e, start, end, form, shape, memory, da, row_at, h_at):
    """Gradients at x, at the weights and at h of slots start..end of expert e.

    As in the forward pass, block by block of the hidden columns.
    """
    n_model, n_first, n_hidden = shape
    block, halves, rows = min(BLOCK, n_hidden), n_first // n_hidden, end - start
    for i in range(rows):
        row_at[i] = p.token_S[start + i] * n_model
    p.dweight_S[start:end] = 0
    for f in range(0, n_hidden, block):
        n = min(block, n_hidden - f)
        up_at, down_at = e * n_model * n_first + f, (e * n_hidden + f) * n_model
        multiply(
            Rows(p.dy, row_at, 1), Matrix(p.down, down_at, 1, n_model), Block(da, 0, block),
            (rows, n, n_model), False, Block(p.up, up_at, n_first), memory,
        )  # fmt: skip
        activate_backward(
            Block(p.h, start * n_first + f, n_first), n_hidden, (rows, n), form,
            Block(da, 0, block), p.weight_S[start:end], p.dh,
            Block(p.wa, start * n_hidden + f, n_hidden), p.dweight_S[start:end],
        )  # fmt: skip
        for half in range(halves):
            for i in range(rows):
                h_at[i] = (start + i) * n_first + half * n_hidden + f
            then = Block(p.down, down_at + block * n_model, n_model)
            if half + 1 < halves:
                then = Block(p.up, up_at + n_hidden, n_first)
            multiply(
                Rows(p.dh, h_at, 1), Matrix(p.up, up_at + half * n_hidden, 1, n_first),
                Block(p.dx, start * n_model, n_model), (rows, n_model, n), f > 0 or half > 0,
                then, memory,
            )  # fmt: skip


@inner
def _weight_gradient(p, e, kind, left, right, shape, memory, row_at, turned, turned_at, gathered):
    """Columns left..right of the gradient of one matrix of expert e, kind UP or DOWN.

    It is the sum over the expert's slots of an outer product, so a product whose depth is the
    slots. The left factor is turned first, a stretch of slots at a time, since the tile reads it
    along the depth; a stretch is as deep as a block of `multiply`.
    """
    n_model, n_first, n_hidden = shape
    gap, turned_row = gathered.row, turned.row
    first, count = p.expert_start_E1[e], p.expert_start_E1[e + 1] - p.expert_start_E1[e]
    chunks = -(-count // STRETCH)
    for chunk in range(chunks):
        low, high = first + count * chunk // chunks, first + count * (chunk + 1) // chunks
        depth = high - low
        factor = Rows(turned.flat, turned_at, 1)
        if kind == DOWN:
            _gather(p.dy, p.token_S, low, high, n_model, left, right - left, gathered.flat, gap)
            for i in range(depth):
                row_at[i] = (low + i) * n_hidden
            transpose(p.wa, row_at, depth, n_hidden, turned.flat, 0, turned_row)
            multiply(
                factor, Matrix(gathered.flat, 0, gap, 1),
                Block(p.ddown, e * n_hidden * n_model + left, n_model),
                (n_hidden, right - left, depth), chunk > 0, Block(gathered.flat, 0, 0), memory,
            )  # fmt: skip
        else:
            for i in range(depth):
                row_at[i] = p.token_S[low + i] * n_model
            transpose(p.x, row_at, depth, n_model, turned.flat, 0, turned_row)
            multiply(
                factor, Matrix(p.dh, low * n_first + left, n_first, 1),
                Block(p.dup, e * n_model * n_first + left, n_first),
                (n_model, right - left, depth), chunk > 0, Block(p.dh, 0, 0), memory,
            )  # fmt: skip


@njit
def _backward_items(queue, n_items, item_I4, tiles_E, done_E, arrays, form, shape):
    """Items (expert, kind, from, to), in two kinds.

    TILE: gradients at x, at the weights and at h, of slots from..to. UP and DOWN: the gradient
    of a matrix in columns from..to, summed over the expert's slots in their order, which waits
    until all tiles of the expert are done.
    """
    p = _Backward(*arrays)
    n_model, _, n_hidden = shape
    memory = scratch(p.x)
    row_at, h_at = np.empty(max(TALL, STRETCH), np.int64), np.empty(TALL, np.int64)
    da = room(TALL * min(BLOCK, n_hidden), p.x)
    deepest = 0
    for e in range(p.expert_start_E1.size - 1):
        deepest = max(deepest, p.expert_start_E1[e + 1] - p.expert_start_E1[e])
    deepest, widest = min(deepest, STRETCH), max(n_model, n_hidden)
    gap, turned_row = n_model + 16, deepest + 16  # rows that start in different cache sets
    gathered = Block(room(deepest * gap, p.x), 0, gap)
    turned = Block(room(widest * turned_row, p.x), 0, turned_row)
    turned_at = spaced(widest, turned_row)
    item = take_item(queue)
    while item < n_items:
        e, kind, start, end = item_I4[item]
        if kind == TILE:
            _slot_gradients(p, e, start, end, form, shape, memory, da, row_at, h_at)
            add_to(done_E[e:], 1)
        else:
            # The expert's tiles stand earlier in the queue: each that is not done yet has been
            # taken by a thread that is at work on it, so this wait ends.
            turns = 0
            while peek(done_E[e:]) < tiles_E[e]:
                turns += 1
                if CHECK and turns > PATIENCE:
                    raise RuntimeError("the thread that was at a tile is gone")
            _weight_gradient(
                p, e, kind, start, end, shape, memory, row_at, turned, turned_at, gathered
            )
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
    db_up_EH: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    n_slots, (n_hidden, n_model) = plan.token_S.size, w_down_EFD.shape[1:]
    shape, threads = (n_model, w_up_EDH.shape[2], n_hidden), num_threads()
    dx_SD, dweight_S = empty((n_slots, n_model), x_ND.dtype), empty(n_slots, x_ND.dtype)
    dh, wa = empty(h_SH.size, x_ND.dtype), empty(n_slots * n_hidden, x_ND.dtype)
    dup_EDH = empty(w_up_EDH.shape, x_ND.dtype)
    ddown_EFD = empty(w_down_EFD.shape, x_ND.dtype)
    item_I4, tiles_E = backward_queue(plan.expert_start_E1, shape[1], n_model, threads)
    dup_EDH[tiles_E == 0], ddown_EFD[tiles_E == 0] = 0, 0
    arrays = _Backward(
        x=x_ND.reshape(-1), dy=dy_ND.reshape(-1), h=h_SH.reshape(-1), weight_S=weight_S,
        token_S=plan.token_S, expert_start_E1=plan.expert_start_E1, up=w_up_EDH.reshape(-1),
        down=w_down_EFD.reshape(-1), dx=dx_SD.reshape(-1), dweight_S=dweight_S, dh=dh, wa=wa,
        dup=dup_EDH.reshape(-1), ddown=ddown_EFD.reshape(-1),
    )  # fmt: skip
    work_ns = 2 * PRODUCT_NS * n_slots * (w_up_EDH[0].size + w_down_EFD[0].size)
    run_items(
        _backward_items, len(item_I4), work_ns, item_I4, tiles_E, np.zeros_like(tiles_E),
        tuple(arrays), parse(activation).form, shape, threads=threads,
    )  # fmt: skip
    if db_up_EH is not None:
        dh_SH, starts = dh.reshape(h_SH.shape), plan.expert_start_E1
        for e in np.flatnonzero(tiles_E):
            db_up_EH[e] += dh_SH[starts[e] : starts[e + 1]].sum(axis=0)
    return dx_SD, dweight_S, dup_EDH, ddown_EFD


experts_backward = choose(experts_backward_oracle, _experts_backward_fast)
