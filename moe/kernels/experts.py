"""Grouped expert matrix products: each expert sees only its own rows.

Slots are the kept assignments sorted by expert (`dispatch.Plan`). Nothing is computed for an
expert that no token chose. Each item counts the rows it multiplied, so that what a layer says
it executed is what it did execute.

Shapes: N tokens, S slots, D model width, F hidden width, E experts; H is 2F for gated activations
and F otherwise, as the first product makes gate and up halves side by side. In the kernels these
are `n_model` (D), `n_first` (H) and `n_hidden` (F). Threads take items (`items.py`): some slots of
one expert each. The backward pass is in `expert_gradients.py`.
"""

from __future__ import annotations

import numpy as np

from .activation_text import parse
from .activations import activate, activate_oracle
from .backend import choose, inner, njit
from .blocks import multiply, scratch
from .costs import PRODUCT_NS
from .dispatch import Plan
from .flat import Block, Matrix, Rows
from .items import TALL, tiles
from .memory import room, spaced
from .threads import num_threads, run_items, take_item
from .tile import COLUMNS_32
from .workspace import empty

# `python -m benchmarks.constants experts.FEW_SLOTS 8 64` times other values of a constant. Other
# values of BLOCK change the order of sums, and so bits; FEW_SLOTS and PARTS only choose a path.
BLOCK = 256  # hidden columns that stay in the cache between an item's products
FEW_SLOTS = 32  # up to this many slots in all, too few items for the cores: columns are split too
PARTS = 4  # parts of the columns of an expert then


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
        'swiglu', 'gelu', 'relu', 'relu2' or 'clamped_swiglu', which takes options
        (`activation_text`).
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


@inner
def _add_bias(bias, bias_at, h, rows, n):
    """Add n biases to each row of a `Block` of h; none if there are no biases at all."""
    if bias.size == 0:
        return
    flat, at, row = h
    for i in range(rows):
        for j in range(n):
            flat[at + i * row + j] += bias[bias_at + j]


@njit
def _forward_tiles(queue, n_items, x, token_S, item_I3, weights, form, keep, out, shape):
    """Both products of each item (expert, first slot, end slot).

    An item goes block by block through the hidden columns: the first product of a block, its
    activation and its part of the second product, so that what lies between stays in the cache.
    """
    up, bias, down = weights
    h, y, rows_I = out
    n_model, n_first, n_hidden = shape
    memory = scratch(x)
    block, halves = min(BLOCK, n_hidden), n_first // n_hidden
    row_at, a_at = np.empty(TALL, np.int64), spaced(TALL, block)
    a = room(TALL * block, x)
    # Without `keep` the first products of one block at a time lie in working memory.
    h_row, second = (n_first, n_hidden) if keep else (halves * block, block)
    first = h if keep else room(TALL * h_row, x)
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
                then = Block(down, down_at, n_model)
                if half + 1 < halves:
                    then = Block(up, up_at + n_hidden, n_first)
                part = Block(first, at + half * second, h_row)
                multiply(
                    Rows(x, row_at, 1), Matrix(up, up_at + half * n_hidden, n_first, 1), part,
                    (rows, n, n_model), False, then, memory,
                )  # fmt: skip
                _add_bias(bias, e * n_first + half * n_hidden + f, part, rows, n)
            activate(Block(first, at, h_row), second, (rows, n), form, Block(a, 0, block))
            multiply(
                Rows(a, a_at, 1), Matrix(down, down_at, n_model, 1),
                Block(y, low * n_model, n_model), (rows, n_model, n), f > 0,
                Block(up, up_at + block, n_first), memory,
            )  # fmt: skip
        rows_I[item] = rows
        item = take_item(queue)


@njit
def _few_first(queue, n_items, x, token_S, item_I3, weights, h, parts, shape):
    """First products of few rows: items are (expert, slots) x column blocks, to use all cores."""
    up, bias, _ = weights
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
        part = Block(h, low * n_first + left, n_first)
        multiply(
            Rows(x, row_at, 1), Matrix(up, e * n_model * n_first + left, n_first, 1), part,
            (high - low, n, n_model), False, Block(up, 0, 0), memory,
        )  # fmt: skip
        _add_bias(bias, e * n_first + left, part, high - low, n)
        item = take_item(queue)


@njit
def _few_second(queue, n_items, h, item_I3, down, form, y_PSD, rows_I, shape, across):
    """Second products: items are (expert, slots) x blocks of hidden columns x parts of columns.

    Each block has sums of its own; they are the ones that `_forward_tiles` adds up.
    """
    n_model, n_first, n_hidden = shape
    blocks, memory = len(y_PSD), scratch(h)
    block, width = min(BLOCK, n_hidden), -(-n_model // across)
    a_at = spaced(FEW_SLOTS, block)
    a = room(FEW_SLOTS * block, h)
    item = take_item(queue)
    while item < n_items:
        tile, rest = item // (blocks * across), item % (blocks * across)
        e, low, high = item_I3[tile]
        f, left, rows = rest // across * block, rest % across * width, high - low
        n, columns = min(block, n_hidden - f), min(width, n_model - left)
        first = Block(h, low * n_first + f, n_first)
        activate(first, n_hidden, (rows, n), form, Block(a, 0, block))
        multiply(
            Rows(a, a_at, 1), Matrix(down, (e * n_hidden + f) * n_model + left, n_model, 1),
            Block(y_PSD[rest // across].reshape(-1), low * n_model + left, n_model),
            (rows, columns, n), False, Block(down, 0, 0), memory,
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
    bias = np.empty(0, x_ND.dtype) if b_up_EH is None else b_up_EH.reshape(-1)
    weights = (w_up_EDH.reshape(-1), bias, w_down_EFD.reshape(-1))
    shape, form = (n_model, n_first, n_hidden), parse(activation).form
    work_ns = PRODUCT_NS * n_slots * (w_up_EDH[0].size + w_down_EFD[0].size)
    if n_slots <= FEW_SLOTS:
        n_items = PARTS * len(item_I3)
        run_items(
            _few_first, n_items, work_ns, x, plan.token_S, item_I3, weights, h, PARTS, shape,
            threads=threads,
        )  # fmt: skip
        # Parts of the columns read the weights in shorter runs: only where blocks are too few.
        blocks = -(-n_hidden // BLOCK)
        across = max(1, min(PARTS // blocks, n_model // COLUMNS_32))
        y_PSD = empty((blocks, n_slots, n_model), x_ND.dtype) if blocks > 1 else y_SD[None]
        run_items(
            _few_second, blocks * across * len(item_I3), work_ns, h, item_I3, weights[2], form,
            y_PSD, rows_I, shape, across, threads=threads,
        )  # fmt: skip
        if blocks > 1:
            _add_blocks(y_PSD.reshape(-1), blocks, y)
    else:
        run_items(
            _forward_tiles, len(item_I3), work_ns, x, plan.token_S, item_I3, weights, form, keep,
            (h, y, rows_I), shape, threads=threads,
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
