"""Grouped expert matrix products, forward and backward: each expert sees only its own rows.

Slots are the kept assignments sorted by expert (`dispatch.Plan`). Nothing is computed for an
expert that no token chose. Each item counts the rows it multiplied, so that what a layer says
it executed is what it did execute.
"""

from __future__ import annotations

import numpy as np

from .activation_text import parse
from .activations import activate, activate_backward, activate_backward_oracle, activate_oracle
from .backend import CHECK, choose, njit
from .blocks import STRETCH, multiply, scratch, transpose
from .dispatch import Plan
from .items import DOWN, TALL, TILE, backward_queue, tiles
from .memory import room
from .threads import PRODUCT_NS, add_to, num_threads, peek, run_items, take_item
from .tile import COLUMNS_32
from .workspace import empty

# Which way a product goes, by measured crossovers; no bit depends on it.
BLOCK = 256  # hidden columns that stay in the cache between an item's products
FEW_SLOTS, PARTS = 32, 4  # up to so many slots, an expert's columns are split over cores
PATIENCE = 1 << 31  # looks before a thread that waits for another gives up


def experts_forward_oracle(
    x_ND: np.ndarray,
    plan: Plan,
    w_up_EDH: np.ndarray,
    w_down_EFD: np.ndarray,
    activation: str,
    keep: bool = True,
    b_up_EH: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None, int]:
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
        'swiglu', 'gelu', 'relu' or 'clamped_swiglu', which takes options (`activation_text`).
    keep
        Return the first products, which backward needs, rather than None.
    b_up_EH
        Biases of the first product.

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
        if b_up_EH is not None:
            h_SH[slots] += b_up_EH[e]
        y_SD[slots] = activate_oracle(h_SH[slots], activation) @ w_down_EFD[e]
        rows += int(slots.stop - slots.start)
    return y_SD, h_SH if keep else None, rows


@njit
def _add_bias(bias, bias_at, h, at, row, rows, n):
    """Add n biases to each row of a block of flat `h`; none if there are no biases at all."""
    if bias.size == 0:
        return
    for i in range(rows):
        for j in range(n):
            h[at + i * row + j] += bias[bias_at + j]


@njit
def _forward_tiles(
    queue, n_items, x, token_S, item_I3, up, bias, down, form, h, keep, y, rows_I, shape
):  # fmt: skip
    """Items (expert, first slot, end slot): block by block of hidden columns, both products."""
    n_model, n_first, n_hidden = shape
    memory = scratch(x)
    block, halves = min(BLOCK, n_hidden), n_first // n_hidden
    row_at, a_at = np.empty(TALL, np.int64), np.arange(TALL) * block
    a = room(TALL * block, x)
    h_row, second = (n_first, n_hidden) if keep else (halves * block, block)
    out = h if keep else room(TALL * h_row, x)
    item = take_item(queue)
    while item < n_items:
        e, low, high = item_I3[item]
        rows = high - low
        for i in range(rows):
            row_at[i] = token_S[low + i] * n_model
        for f in range(0, n_hidden, block):
            n = min(block, n_hidden - f)
            at = low * n_first + f if keep else 0
            up_at = e * n_model * n_first + f
            down_at = (e * n_hidden + f) * n_model
            for half in range(halves):
                then = (down, down_at, n_model)
                if half + 1 < halves:
                    then = (up, up_at + n_hidden, n_first)
                multiply(
                    x, row_at, 1, up, up_at + half * n_hidden, n_first, 1, out,
                    at + half * second, h_row, (rows, n, n_model), False, then, memory,
                )  # fmt: skip
                _add_bias(
                    bias, e * n_first + half * n_hidden + f, out, at + half * second, h_row, rows, n
                )
            activate(out, at, h_row, second, rows, n, form, a, block)
            multiply(
                a, a_at, 1, down, down_at, n_model, 1, y, low * n_model, n_model,
                (rows, n_model, n), f > 0, (up, up_at + block, n_first), memory,
            )  # fmt: skip
        rows_I[item] = rows
        item = take_item(queue)


