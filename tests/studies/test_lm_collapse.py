"""The collapse in a language model: a step is the trainer's, and what is frozen stays."""

from __future__ import annotations

import numpy as np
import pytest

from moe.lm.training import LMTrainer
from moe.studies.collapse import watch
from moe.studies.lm_collapse import Layers, LMCollapseSettings, lm_collapse

SMALL = dict(d_model=16, d_expert=8, n_experts=4, batch=4, context=16, steps=4)


def test_a_step_is_the_trainers() -> None:
    subject = Layers(settings := LMCollapseSettings(**SMALL))
    losses, looks = zip(*[subject.step() for _ in range(settings.steps)])
    trainer = LMTrainer(subject.trainer.settings)
    records = list(trainer.run())
    assert np.allclose(losses, [record.loss for record in records], rtol=1e-6)
    for name, array in trainer.model.arrays().items():
        assert np.array_equal(array, subject.trainer.model.arrays()[name]), name
    for record, seen in zip(records, looks):
        vio = [look.load_E.max() / look.load_E.mean() - 1 for look in seen]
        assert np.allclose(vio, record.max_vio)
    assert subject.class_counts().sum() == 4 * 4 * 16
    assert np.isclose(subject.evaluate(), records[-1].held_out * np.log(2))


@pytest.mark.parametrize("part", ["experts", "gate"])
def test_a_frozen_part_stays_as_it_began(part: str) -> None:
    subject = Layers(LMCollapseSettings(**SMALL, freeze=part))
    first = {n: a.copy() for n, a in subject.trainer.model.arrays().items()}
    for _ in range(3):
        subject.step()
    moved = {
        name: not np.array_equal(array, first[name])
        for name, array in subject.trainer.model.arrays().items()
    }
    still = {name for name, has in moved.items() if not has}
    names = {"experts": ("w_gate_up_ED2F", "w_down_EFD"), "gate": ("gate_DE",)}[part]
    assert still == {f"blocks.{n}.ffn.{name}" for n in (0, 1) for name in names}


def test_what_is_done_to_a_gate_is_done_in_every_layer() -> None:
    plain, small = (Layers(LMCollapseSettings(**SMALL)) for _ in range(2))
    watch(small, "small", 1)
    watch(plain, "none", 1)
    assert len(plain.gates()) == 2
    centred = Layers(LMCollapseSettings(**SMALL))
    watch(centred, "centre", 1)
    looks = centred.step()[1]
    assert all(look.common_logits < 1e-9 for look in looks)


def test_figures_are_means_over_the_layers() -> None:
    settings = LMCollapseSettings(**SMALL)
    figures = lm_collapse(settings)
    subject = Layers(settings)
    shares = np.sum([[look.load_E for look in subject.step()[1]] for _ in range(4)], axis=0)
    assert np.isclose(figures.hottest_share, np.mean(shares.max(axis=1) / shares.sum(axis=1)))
    assert figures.max_vio > 0 and figures.gate_moved > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(freeze="embedding"), "freeze: got 'embedding'"),
        (dict(intervention="frequencies"), "intervention: got 'frequencies'"),
        (dict(n_experts=0), "n_experts: got a dense model"),
        (dict(dense="active"), "n_experts: got a dense model"),
        (dict(router="hash"), "router: got 'hash'"),
    ],
)
def test_settings_are_checked(options: dict, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        LMCollapseSettings(**SMALL | options)
    assert words in str(caught.value)
