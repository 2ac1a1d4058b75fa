"""Upcycling: experts that start as copies, of a dense layer or of experts there are already."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .arrays import check_dense
from .capacity import NO_LIMIT, Capacity
from .dense import DenseFFN
from .errors import check_array, check_float, check_int, shown
from .expert_axis import with_experts
from .experts import n_matrices, up_name
from .layer import MoELayer
from .router_check import check_weighs_results
from .routers import Router

PROBES = 1024
MOST_EXPERTS = 2**31 - 1  # which int32 can number
MOST_NOISE = 1e30  # what float32 can hold


def upcycle(
    dense: DenseFFN,
    n_experts: int,
    router: str | Router = "topk",
    k: int = 2,
    seed: int = 0,
    *,
    slices: int = 1,
    exact: bool = True,
    drop: float = 0.0,
    gate_scale: float = 1.0,
    capacity: Capacity | None = None,
) -> MoELayer:
    """Make an MoE layer whose experts are copies of a dense layer, with a fresh gate.

    Without router noise and drops it computes the same function as the dense layer, if the weights
    of every token sum to the same constant for any logits: to 1 if they are renormalised, to
    `scale` in DeepSeek-V3. The experts' last matrix is divided by that constant. Whether there is
    one, and its value, is measured on random tokens, so that any registered router can be used.

    Parameters
    ----------
    dense
        The trained layer; it is copied.
    n_experts, router, k, seed, gate_scale, capacity
        As in `MoELayer.init`.
    slices
        Fine-grained experts: the dense layer is cut into this many slices of its width, each with
        n_experts / slices copies, and k is a multiple of the number of slices. All slices share
        their gate's columns ("virtual groups"), so that a token chooses each slice equally often.
    exact
        False also accepts routers without such a constant, and divides by the mean sum over
        standard normal tokens: the weights then sum to 1 on average only, and the function differs.
    drop
        Share of each expert's hidden units that is drawn anew (Drop-Upcycling; 0.5 there), so that
        the experts differ from the first step; the function then differs, too.

    Raises
    ------
    ValueError
        If an argument is not allowed, if the router has no such constant, or if its experts
        are not all copies (zero-computation experts) or see mixed tokens (Soft MoE).

    Notes
    -----
    Sparse upcycling, arXiv 2212.05055; virtual groups, arXiv 2410.07524, section 2.3 (which
    spreads its scaling over both matrices). Drop-Upcycling, arXiv 2502.19261, as its authors'
    program does it (Taishi-N324/Drop-Upcycling, `conversions/drop_upcycling.py` at commit
    481747d): units are drawn for each expert and each matrix by itself, and what is drawn anew is
    normal with the mean and deviation of what it replaces. (That program also shuffles the units,
    which changes no function.)

    Examples
    --------
    >>> import numpy as np, moe
    >>> dense = moe.DenseFFN.init(4, 8, dtype="float64")
    >>> layer = moe.upcycle(dense, n_experts=6, k=2)
    >>> x_ND = np.random.default_rng(0).standard_normal((5, 4))
    >>> bool(np.allclose(layer(x_ND), dense(x_ND)))
    True
    """
    check_int("n_experts", n_experts, 1)
    check_int("slices", slices, 1)
    check_float("drop", drop, 0.0, 1.0)
    for name, whole in (("n_experts", n_experts), ("d_hidden", dense.d_hidden)):
        if whole % slices:
            raise ValueError(f"slices: got {slices}, allowed is a divisor of {name} ({whole})")
    layer = MoELayer.init(
        dense.d_model,
        dense.d_hidden // slices,
        n_experts,
        router,
        k,
        activation=dense.activation,
        seed=seed,
        dtype=dense.dtype.name,
        capacity=capacity,
        gate_scale=gate_scale,
    )
    if layer.router.specials:
        raise ValueError(
            f"router: got {layer.router.name!r}, allowed is one whose experts all compute"
        )
    check_weighs_results(layer.router)
    copies = n_experts // slices
    if slices > 1 and "gate_DE" in layer.params:
        gate_DE = layer.params["gate_DE"]
        gate_DE[:, copies:] = np.tile(gate_DE[:, :copies], slices)[:, copies : gate_DE.shape[1]]
    up_MDH, down_MFD = _cut(dense, slices)
    layer.params[up_name(dense.activation)][:] = np.repeat(up_MDH, copies, axis=0)
    layer.params["w_down_EFD"][:] = np.repeat(down_MFD / _weight(layer, slices, exact), copies, 0)
    if drop:
        _draw_anew(layer, drop, np.random.default_rng(seed))
    return layer


def upcycle_experts(
    layer: MoELayer, copies: int | np.ndarray = 2, noise: float = 1e-3, seed: int = 0
) -> MoELayer:
    """Return a layer with more experts, the new ones copies of those that there are.

    A token still goes to k experts. Copies have the same gate; noise on their biases alone lets
    them be chosen for other tokens than their originals, and training parts them.

    The function is not the same in general: originals and copies score alike, so that both may
    take places among a token's k. It is the same to the bit if k is 1, there is no noise, and a
    weight does not depend on the number of experts (renormalised, or a sigmoid); and it is the
    same but for rounding if the layer is given m times its k with m copies of each.

    Parameters
    ----------
    layer
        It is copied. Its experts keep their numbers and arrays; copies come after them.
    copies
        How often an expert is there afterwards: a number for all, m, or one for each, (E,), from
        1. `replicas` makes them by utility.
    noise
        Largest change of a copy's bias, uniform on both sides. It is the gate's bias if there is
        one, else the selection bias; 0 leaves copies that only a tie could choose.
    seed
        Of the noise.

    Raises
    ------
    ValueError
        If an argument is not allowed; if there is noise and the router has no bias; or if the
        router does not score every expert alike, as in `prune`.

    Notes
    -----
    Expert upcycling, arXiv 2604.19835, definition 3.1; noise of 1e-3, and an optimiser that
    starts anew afterwards (section 4).

    Examples
    --------
    >>> import numpy as np, moe
    >>> layer = moe.MoELayer.init(4, 8, 6, "deepseek_v3", k=1)
    >>> more = moe.upcycle_experts(layer, 2, noise=0.0)
    >>> x_ND = np.random.default_rng(0).standard_normal((50, 4))
    >>> more.n_experts, bool((more(x_ND) == layer(x_ND)).all())
    (12, True)
    """
    check_float("noise", noise, 0.0, MOST_NOISE)
    check_int("seed", seed, 0)
    if np.ndim(copies) == 0:
        copies = np.full(layer.n_experts, check_int("copies", copies, 1))
    copies_E = np.asarray(copies)
    if (
        copies_E.shape != (layer.n_experts,)
        or copies_E.dtype.kind not in "iu"
        or copies_E.min() < 1
    ):
        raise ValueError(
            f"copies: got {shown(copies_E.tolist())}, allowed is a whole number from 1 for each of "
            f"{layer.n_experts} experts"
        )
    if (total := sum(copies_E.tolist())) > MOST_EXPERTS:
        raise ValueError(f"copies: got {total} experts, allowed are at most {MOST_EXPERTS}")
    copies_E = copies_E.astype(np.intp)
    expert_M = np.repeat(np.arange(layer.n_experts), copies_E)
    first_M = np.repeat(np.cumsum(copies_E) - copies_E, copies_E)
    in_turn_M = np.argsort(np.arange(len(expert_M)) - first_M, kind="stable")
    grown = with_experts(layer, expert_M[in_turn_M])
    if noise:
        places = {"gate_bias_E": grown.params, "select_bias_E": grown.buffers}
        bias_E = next((held[name] for name, held in places.items() if name in held), None)
        if bias_E is None:
            raise ValueError(
                f"noise: got {noise} with router {layer.router.name!r}, allowed is 0 for a router "
                "without a bias"
            )
        new_M = bias_E[layer.n_experts :]
        new_M += np.random.default_rng(seed).uniform(-noise, noise, new_M.size)
    return grown


def replicas(utility_E: np.ndarray, n_new: int, most: int = 3) -> np.ndarray:
    """How often each expert is there after the most useful ones got the new places, (E,).

    Parameters
    ----------
    utility_E
        The squared length of the gradient at each expert's weights, for example: what matters most
        to the loss has the largest.
    n_new
        Places for copies.
    most
        Copies that one expert gets at most; once all have as many, a further round begins.

    Raises
    ------
    ValueError
        If an argument is not allowed.

    Notes
    -----
    Expert upcycling, arXiv 2604.19835, section 3.3, where `most` is 3 (section 4).

    Examples
    --------
    >>> import numpy as np, moe
    >>> moe.replicas(np.array([0.1, 0.4, 0.2, 0.3]), 4).tolist()
    [1, 4, 1, 2]
    """
    utility_E = check_array("utility_E", utility_E, (None,))
    if not len(utility_E):
        raise ValueError("utility_E: got no expert, allowed is at least one")
    check_int("n_new", n_new, 0, MOST_EXPERTS)
    most = min(check_int("most", most, 1), max(n_new, 1))
    order = np.argsort(-utility_E, kind="stable")
    whole, left = divmod(n_new, most * len(order))
    copies_E = np.full(len(order), 1 + whole * most)
    copies_E[order] += np.clip(left - most * np.arange(len(order)), 0, most)
    return copies_E


def _draw_anew(layer: MoELayer, share: float, rng: np.random.Generator) -> None:
    """Draw a share of the hidden units of every expert's matrices again, in place."""
    up_EDH, down_EFD = layer.params[up_name(layer.activation)], layer.params["w_down_EFD"]
    width = layer.d_expert
    n_units = int(width * share)
    for up_DH, down_FD in zip(up_EDH, down_EFD, strict=True):
        halves = [up_DH[:, at : at + width].T for at in range(0, up_DH.shape[1], width)]
        for units_FD in (*halves, down_FD):
            drawn = rng.permutation(width)[:n_units]
            part = units_FD[drawn]
            deviation = part.std(ddof=1) if part.size > 1 else 0.0
            units_FD[drawn] = rng.normal(part.mean() if part.size else 0.0, deviation, part.shape)


