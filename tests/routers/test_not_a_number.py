"""NaN in a token's logits gives NaN out of that token, and out of no other."""

from __future__ import annotations

import math

import numpy as np
import pytest

import moe
from moe import kernels
from moe.kernels import rerouting, selection
from moe.kernels.backend import BACKENDS

DTYPES = ["float32", "float64"]
WITH_GATE = [name for name, kind in moe.ROUTERS.items() if "gate" in kind.projections]
N, D, BAD = 9, 6, 4  # tokens, width, and the token whose logits are broken


def with_k(name: str, k: int, **options: object) -> moe.Router:
    takes_k = "k" in moe.make_router(name).options()
    return moe.make_router(name, **options, **({"k": k} if takes_k else {}))


def breaking(router: moe.Router, experts: list[int]) -> moe.Router:
    """The router with NaN in one token's logits."""

    def project(self, x_ND, params, n_experts):  # type: ignore[no-untyped-def]
        made = type(router).project(self, x_ND, params, n_experts)
        made["logits_NE"][BAD, experts] = np.nan
        return made

    kind = type("Breaking", (type(router),), {"project": project})
    return kind(**router.options())  # type: ignore[no-any-return]


OPTIONS: dict[str, list[dict[str, object]]] = {
    "topk": [{}, {"score": "sigmoid", "renormalize": False}, {"weigh_input": True}],
    "deepseek_v2": [{}, {"n_group": 2, "topk_group": 1}],
    "deepseek_v3": [{}, {"n_group": 2, "topk_group": 1}, {"renormalize": False}],
    "deepseek_v4": [{}, {"by_token": True}],
    "base": [{}, {"balanced": False}],
    "sinkhorn": [{}, {"balanced": False}],
    "dynmoe": [{}, {"fallback": False}],
    "moe_pp": [{}, {"renormalize": True}],
    "gshard": [{}, {"gumbel": True}],
}


@pytest.mark.parametrize("name", WITH_GATE)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_one_token_s_nan_stays_in_its_row(name: str, dtype: str, backend: str) -> None:
    """For few and many experts: below and above each number at which selection changes."""
    x_ND = np.random.default_rng(0).standard_normal((N, D)).astype(dtype)
    with kernels.using(backend):
        for options in OPTIONS.get(name, [{}]):
            for n_experts in (4, 8, 32, 34):  # around KEYS_FROM and 2 * LANES
                for k, experts in ((1, [n_experts - 1]), (2, [0]), (2, list(range(n_experts)))):
                    router = breaking(with_k(name, k, **options), experts)
                    layer = moe.MoELayer.init(
                        D, 5, n_experts, router=router, activation="relu", dtype=dtype
                    )
                    for rng in (None, np.random.default_rng(1)):
                        y_ND, ctx = layer.forward(x_ND, rng)
                        case = options, n_experts, k, experts, rng
                        nan_N = np.isnan(y_ND).any(axis=1)
                        assert np.isnan(y_ND[BAD]).all(), case
                        if ctx.routing.dispatch_NS is None:  # a slot is a mix of all tokens
                            assert nan_N.sum() == 1, case
                        else:
                            assert nan_N.all(), case


@pytest.mark.parametrize("name", WITH_GATE)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("drop", ["none", "order", "score", "reroute"])
def test_a_broken_gate_shows_in_every_token(name: str, backend: str, drop: str) -> None:
    """Capacity may drop an assignment or send it elsewhere, and yet nothing looks whole."""
    x_ND = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)
    if drop == "reroute" and not moe.ROUTERS[name].reroutable:
        return
    with kernels.using(backend):
        for n_experts in (4, 8, 12):
            for spot in (0, -1):
                layer = moe.MoELayer.init(
                    D, 5, n_experts, router=name, capacity=moe.Capacity(0.5, drop)
                )
                layer.params["gate_DE"][2, spot] = np.nan
                assert np.isnan(layer(x_ND)).all(), (n_experts, spot)


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-40, 3e38]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_experts", [1, 2, 7, 8, 9, 16, 33])
def test_every_selection_orders_nan_first_and_ties_by_index(dtype: str, n_experts: int) -> None:
    rng = np.random.default_rng(n_experts)
    rows_NE = rng.choice(SPECIAL, (300, n_experts)).astype(dtype)
    rows_NE[:50] = np.where(rng.random((50, n_experts)) < 0.9, np.nan, rows_NE[:50])
    for k in sorted({1, min(2, n_experts), n_experts}):
        truth = [
            sorted(
                range(n_experts),
                key=lambda e: (0, 0.0, e) if math.isnan(row[e]) else (1, -row[e], e),
            )[:k]
            for row in rows_NE.tolist()
        ]
        for select in (kernels.topk, selection.topk_oracle):
            assert select(rows_NE, k).tolist() == truth, select.__name__
        for select in (kernels.softmax_topk, selection.softmax_topk_oracle):
            with np.errstate(invalid="ignore"):
                assert select(rows_NE, k)[0].tolist() == truth, select.__name__


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("best_of", [1, 2])
def test_a_group_with_nan_is_among_the_best(dtype: str, best_of: int) -> None:
    rng = np.random.default_rng(0)
    rows_NE = rng.choice([np.nan, 1.0, 2.0, -1.0], (200, 12), p=[0.05, 0.3, 0.3, 0.35])
    rows_NE = rows_NE.astype(dtype)
    masked_NE = kernels.mask_groups(rows_NE, 4, 2, best_of)
    assert np.array_equal(
        masked_NE, selection.mask_groups_oracle(rows_NE, 4, 2, best_of), equal_nan=True
    )
    for row, masked in zip(rows_NE.reshape(200, 4, 3), masked_NE.reshape(200, 4, 3), strict=True):
        broken = np.isnan(row).any(axis=1)
        assert np.isnan(masked).any(axis=1).sum() == min(broken.sum(), 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rerouting_has_the_same_order_in_both_backends(dtype: str) -> None:
    rng = np.random.default_rng(0)
    logits_NE = rng.choice([np.nan, 1.0, 2.0, -np.inf, 0.0], (40, 9)).astype(dtype)
    token_A, rank_A = np.repeat(np.arange(40), 2), np.tile([0, 1], 40)
    expert_A = kernels.topk(logits_NE, 2).reshape(-1)
    for limit in (1, 4, 8):
        place_A = [np.sum(expert_A[:a] == expert_A[a]) for a in range(80)]
        given = token_A, rank_A, expert_A, np.array(place_A) < limit, logits_NE, limit
        for mine, truth in zip(
            kernels.reroute(*given), rerouting.reroute_oracle(*given), strict=True
        ):
            assert np.array_equal(mine, truth)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("noise", [False, True])
def test_sparsemixer_never_lists_a_pair_twice(backend: str, noise: bool) -> None:
    logits_NE = np.full((4, 8), -np.inf)
    logits_NE[1, 0], logits_NE[2, 5] = 1.0, 1.0
    logits_NE[3] = np.nan
    rng = np.random.default_rng(0) if noise else None
    with kernels.using(backend), np.errstate(invalid="ignore"):
        routing = moe.make_router("sparsemixer").choose(logits_NE, rng=rng)
    first, second = routing.expert_A.reshape(4, 2).T
    assert (first != second).all()
    assert first[1] == 0 and first[2] == 5
