"""Every router and every balancer works inside the language model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import moe
from moe import kernels
from moe.lm.model import LanguageModel
from moe.lm.training import LMTrainer

from .test_model import SMALL, LMConfig
from .test_training import bits, ladder, tiny

# Their gradients are estimates: of a choice that was drawn, or straight through a threshold.
ESTIMATED = ("sparsemixer", "dynmoe")


def model_of(router: str) -> LanguageModel:
    """A model whose zeros and ones are moved, so that no gradient is zero by accident."""
    model = LanguageModel.init(LMConfig(**SMALL, router=router), seed=1, dtype="float64")
    rng = np.random.default_rng(2)
    for array in model.arrays().values():
        array += 0.3 * rng.standard_normal(array.shape)
    return model


@pytest.mark.parametrize("router", moe.ROUTERS)
def test_a_model_learns_with_any_router_and_with_the_same_bits_on_two_threads(router: str) -> None:
    ended = []
    for threads in (1, 2):
        with kernels.using(threads=threads):
            trainer = LMTrainer(tiny(router=router, balance="none", learning_rate=0.02), ladder())
            records = list(trainer.run())
        assert records[-1].loss < records[0].loss
        assert all(np.isfinite(record.max_vio).all() for record in records)
        ended.append(bits(trainer))
    assert ended[0] == ended[1]


@pytest.mark.parametrize("router", [name for name in moe.ROUTERS if name not in ESTIMATED])
def test_gradients_are_the_slopes_of_the_loss_with_any_router(router: str) -> None:
    model, rng = model_of(router), np.random.default_rng(3)
    tokens_BT, target_BT = (rng.integers(0, 11, (3, 7)) for _ in range(2))
    grads = model.gradients(tokens_BT, target_BT).arrays
    for name, array in model.arrays().items():
        way, here, loss = rng.standard_normal(array.shape), array.copy(), []
        for step in (1e-6, -1e-6):
            array[...] = here + step * way
            loss.append(model.token_losses(tokens_BT, target_BT).mean())
        array[...] = here
        assert np.isclose((grads[name] * way).sum(), (loss[0] - loss[1]) / 2e-6, 2e-5, 2e-7), name


@pytest.mark.parametrize("router", moe.ROUTERS)
def test_later_tokens_change_earlier_ones_only_if_the_router_says_so(router: str) -> None:
    model, rng = model_of(router), np.random.default_rng(4)
    tokens_BT = rng.integers(0, 11, (4, 7))
    before = model.logits(tokens_BT)[:, :4]
    changed = False
    for _ in range(20):
        other_BT = tokens_BT.copy()
        other_BT[:, 4:] = rng.integers(0, 11, (4, 3))
        changed |= not np.array_equal(before, model.logits(other_BT)[:, :4])
    assert changed == (not moe.ROUTERS[router].causal)


@pytest.mark.parametrize("balance", moe.BALANCERS)
def test_every_balancer_steers_a_model_whose_router_it_fits(balance: str) -> None:
    fitting = [name for name, kind in moe.ROUTERS.items() if moe.BALANCERS[balance]().fits(kind())]
    assert fitting
    trainer = LMTrainer(replace(tiny(), router=fitting[0], balance=balance), ladder())
    before = {name: array.copy() for name, array in trainer.model.state().items()}
    records = list(trainer.run())
    assert records[-1].loss < records[0].loss
    moved = any(not np.array_equal(before[name], a) for name, a in trainer.model.state().items())
    window_BT = trainer.windows.draw(np.random.default_rng(0), 4)
    added = trainer.model.gradients(window_BT[:, :-1], window_BT[:, 1:]).balance_loss
    assert (moved or added > 0) == (balance != "none")
