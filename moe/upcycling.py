"""Sparse upcycling: an MoE layer whose experts start as copies of a dense layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .arrays import check_dense
from .capacity import NO_LIMIT, Capacity
from .dense import DenseFFN
from .errors import check_int
from .experts import n_matrices, up_name
from .layer import MoELayer
from .routers import Router

PROBES = 1024


def upcycle(
    dense: DenseFFN,
    n_experts: int,
    router: str | Router = "topk",
    k: int = 2,
    seed: int = 0,
    *,
    slices: int = 1,
    exact: bool = True,
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

    Raises
    ------
    ValueError
        If an argument is not allowed, if the router has no such constant, or if its experts
        are not all copies (zero-computation experts) or see mixed tokens (Soft MoE).

    Notes
    -----
    Sparse upcycling, arXiv 2212.05055; virtual groups, arXiv 2410.07524, section 2.3 (which
    spreads its scaling over both matrices).

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
    if layer.router.weigh_input:
        raise ValueError(
            "router: got weigh_input=True, allowed is a router that weighs the experts' results"
        )
    copies = n_experts // slices
    if slices > 1 and "gate_DE" in layer.params:
        gate_DE = layer.params["gate_DE"]
        gate_DE[:, copies:] = np.tile(gate_DE[:, :copies], slices)[:, copies : gate_DE.shape[1]]
    up_MDH, down_MFD = _cut(dense, slices)
    layer.params[up_name(dense.activation)][:] = np.repeat(up_MDH, copies, axis=0)
    layer.params["w_down_EFD"][:] = np.repeat(down_MFD / _weight(layer, slices, exact), copies, 0)
    return layer


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
