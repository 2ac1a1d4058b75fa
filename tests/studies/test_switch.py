"""The oscilloscope: its figures from curves made by hand, and a small run worked out once more."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe import metrics
from moe.data import Corpus, TextTask, load_corpus
from moe.studies.switch import PROBES, SwitchSettings, Trace, switch, trace
from moe.sweeps.experiments import EXPERIMENTS

SMALL = dict(
    n_experts=4, d_model=8, d_expert=4, batch=64, steps=12, before=7, context=3, router="topk", k=1
)  # fmt: skip


def made(after: list[list[int]], before: list[list[int]], band: float = 0.3) -> Trace:
    return Trace(np.array(before), np.array(after), band, 0.1, 1.5)


def test_figures_of_a_damped_swing() -> None:
    """The first expert comes at twice its share, swings to half of it, and comes to rest."""
    after = [[40, 20, 10, 10], [30, 20, 15, 15], [10, 20, 25, 25], [18, 20, 21, 21], [20] * 4]
    got = made(after + [[20] * 4] * 5, [[20] * 4] * 30).figures()
    assert (
        got.level == 0
        and got.peak == 1.0
        and got.end == pytest.approx(np.mean([1.0, 0.5, 0.25, 0.05, 0, 0, 0, 0, 0, 0]))
    )
    # The first swings 0.5 below its share; the last two, pushed below it, come 0.25 above.
    assert got.overshoot == 0.5
    assert got.settling == 2  # MaxVio 1, 0.5, 0.25, ...
    assert got.ripple == 0 and got.held_out_loss == 1.5


def test_what_does_not_settle_says_so_and_what_does_not_cross_has_no_overshoot() -> None:
    still = made([[40, 20, 10, 10]] * 10, [[20] * 4] * 3).figures()
    assert still.settling is None and still.overshoot == 0 and still.ripple == 0
    turns = made([[30, 10], [10, 30]] * 10, [[20, 20]]).figures()
    assert turns.overshoot == 0.5 and turns.ripple == 1.0


def test_where_no_token_asks_for_an_expert_loads_are_no_ripple() -> None:
    silent = made([[40, 0, 0, 0], [0, 0, 0, 0], [10, 10, 10, 10]] * 4, [[20] * 4] * 3)
    assert silent.ratio_SE[1].tolist() == [1.0] * 4
    figures = silent.figures()
    assert (figures.overshoot, figures.ripple, figures.end) == (0.0, 0.0, pytest.approx(1.0))


def test_overshoot_looks_at_pushed_loads_only() -> None:
    assert metrics.overshoot(np.array([[1.05, 0.95], [0.2, 1.8]])) == 0
    assert metrics.overshoot(np.array([[1.2, 0.8], [1.1, 0.9], [0.7, 1.3]])) == pytest.approx(0.3)
    assert metrics.settling(np.array([1.0, 0.1, 0.5, 0.1, 0.1]), 0.3) == 3
    assert metrics.settling(np.array([0.1, 0.4]), 0.3) is None
    assert metrics.ripple(np.array([[1.0, 1.0]])) == 0


@pytest.mark.parametrize("balance", ["none", "smebu"])
def test_a_run_is_a_training_whose_text_is_swapped(balance: str) -> None:
    """Two plain trainings' worth of steps, done here by hand, leave the same loads."""
    settings = SwitchSettings(**SMALL, balance=balance, first="c", then="prose")
    got = trace(settings)
    corpus = load_corpus()
    kinds = {
        name: TextTask(Corpus((corpus.domains[corpus.names.index(name)],)), 3)
        for name in ("c", "prose")
    }
    trainer = moe.Trainer(settings, kinds["c"])
    for _ in range(7):
        trainer.step()
    trainer.task = kinds["prose"]
    inputs, _ = kinds["prose"].draw(np.random.default_rng(0), PROBES)
    loads = []
    for _ in range(6):
        loads.append(trainer.layer.route(trainer.embed(inputs)).load)
        trainer.step()
    assert got.before_SE.shape == (7, 4)
    assert np.array_equal(got.after_SE, loads)
    assert (got.after_SE.sum(axis=1) == PROBES).all()
    windows = [tuple(row) for row in inputs.tolist()]
    assert got.lump == max(windows.count(window) for window in set(windows)) / PROBES
    assert switch(settings) == got.figures() == EXPERIMENTS["switch"].measure(settings)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (dict(task="spirals"), "task: got 'spirals', allowed is 'text'"),
        (dict(before=12), "before: got 12, allowed is a number below steps"),
        (dict(then="latin"), "then: got 'latin', allowed is one of"),
    ],
)
def test_what_cannot_be_switched_is_refused(wrong: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SwitchSettings(**SMALL | wrong)
