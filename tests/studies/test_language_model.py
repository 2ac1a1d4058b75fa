"""A watched language model: its looks, the experts of the passage, and what ships."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moe import metrics
from moe.errors import CheckpointError
from moe.lm import shipped
from moe.lm.training import LMTrainer
from moe.studies import language_model
from moe.studies.language_model import (
    BEGINNINGS,
    KINDS,
    LOADED,
    LOOKS,
    PASSAGES,
    Learned,
    Look,
    Step,
    settings_of,
    watch,
)

SMALL = dict(d_model=16, n_heads=2, d_expert=8, n_experts=4, context=16, batch=4)


@pytest.fixture(scope="module")
def trainer() -> LMTrainer:
    return LMTrainer(replace(settings_of(steps=4), eval_every=2, **SMALL))


@pytest.fixture(scope="module")
def records(trainer: LMTrainer) -> list[Step | Look]:
    return list(watch(trainer))


@pytest.fixture(scope="module")
def runs() -> list[Learned]:
    return [Learned.read(run) for run in shipped.unpack("language-model")["runs"]]


def test_every_step_is_shown_and_every_look_after_its_step(records):
    assert [type(one).__name__ for one in records] == ["Step", "Step", "Look"] * 2
    assert [one.step for one in records] == [1, 2, 2, 3, 4, 4]


def test_a_look_has_samples_choices_and_loads(records, trainer):
    look = records[-1]
    assert isinstance(look, Look)
    assert [text[:4] for text in look.samples] == list(BEGINNINGS)
    assert len(look.samples[0].encode("utf-8", "replace")) >= 16
    letters = language_model.passage_of(trainer.windows)
    assert [len(row) for row in look.expert_LT] == [len(letters)] * 2 == [PASSAGES * 16] * 2
    assert [sum(load_E) for load_E in look.load_LE] == [LOADED * 16 * 2] * 2
    assert look.max_vio == tuple(metrics.max_vio(np.array(one)) for one in look.load_LE)


def test_the_choices_are_the_first_ones_of_the_passage_alone(records, trainer):
    """Held-out letters are routed alike whoever shares their batch."""
    tokens_BT = language_model.held_out(trainer.windows, PASSAGES)[:, :-1]
    for routing, expert_T in zip(
        trainer.model.forward(tokens_BT).routings, records[-1].expert_LT, strict=True
    ):
        assert routing.expert_A.reshape(-1, 2)[:, 0].tolist() == list(expert_T)


def test_a_dense_model_has_no_experts_to_show():
    settings = replace(settings_of("active", steps=1), **SMALL)
    look = list(watch(LMTrainer(settings)))[-1]
    assert isinstance(look, Look) and not look.expert_LT and not look.load_LE and look.samples


def test_a_run_is_read_as_it_was_written(runs):
    given = runs[0].as_json()
    assert Learned.read(given) == runs[0]
    assert not Learned.read(runs[0].as_json(shown=False)).end.samples
    for broken in (
        {**given, "kind": "other"}, {**given, "looks": []}, {**given, "looks": [{}]}, {},
        {**given, "passage": given["passage"][1:]}, {**given, "seed": None},
    ):  # fmt: skip
        with pytest.raises(CheckpointError, match=r"^run: got"):
            Learned.read(broken)


def test_the_shipped_runs_are_those_of_the_settings_of_today(runs):
    from docs.generator.lm_runs import RUNS, is_of

    kept = shipped.unpack("language-model")["runs"]
    assert all(is_of(*pair) for pair in zip(RUNS["language-model"](), kept, strict=True))
    assert {run.kind for run in runs} == set(KINDS)
    for run in runs:
        assert len(run.looks) == LOOKS and run.end.step == settings_of().steps


def test_the_shipped_loads_are_counts_of_held_out_letters(runs):
    settings = settings_of()
    film = runs[0]
    for look in film.looks:
        for load_E, expert_T in zip(look.load_LE, look.expert_LT, strict=True):
            assert sum(load_E) == LOADED * settings.context * settings.k
            # The passage is among what was counted.
            counts_E = np.bincount(expert_T, minlength=settings.n_experts)
            assert (counts_E <= np.array(load_E)).all()


def test_the_files_that_ship_are_small():
    sizes = [path.stat().st_size for path in shipped.HERE.glob("*.gz")]
    assert sizes and sum(sizes) <= 250_000
    with pytest.raises(ValueError, match="got another document"):
        path = shipped.path_of
        try:
            shipped.path_of = lambda name: path("think")
            shipped.unpack("language-model")
        finally:
            shipped.path_of = path
