"""The angle between the task's gradient and the balance loss's."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe.studies.interference import ENDS, EVERY, InterferenceSettings, _angle, interference

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


@pytest.mark.parametrize("balance", ["aux", "z"])
def test_figures_are_means_over_looks_of_the_whole_run(balance: str) -> None:
    """Seven looks, so that the first five, the last five and all of them differ."""
    settings = InterferenceSettings(**SMALL | dict(steps=6 * EVERY + 1), balance=balance)
    trainer = moe.Trainer(settings)
    parts = {"gate": ["gate_DE"], "embedding": ["table_CVD"]}
    cosines: dict[str, list[float]] = {part: [] for part in parts}
    ratios: dict[str, list[float]] = {part: [] for part in parts}
    vio = []
    for step in range(settings.steps):
        made = trainer.begin()
        if step in (0, 10, 20, 30, 40, 50, 60):
            both = [
                trainer.gradients(made, task=which == 0, balance=which == 1) for which in (0, 1)
            ]
            for part, (name,) in parts.items():
                task, own = (grads[name].ravel().astype(float) for grads in both)
                lengths = float(np.sqrt((task**2).sum())), float(np.sqrt((own**2).sum()))
                cosines[part].append(float((task * own).sum()) / lengths[0] / lengths[1])
                ratios[part].append(lengths[1] / lengths[0])
        vio.append(trainer.finish(made).max_vio)
    got = interference(settings)
    assert EVERY == 10 and ENDS == 5
    assert got.gate_cosine == pytest.approx(np.mean(cosines["gate"]))
    assert got.embedding_cosine == pytest.approx(np.mean(cosines["embedding"]))
    assert got.gate_cosine_early == pytest.approx(np.mean(cosines["gate"][:5]))
    assert got.gate_cosine_late == pytest.approx(np.mean(cosines["gate"][2:]))
    assert got.gate_opposed == pytest.approx(sum(c < 0 for c in cosines["gate"]) / 7)
    assert got.gate_ratio == pytest.approx(np.mean(ratios["gate"]))
    assert got.embedding_ratio == pytest.approx(np.mean(ratios["embedding"]))
    assert got.held_out_loss == trainer.evaluate()
    assert got.max_vio == pytest.approx(np.mean(vio[-20:]))


def test_an_angle_is_over_all_named_arrays_and_zero_has_none() -> None:
    one = {"a": np.array([[3.0, 0.0]]), "b": np.array([4.0]), "c": np.array([9.0])}
    other = {"a": np.array([[0.0, 6.0]]), "b": np.array([8.0]), "c": np.array([-9.0])}
    assert _angle(one, other, ["a", "b"]) == (pytest.approx(32 / 50), pytest.approx(2))
    assert _angle(other, one, ["a", "b"]) == (pytest.approx(32 / 50), pytest.approx(0.5))
    nothing = {"a": np.zeros(2)}
    assert _angle(one, nothing, ["a"]) == _angle(nothing, one, ["a"]) == (0, 0)


def test_without_a_gradient_all_that_compares_is_none() -> None:
    got = vars(interference(InterferenceSettings(**SMALL, balance="none")))
    assert {name for name, value in got.items() if value is not None} == {
        "held_out_loss", "max_vio",
    }  # fmt: skip
    assert InterferenceSettings().balance == "aux"
