"""Operations are counted where they happen: what a layer says against products that were seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import moe
from moe import kernels
from moe.kernels.backend import BACKENDS

PRODUCTS = ("matmul", "matmul_nt", "matmul_tn")
CASES = [
    *((name, {}) for name in moe.ROUTERS),
    ("soft", {"slots": 4}),
    ("topk", {"bias": True, "weigh_input": True}),
    ("moe_pp", {"renormalize": True, "n_constant": 3}),
    ("deepseek_v3", {"n_group": 2, "topk_group": 1}),
]


class Seen:
    """Stands in for the products: adds up 2 x rows x columns x depth of each, by its shapes."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.flops = 0
        for name in PRODUCTS:
            stand_in = self.product(name, getattr(kernels, name))
            patch.setattr(kernels, name, stand_in)
            patch.setattr(f"moe.specials.{name}", stand_in)
        self.run_experts = kernels.experts_forward
        patch.setattr(kernels, "experts_forward", self.experts_forward)

    def product(self, name: str, real: Any) -> Any:
        def stand_in(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            rows, depth = a.shape[::-1] if name == "matmul_tn" else a.shape
            columns = b.shape[0] if name == "matmul_nt" else b.shape[1]
            self.flops += 2 * rows * columns * depth
            return np.asarray(real(a, b))

        return stand_in

    def experts_forward(self, x_ND: np.ndarray, plan: Any, *more: Any) -> Any:
        up_EDH, down_EFD = more[:2]
        for e, rows in enumerate(np.diff(plan.expert_start_E1)):
            (d, h), (f, _) = up_EDH[e].shape, down_EFD[e].shape
            self.flops += 2 * int(rows) * (d * h + f * d)
        return self.run_experts(x_ND, plan, *more)


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_layer_counts_every_product_that_it_makes(
    name: str, options: dict[str, Any], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = moe.make_router(name, **options)
    layer = moe.MoELayer.init(6, 5, 8, router=router, n_shared=1)
    layer.params["shared_gate_D1"] = np.ones((6, 1), np.float32)
    rng = np.random.default_rng(0)
    x_ND = rng.standard_normal((40, 6)).astype(np.float32)
    previous_NE = rng.standard_normal((40, 8)) if name == "moe_pp" else None
    with kernels.using(backend):
        seen = Seen(monkeypatch)
        _, ctx = layer.forward(x_ND, previous_NE=previous_NE)
    routing = ctx.routing
    mixed = sum(
        7 - 4  # a_1 x + a_2 v beside the map, whose product was seen
        for expert in routing.expert_A
        if expert >= 8 - len(router.specials) and router.specials[expert - 8] == "constant"
    )
    assert ctx.executed_flops == seen.flops + mixed * 6


def test_soft_moe_and_the_gating_residual_by_hand() -> None:
    """N tokens, D wide, S slots: logits, both mixes, and the experts' rows; and N x E x E."""
    layer = moe.MoELayer.init(4, 5, 3, router=moe.make_router("soft", slots=4))
    _, ctx = layer.forward(np.ones((7, 4), np.float32))
    assert ctx.executed_flops == 3 * 2 * 7 * 4 * 12 + 12 * 2 * 3 * 4 * 5
    layer = moe.MoELayer.init(4, 5, 6, router=moe.make_router("moe_pp", n_constant=0))
    x_ND = np.ones((7, 4), np.float32)
    alone = layer.forward(x_ND)[1].executed_flops
    both = layer.forward(x_ND, previous_NE=np.zeros((7, 6)))[1].executed_flops
    assert both - alone == 2 * 7 * 6 * 6


def test_who_counts_outside_counts_what_is_counted_inside() -> None:
    a_NM, b_MP = np.ones((5, 3)), np.ones((3, 4))
    with kernels.counting() as outer:
        kernels.matmul(a_NM, b_MP)
        with kernels.counting() as inner:
            kernels.matmul_nt(a_NM, b_MP.T.copy())
            kernels.matmul_tn(a_NM.T.copy(), b_MP)
    kernels.matmul(a_NM, b_MP)  # nobody counts
    assert (inner.flops, outer.flops) == (240, 360)