def _cut(dense: DenseFFN, slices: int) -> tuple[np.ndarray, np.ndarray]:
    """Both matrices of M networks whose sum is the dense network, (M, D, H) and (M, F, D)."""
    up_DH, down_FD = check_dense(dense.params, dense.activation)
    parts = n_matrices(dense.activation) - 1  # the gate half and the up half are cut alike
    up_DPMF = up_DH.reshape(dense.d_model, parts, slices, -1)
    up_MDH = up_DPMF.transpose(2, 0, 1, 3).reshape(slices, dense.d_model, -1)
    return up_MDH, down_FD.reshape(slices, -1, dense.d_model)


def _weight(layer: MoELayer, slices: int, exact: bool) -> float:
    """Sum of a token's weights on each slice, or the mean if it varies and need not be exact."""
    rng = np.random.default_rng(0)
    x_ND = rng.standard_normal((PROBES, layer.d_model))
    if exact:
        # Vectors of many lengths: short ones leave the gate undecided, long ones make it certain.
        x_ND *= np.geomspace(0.01, 4, PROBES)[:, None]
    free = replace(layer, capacity=NO_LIMIT)
    routing = free.route(x_ND, token_ids=np.arange(PROBES))
    if routing.dispatch_NS is not None:
        raise ValueError(f"router: got {layer.router.name!r}, allowed is one that mixes no tokens")
    sum_NM = routing.combine().reshape(PROBES, slices, -1).sum(axis=2)
    low, high, mean = float(sum_NM.min()), float(sum_NM.max()), float(sum_NM.mean())
    if mean <= 0 or (exact and high - low > 1e-5 * mean):
        raise ValueError(
            f"router: got {layer.router.name!r}, whose weights of a token sum to {low:.3g} to "
            f"{high:.3g} on each of {slices} slice(s), so that no copy of the dense layer computes "
            "the same; allowed is one with a constant sum, such as topk with renormalize and k a "
            "multiple of slices, deepseek_v3 or gshard (exact=False takes the mean)"
        )
    return mean