@njit
def _few_first(queue, n_items, x, token_S, item_I3, up, bias, h, parts, shape):
    """Items (expert, slots) x column blocks of the first product: few rows, all cores."""
    n_model, n_first, _ = shape
    memory = scratch(x)
    row_at = np.empty(TALL, np.int64)
    width = -(-n_first // parts)
    item = take_item(queue)
    while item < n_items:
        e, low, high = item_I3[item // parts]
        left = item % parts * width
        n = max(0, min(width, n_first - left))
        for i in range(high - low):
            row_at[i] = token_S[low + i] * n_model
        multiply(
            x, row_at, 1, up, e * n_model * n_first + left, n_first, 1, h, low * n_first + left,
            n_first, (high - low, n, n_model), False, (up, 0, 0), memory,
        )  # fmt: skip
        _add_bias(bias, e * n_first + left, h, low * n_first + left, n_first, high - low, n)
        item = take_item(queue)


@njit
def _few_second(queue, n_items, h, item_I3, down, form, y_PSD, rows_I, shape, across):
    """Items (expert, slots) x blocks of hidden columns x parts of the columns: second products.

    Each block has sums of its own; they are the ones that `_forward_tiles` adds up.
    """
    n_model, n_first, n_hidden = shape
    blocks, memory = len(y_PSD), scratch(h)
    block, width = min(BLOCK, n_hidden), -(-n_model // across)
    a_at = np.arange(FEW_SLOTS) * block
    a = room(FEW_SLOTS * block, h)
    item = take_item(queue)
    while item < n_items:
        tile, rest = item // (blocks * across), item % (blocks * across)
        e, low, high = item_I3[tile]
        f, left, rows = rest // across * block, rest % across * width, high - low
        n, columns = min(block, n_hidden - f), min(width, n_model - left)
        activate(h, low * n_first + f, n_first, n_hidden, rows, n, form, a, block)
        multiply(
            a, a_at, 1, down, (e * n_hidden + f) * n_model + left, n_model, 1,
            y_PSD[rest // across].reshape(-1), low * n_model + left, n_model, (rows, columns, n),
            False, (down, 0, 0), memory,
        )  # fmt: skip
        if rest == 0:
            rows_I[tile] = rows
        item = take_item(queue)


@njit
def _add_blocks(y_P, n_blocks, y):
    """The sum of flat blocks, one after another, as `_forward_tiles` adds them."""
    for i in range(y.size):
        y[i] = y_P[i]
    for p in range(1, n_blocks):
        for i in range(y.size):
            y[i] += y_P[p * y.size + i]


def _experts_forward_fast(
    x_ND: np.ndarray,
    plan: Plan,
    w_up_EDH: np.ndarray,
    w_down_EFD: np.ndarray,
    activation: str,
    keep: bool = True,
    b_up_EH: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None, int]:
    n_slots, (n_hidden, n_model) = plan.token_S.size, w_down_EFD.shape[1:]
    n_first = w_up_EDH.shape[2]
    y_SD = empty((n_slots, n_model), x_ND.dtype)
    whole = keep or n_slots <= FEW_SLOTS  # few slots take two kernels, and the second reads h
    h_SH = empty((n_slots if whole else 0, n_first), x_ND.dtype)
    threads = num_threads()
    item_I3 = tiles(plan.expert_start_E1, threads)
    rows_I = np.zeros(len(item_I3), np.int64)
    x, h, y = x_ND.reshape(-1), h_SH.reshape(-1), y_SD.reshape(-1)
    up, down = w_up_EDH.reshape(-1), w_down_EFD.reshape(-1)
    bias = np.empty(0, x_ND.dtype) if b_up_EH is None else b_up_EH.reshape(-1)
    shape, form = (n_model, n_first, n_hidden), parse(activation).form
    work_ns = PRODUCT_NS * n_slots * (w_up_EDH[0].size + w_down_EFD[0].size)
    if n_slots <= FEW_SLOTS:
        n_items = PARTS * len(item_I3)
        run_items(
            _few_first, n_items, work_ns, x, plan.token_S, item_I3, up, bias, h, PARTS, shape,
            threads=threads,
        )  # fmt: skip
        # Parts of the columns read the weights in shorter runs: only where blocks are too few.
        blocks = -(-n_hidden // BLOCK)
        across = max(1, min(PARTS // blocks, n_model // COLUMNS_32))
        y_PSD = empty((blocks, n_slots, n_model), x_ND.dtype) if blocks > 1 else y_SD[None]
        run_items(
            _few_second, blocks * across * len(item_I3), work_ns, h, item_I3, down, form, y_PSD,
            rows_I, shape, across, threads=threads,
        )  # fmt: skip
        if blocks > 1:
            _add_blocks(y_PSD.reshape(-1), blocks, y)
    else:
        run_items(
            _forward_tiles, len(item_I3), work_ns, x, plan.token_S, item_I3, up, bias, down,
            form, h, keep, y, rows_I, shape, threads=threads,
        )  # fmt: skip
    return y_SD, h_SH if keep else None, int(rows_I.sum())


def _flops(
    result: tuple[np.ndarray, np.ndarray | None, int],
    x_ND: np.ndarray,
    plan: Plan,
    w_up_EDH: np.ndarray,
    w_down_EFD: np.ndarray,
    *options: object,
) -> int:
    """Operations of the rows that were executed, each through both products of one expert."""
    (_, n_model, n_first), n_hidden = w_up_EDH.shape, w_down_EFD.shape[1]
    return 2 * result[2] * n_model * (n_first + n_hidden)


experts_forward = choose(experts_forward_oracle, _experts_forward_fast, _flops)


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
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Gradients of the weighted sum of expert results.

    The gradient of an assignment's weight is dy . f(x) = (dy W_down^T) . a, so the experts'
    results need not be kept: the product on the left is needed for dh anyway. Gradients of the
    first products' biases are added to `db_up_EH`, if that is given.

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
        if db_up_EH is not None:
            db_up_EH[e] += dh_TH.sum(axis=0)
        dx_SD[slots] = dh_TH @ w_up_EDH[e].T
        rows += int(slots.stop - slots.start)
    return dx_SD, dweight_S, dw_up_EDH, dw_down_EFD, rows


@njit
def _gather(x, token_S, low, high, n_model, left, width, out, out_row):
    """Copy columns left..left+width of the rows x[token] into rows of `out`."""
    for s in range(low, high):
        source = x[token_S[s] * n_model + left : token_S[s] * n_model + left + width]
        target = out[(s - low) * out_row : (s - low) * out_row + width]
        for j in range(width):
            target[j] = source[j]


@njit
def _backward_items(
    queue, n_items, item_I4, tiles_E, done_E, x, dy, h, weight_S, token_S, expert_start_E1, up,
    down, form, dx, dweight_S, dh, wa, dup, ddown, shape,
):  # fmt: skip
    """Items (expert, kind, from, to), in two kinds.

    TILE: gradients at x, at the weights and at h, of slots from..to. UP and DOWN: the gradient
    of a matrix in columns from..to, summed over the expert's slots in their order, which waits
    until all tiles of the expert are done.
    """
    n_model, n_first, n_hidden = shape
    memory = scratch(x)
    block, halves = min(BLOCK, n_hidden), n_first // n_hidden
    row_at, h_at = np.empty(max(TALL, STRETCH), np.int64), np.empty(TALL, np.int64)
    da = room(TALL * block, x)
    deepest = 0
    for e in range(expert_start_E1.size - 1):
        deepest = max(deepest, expert_start_E1[e + 1] - expert_start_E1[e])
    deepest = min(deepest, STRETCH)
    gap, turned_row = n_model + 16, deepest + 16  # rows that start in different cache sets
    gathered, turned = room(deepest * gap, x), room(max(n_model, n_hidden) * turned_row, x)
    turned_at = np.arange(max(n_model, n_hidden)) * turned_row
    item = take_item(queue)
    while item < n_items:
        e, kind, start, end = item_I4[item]
        if kind == TILE:
            for i in range(end - start):
                row_at[i] = token_S[start + i] * n_model
            dweight_S[start:end] = 0
            for f in range(0, n_hidden, block):
                n = min(block, n_hidden - f)
                up_at, down_at = e * n_model * n_first + f, (e * n_hidden + f) * n_model
                multiply(
                    dy, row_at, 1, down, down_at, 1, n_model, da, 0, block,
                    (end - start, n, n_model), False, (up, up_at, n_first), memory,
                )  # fmt: skip
                activate_backward(
                    h, start * n_first + f, n_first, n_hidden, end - start, n, form, da, block,
                    weight_S[start:end], dh, wa, start * n_hidden + f, n_hidden,
                    dweight_S[start:end],
                )  # fmt: skip
                for half in range(halves):
                    for i in range(end - start):
                        h_at[i] = (start + i) * n_first + half * n_hidden + f
                    then = (down, down_at + block * n_model, n_model)
                    if half + 1 < halves:
                        then = (up, up_at + n_hidden, n_first)
                    multiply(
                        dh, h_at, 1, up, up_at + half * n_hidden, 1, n_first, dx, start * n_model,
                        n_model, (end - start, n_model, n), f > 0 or half > 0, then, memory,
                    )  # fmt: skip
            add_to(done_E[e:], 1)
            item = take_item(queue)
            continue
        turns = 0
        while peek(done_E[e:]) < tiles_E[e]:  # another thread is at it
            turns += 1
            if CHECK and turns > PATIENCE:
                raise RuntimeError("the thread that was at a tile is gone")
        first, count = expert_start_E1[e], expert_start_E1[e + 1] - expert_start_E1[e]
        chunks = -(-count // STRETCH)
        for chunk in range(chunks):
            low, high = first + count * chunk // chunks, first + count * (chunk + 1) // chunks
            depth = high - low
            if kind == DOWN:
                _gather(dy, token_S, low, high, n_model, start, end - start, gathered, gap)
                for i in range(depth):
                    row_at[i] = (low + i) * n_hidden
                transpose(wa, row_at, depth, n_hidden, turned, 0, turned_row)
                multiply(
                    turned, turned_at, 1, gathered, 0, gap, 1, ddown,
                    e * n_hidden * n_model + start, n_model, (n_hidden, end - start, depth),
                    chunk > 0, (gathered, 0, 0), memory,
                )  # fmt: skip
            else:
                for i in range(depth):
                    row_at[i] = token_S[low + i] * n_model
                transpose(x, row_at, depth, n_model, turned, 0, turned_row)
                multiply(
                    turned, turned_at, 1, dh, low * n_first + start, n_first, 1, dup,
                    e * n_model * n_first + start, n_first, (n_model, end - start, depth),
                    chunk > 0, (dh, 0, 0), memory,
                )  # fmt: skip
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
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    n_slots, (n_hidden, n_model) = plan.token_S.size, w_down_EFD.shape[1:]
    shape, threads = (n_model, w_up_EDH.shape[2], n_hidden), num_threads()
    dx_SD, dweight_S = empty((n_slots, n_model), x_ND.dtype), empty(n_slots, x_ND.dtype)
    dh, wa = empty(h_SH.size, x_ND.dtype), empty(n_slots * n_hidden, x_ND.dtype)
    dup_EDH = empty(w_up_EDH.shape, x_ND.dtype)
    ddown_EFD = empty(w_down_EFD.shape, x_ND.dtype)
    item_I4, tiles_E = backward_queue(plan.expert_start_E1, shape[1], n_model, threads)
    dup_EDH[tiles_E == 0], ddown_EFD[tiles_E == 0] = 0, 0
    work_ns = 2 * PRODUCT_NS * n_slots * (w_up_EDH[0].size + w_down_EFD[0].size)
    run_items(
        _backward_items, len(item_I4), work_ns, item_I4, tiles_E, np.zeros_like(tiles_E),
        x_ND.reshape(-1), dy_ND.reshape(-1), h_SH.reshape(-1), weight_S, plan.token_S,
        plan.expert_start_E1, w_up_EDH.reshape(-1), w_down_EFD.reshape(-1), parse(activation).form,
        dx_SD.reshape(-1), dweight_S, dh, wa, dup_EDH.reshape(-1), ddown_EFD.reshape(-1), shape,
        threads=threads,
    )  # fmt: skip
    if db_up_EH is not None:
        dh_SH, starts = dh.reshape(h_SH.shape), plan.expert_start_E1
        for e in np.flatnonzero(tiles_E):
            db_up_EH[e] += dh_SH[starts[e] : starts[e + 1]].sum(axis=0)
    return dx_SD, dweight_S, dup_EDH, ddown_EFD, n_slots


experts_backward = choose(experts_backward_oracle, _experts_backward_fast)
