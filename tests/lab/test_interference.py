"""The angle between the task's gradient and the balance loss's."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe.lab.interference import EVERY, InterferenceSettings, interference

SMALL = dict(d_model=16, d_expert=8, n_experts=6, batch=64, steps=EVERY)


def test_the_angle_is_that_of_finite_differences() -> None:
    """The gradients of each loss at the gate, by differences of the losses themselves."""
    settings = InterferenceSettings(**SMALL, balance_rate=0.5)
    trainer = moe.Trainer(settings)
    trainer.layer = trainer.layer.astype("float64")
    trainer.params = {name: array.astype(float) for name, array in trainer.params.items()}
    batch = trainer.begin()  # the run's first batch
    target_N = moe.Trainer(settings).task.draw(moe.Trainer(settings)._data_rng, 64)[1]
    gate_DE = trainer.layer.params["gate_DE"]

    def losses() -> np.ndarray:
        x_ND = trainer.embed(batch.inputs)
        y_ND, ctx = trainer.layer.forward(x_ND)
        out_NV = (x_ND + y_ND) @ trainer.params["out_DV"]
        right_N = np.exp(out_NV[np.arange(64), target_N]) / np.exp(out_NV).sum(axis=1)
        task = -np.log(right_N).mean()
        return np.array([task, trainer.balancer.loss(ctx.routing).value])

    slope_2DE = np.zeros((2, *gate_DE.shape))
    for place in np.ndindex(gate_DE.shape):
        kept, ends = gate_DE[place], []
        for step in (1e-6, -1e-6):
            gate_DE[place] = kept + step
            ends.append(losses())
        gate_DE[place] = kept
        slope_2DE[(slice(None), *place)] = (ends[0] - ends[1]) / 2e-6
    task, balance = slope_2DE.reshape(2, -1)
    cosine = task @ balance / np.linalg.norm(task) / np.linalg.norm(balance)
    figures = interference(settings)  # one look, at the first step
    assert figures.gate_cosine == pytest.approx(cosine, abs=1e-3)
    assert figures.gate_opposed == (cosine < 0)
    assert figures.gate_cosine_early == figures.gate_cosine_late == figures.gate_cosine
    assert figures.gate_ratio == pytest.approx(
        np.linalg.norm(balance) / np.linalg.norm(task), rel=1e-3
    )


def test_looking_does_not_change_the_run() -> None:
    settings = InterferenceSettings(**SMALL | dict(steps=2 * EVERY))
    figures = interference(settings)
    trainer = moe.Trainer(moe.TrainSettings(**SMALL | dict(steps=2 * EVERY), balance="aux"))
    assert len(list(trainer.run())) == 2 * EVERY
    assert figures.held_out_loss == trainer.evaluate()


def test_a_bias_has_no_gradient_to_compare() -> None:
    figures = interference(InterferenceSettings(**SMALL, balance="bias"))
    assert figures.gate_cosine is figures.embedding_ratio is figures.gate_opposed is None
    assert figures.max_vio > 0


def test_a_stronger_loss_has_a_longer_gradient_of_the_same_direction() -> None:
    weak, strong = (
        interference(InterferenceSettings(**SMALL, balance_rate=rate)) for rate in (0.1, 0.4)
    )
    assert strong.gate_ratio == pytest.approx(4 * weak.gate_ratio, rel=1e-4)
    assert strong.gate_cosine == pytest.approx(weak.gate_cosine, abs=1e-4)
