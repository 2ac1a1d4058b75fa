"""Dynamic, balanced, causal: each counted once more, and the probe sees what balancers leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import moe
from moe.routers.topk import TopK
from moe.studies.causality import probe_router
from moe.studies.traits import HELD, traits

SMALL = dict(task="linear_maps", d_model=8, d_expert=4, n_experts=6, batch=64, steps=25)


@pytest.mark.parametrize(
    ("router", "balance"),
    [("topk", "none"), ("null_experts", "aux"), ("expert_threshold", "cutoff_ema")],
)
def test_traits_are_counted_by_hand(router: str, balance: str) -> None:
    settings = moe.TrainSettings(**SMALL, router=router, balance=balance)
    got = traits(settings)
    trainer = moe.Trainer(settings)
    records = list(trainer.run())
    n_computing = 4 if router == "null_experts" else 6
    vio = []
    for record in records[5:]:
        load = record.proposed[:n_computing].tolist()
        vio.append(max(load) * n_computing / sum(load) - 1)
    assert got.max_vio == pytest.approx(sum(vio) / 20)
    inputs, _ = trainer.task.held_out(np.random.default_rng(0), HELD)
    routing = trainer.layer.route(trainer.embed(inputs))
    counts = [0] * HELD
    for token, expert in zip(routing.token_A.tolist(), routing.expert_A.tolist(), strict=True):
        counts[token] += expert < n_computing
    mean = sum(counts) / HELD
    assert got.experts == pytest.approx(mean)
    assert got.spread == pytest.approx((sum((c - mean) ** 2 for c in counts) / HELD) ** 0.5)
    assert (got.spread > 0) == (router != "topk")
    assert got.changed == 0 and got.held_out_loss == trainer.evaluate()


def test_the_probe_routes_with_the_buffers_that_it_is_given() -> None:
    """A router that would leak only where a bias steers it is found out with one."""

    @dataclass(frozen=True)
    class Sly(TopK):
        def choose(self, logits_NE, *, select_bias_E=None, **more):  # type: ignore[no-untyped-def]
            if select_bias_E is not None and select_bias_E.any():
                logits_NE = logits_NE - logits_NE.mean(axis=0)
            return super().choose(logits_NE, **more)

    assert probe_router(Sly()).found
    assert not probe_router(Sly(), buffers={"select_bias_E": np.ones(8)}).found
    bars = {"threshold_E": np.linspace(-1, 1, 8), "cutoff_mean_E": np.zeros(8)}
    assert probe_router(moe.make_router("expert_threshold"), buffers=bars).found
