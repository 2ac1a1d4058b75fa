"""Why experts collapse: what is done to a run, what is looked at, and what the record says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

import moe
from docs.generator import collapse as page
from docs.generator import studies
from moe.studies.collapse import (
    INTERVENTIONS,
    CollapseSettings,
    Look,
    OneLayer,
    centred,
    collapse,
    common,
    look,
    watch,
)
from moe.sweeps.plan import read_plan
from tests.gradients import worst_error

SMALL = dict(d_model=16, d_expert=8, n_experts=6, batch=64, steps=3)


# Runs ------------------------------------------------------------------------------------------


def test_a_short_run_shows_the_causes() -> None:
    """One seed, few steps: the direction of what the record says over five seeds and 300 steps."""
    short = CollapseSettings(steps=40)
    plain, frozen, centre, known, still = (
        collapse(replace(short, **change)).hottest_share
        for change in (
            dict(),
            dict(freeze="experts"),
            dict(intervention="centre"),
            dict(intervention="frequencies"),
            dict(freeze="embedding"),
        )
    )
    assert frozen > plain + 0.05
    assert max(centre, known, still) < plain - 0.05


def test_without_an_intervention_it_is_the_plain_run() -> None:
    figures = collapse(CollapseSettings(**SMALL))
    records = list(moe.train(moe.TrainSettings(**SMALL)))
    assert figures.loss == np.mean([record.loss for record in records])
    load_E = np.sum([record.proposed for record in records], axis=0)
    assert figures.hottest_share == load_E.max() / load_E.sum()
    assert figures.max_vio == np.mean([record.max_vio for record in records])


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_an_intervention_changes_the_run_and_the_same_one_twice_is_the_same(name: str) -> None:
    plain, *changed = (
        collapse(CollapseSettings(**SMALL, intervention=intervention))
        for intervention in ("none", name, name)
    )
    assert changed[0] == changed[1]
    assert (changed[0] == plain) == (name == "none")


def test_frequencies_are_those_of_the_training_data() -> None:
    subject = OneLayer(CollapseSettings(**SMALL))
    INTERVENTIONS["frequencies"].apply(subject)
    corpus = subject.trainer.task.corpus.data
    share_V = np.bincount(corpus, minlength=256) / corpus.size
    assert np.exp(subject.trainer.output_bias_V).sum() == pytest.approx(1, abs=1e-5)
    assert np.abs(np.exp(subject.trainer.output_bias_V) - share_V).max() < 0.01
    before = subject.trainer.output_bias_V.copy()
    subject.step()
    assert np.array_equal(before, subject.trainer.output_bias_V)
    assert subject.trainer.evaluate() < np.log(256) - 1  # it is used there too


def test_a_centred_gate_has_the_right_gradient() -> None:
    rng = np.random.default_rng(0)
    layer = moe.MoELayer.init(6, 4, 5, router=centred(moe.make_router("topk")), dtype="float64")
    x_ND, dy_ND = 1 + rng.standard_normal((2, 9, 6))
    _, ctx = layer.forward(x_ND)
    dx_ND, grads = layer.backward(dy_ND, ctx)
    arrays = {"x_ND": x_ND, "gate_DE": layer.params["gate_DE"]}
    seen = {"x_ND": dx_ND, "gate_DE": grads["gate_DE"]}
    assert worst_error(lambda: float((layer(x_ND) * dy_ND).sum()), arrays, seen) <= 1e-6
    shifted = layer.route(x_ND + 3 * rng.standard_normal(6))
    assert np.allclose(shifted.logits_NE, ctx.routing.logits_NE)  # a common part is not seen


def test_common_is_the_share_of_the_mean() -> None:
    row_ND = np.random.default_rng(1).standard_normal((50, 7)) + 0.3
    apart = ((row_ND - row_ND.mean(axis=0)) ** 2).sum() / (row_ND**2).sum()
    assert common(row_ND) == pytest.approx(1 - apart)
    assert common(np.ones((4, 3))) == pytest.approx(1)
    assert common(np.array([[1.0, 2.0], [-1.0, -2.0]])) == 0
    assert common(np.zeros((2, 2))) == 0


class TwoLayers:
    """A subject of two layers whose looks are known beforehand."""

    learning_rate = 0.1

    def __init__(self) -> None:
        self.layers: Sequence[moe.MoELayer] = ()
        self.output_bias_V = np.zeros(2)
        self.gate = np.array([3.0, 4.0])
        self.optimizer = moe.optim.Adam()

    def gates(self) -> dict[str, np.ndarray]:
        return {"gate": self.gate}

    def class_counts(self) -> np.ndarray:
        return np.zeros(0)

    def common_outputs(self) -> np.ndarray:
        return np.zeros(0)

    def step(self) -> tuple[float, Sequence[Look]]:
        self.gate[0] += 1
        looks = (Look(np.array([3, 1]), 0.25, 0.5), Look(np.array([2, 2]), 0.75, 0.5))
        return 1.5, looks

    def evaluate(self) -> float:
        return 2.0


def test_a_model_of_several_layers_is_watched_like_one() -> None:
    figures = watch(TwoLayers(), "none", 5)
    assert (figures.hottest_share, figures.max_vio) == (0.625, 0.25)  # of .75 and .5; of .5 and 0
    assert (figures.common_logits_end, figures.common_input_first) == (0.5, 0.5)
    assert (figures.loss, figures.held_out_loss, figures.gate_moved) == (1.5, 2.0, 1.0)
    assert figures.says_frequency is None


class Scripted(TwoLayers):
    """One layer whose looks tell which step they are of; what it says at the end tells when."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0

    def step(self) -> tuple[float, Sequence[Look]]:
        at, self.at = self.at, self.at + 1
        self.gate += (3.0, 4.0)
        return 100.0 + at, (Look(np.array([100 + at**2, 100]), 0.01 * at, 0.001 * at),)

    def class_counts(self) -> np.ndarray:
        return np.array([1, 10, 100, 0])

    def common_outputs(self) -> np.ndarray:
        return np.array([0.0, 1.0, 2.0, 50.0]) if self.at == min(20, self.last) else np.ones(4)

    last = 45


def share_of(steps: range) -> float:
    """Of the first expert over these steps."""
    asked = sum(100 + at**2 for at in steps)
    return asked / (asked + 100 * len(steps))


def test_figures_are_of_the_steps_that_they_name() -> None:
    """Steps 11 to 20 as people count, and the last twenty of 45."""
    got = watch(Scripted(), "none", 45)
    assert got.first_share == share_of(range(1))
    assert got.early_share == pytest.approx(share_of(range(10, 20)))
    assert got.hottest_share == pytest.approx(share_of(range(25, 45)))
    vio = [2 * share_of(range(at, at + 1)) - 1 for at in range(25, 45)]
    assert got.max_vio == pytest.approx(sum(vio) / 20)
    assert got.common_logits_early == pytest.approx(0.19)
    assert got.common_logits_end == pytest.approx(0.345)
    assert got.common_input_first == 0
    assert got.common_input_early == pytest.approx(0.019)
    assert got.common_input_end == pytest.approx(0.0345)
    assert (got.loss, got.held_out_loss) == (100 + 34.5, 2.0)
    assert got.gate_moved == pytest.approx(45)
    assert got.says_frequency == pytest.approx(1)  # asked at step 20; the class that is not there


@pytest.mark.parametrize("steps", [3, 10, 15, 20, 21])
def test_early_is_as_late_as_a_short_run_gets(steps: int) -> None:
    subject = Scripted()
    subject.last = steps
    got = watch(subject, "none", steps)
    assert subject.at == steps
    last = min(steps, 20)
    first = 10 if steps > 10 else steps - 1
    assert got.early_share == pytest.approx(share_of(range(first, last)))
    assert got.common_logits_early == pytest.approx(0.01 * (last - 1))
    assert got.hottest_share == pytest.approx(share_of(range(max(steps - 20, 0), steps)))
    assert got.says_frequency == pytest.approx(1)


@pytest.mark.parametrize(
    ("says", "counts", "expected"),
    [
        ([0.0, 1.0], [1, 10], 1.0),
        ([1.0, 0.0], [1, 10], -1.0),
        ([1.0, 5.0], [0, 10], None),  # one class has no correlation
        ([0.0, 0.0], [1, 10], None),  # nothing is said
        ([], [], None),
    ],
)
def test_a_correlation_needs_two_classes_and_a_word(
    says: list[float], counts: list[int], expected: float | None
) -> None:
    class Says(Scripted):
        def common_outputs(self) -> np.ndarray:
            return np.array(says)

        def class_counts(self) -> np.ndarray:
            return np.array(counts)

    got = watch(Says(), "none", 3).says_frequency
    assert got == (expected if expected is None else pytest.approx(expected))


# Interventions, one by one ---------------------------------------------------------------------


def gate_change(intervention: str) -> tuple[np.ndarray, np.ndarray]:
    """The gate's first step under an intervention, and its gradient at that."""
    subject = OneLayer(CollapseSettings(**SMALL, learning_rate=0.01))
    INTERVENTIONS[intervention].apply(subject)
    twin = moe.Trainer(CollapseSettings(**SMALL, learning_rate=0.01))
    grad_DE = twin.gradients(twin.begin())["gate_DE"]
    before = {name: array.copy() for name, array in subject.trainer.arrays().items()}
    subject.step()
    after = subject.trainer.arrays()
    plain = moe.Trainer(CollapseSettings(**SMALL, learning_rate=0.01))
    plain.step()
    for name, array in plain.arrays().items():
        assert (name == "gate_DE") or np.array_equal(after[name], array)  # as without it
    return after["gate_DE"] - before["gate_DE"], grad_DE


def test_plain_descent_moves_the_gate_by_ten_gradients() -> None:
    change_DE, grad_DE = gate_change("sgd")
    np.testing.assert_allclose(change_DE, -10 * grad_DE, atol=1e-6)


def test_a_slow_gate_takes_a_tenth_of_adams_step() -> None:
    """Adam's first step is its rate, whatever the gradient."""
    change_DE, grad_DE = gate_change("slow")
    np.testing.assert_allclose(change_DE, -0.001 * np.sign(grad_DE), rtol=0.05)


@pytest.mark.parametrize(("name", "factor"), [("small", 0.1), ("large", 10.0)])
def test_first_weights_are_scaled_and_nothing_else(name: str, factor: float) -> None:
    subject, plain = (OneLayer(CollapseSettings(**SMALL)) for _ in range(2))
    INTERVENTIONS[name].apply(subject)
    for key, array in plain.trainer.arrays().items():
        wanted = array * np.float32(factor) if key == "gate_DE" else array
        assert np.array_equal(subject.trainer.arrays()[key], wanted)
    assert list(subject.gates()) == ["gate_DE"]


def test_centring_reaches_the_gate_of_every_layer() -> None:
    subject = TwoLayers()
    subject.layers = tuple(moe.MoELayer.init(4, 2, 3, router="topk", k=k) for k in (1, 2))
    before = [layer.router.options() for layer in subject.layers]
    INTERVENTIONS["centre"].apply(subject)
    x_ND = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    for layer, options in zip(subject.layers, before, strict=True):
        assert layer.router.options() == options
        logits_NE = layer.route(x_ND).logits_NE
        np.testing.assert_allclose(layer.route(x_ND + 5).logits_NE, logits_NE, atol=1e-5)


def test_frequencies_leave_a_task_without_classes_alone() -> None:
    subject = OneLayer(CollapseSettings(**SMALL, task="linear_maps"))
    INTERVENTIONS["frequencies"].apply(subject)
    assert subject.class_counts().size == 0 and not subject.output_bias_V.any()
    text = OneLayer(CollapseSettings(**SMALL))
    assert text.class_counts().shape == (256,) and 50_000 < text.class_counts().sum() < 80_000
    INTERVENTIONS["frequencies"].apply(text)
    seldom = text.class_counts().argmin()
    assert text.class_counts()[seldom] == 0 and np.isfinite(text.output_bias_V).all()


# What a step shows -----------------------------------------------------------------------------


def test_a_look_is_at_the_batch_that_was_trained_on() -> None:
    subject, twin = (OneLayer(CollapseSettings(**SMALL)) for _ in range(2))
    loss, (seen,) = subject.step()
    made = twin.trainer.begin()
    x_ND, logits_NE = made.x_ND.astype(float), made.ctx.routing.logits_NE.astype(float)
    apart_NE = logits_NE - logits_NE.mean(axis=1, keepdims=True)
    assert loss == made.loss
    assert seen.load_E.tolist() == made.ctx.routing.proposed_load.tolist()
    assert seen.common_input == pytest.approx(common(x_ND))
    assert seen.common_logits == pytest.approx(common(apart_NE))
    assert seen.common_logits != pytest.approx(common(logits_NE), rel=1e-3)
    np.testing.assert_allclose(
        subject.common_outputs(),
        x_ND.mean(axis=0) @ subject.trainer.params["out_DV"],
        rtol=1e-4,
        atol=1e-6,
    )
    assert subject.evaluate() == subject.trainer.evaluate()


def test_a_look_does_not_change_the_logits() -> None:
    trainer = moe.Trainer(CollapseSettings(**SMALL))
    made = trainer.begin()
    before = made.ctx.routing.logits_NE.copy()
    look(made.x_ND, made.ctx.routing)
    assert np.array_equal(made.ctx.routing.logits_NE, before)


def test_what_the_mean_token_says_is_how_frequent_the_characters_are() -> None:
    """Spearman's correlation, which does not know the logarithm, with counts of the whole text."""
    trainer = moe.Trainer(moe.TrainSettings(steps=20))
    for _ in range(20):
        made = trainer.begin()
        trainer.finish(made)
    said_V = made.x_ND.mean(axis=0) @ trainer.params["out_DV"]
    count_V = np.bincount(trainer.task.corpus.data, minlength=256)
    often_V = count_V > count_V.sum() / 20_000
    assert spearmanr(said_V[often_V], count_V[often_V]).statistic > 0.85
    figures = collapse(CollapseSettings(steps=20))
    assert 0.85 < figures.says_frequency < 1
    known = collapse(CollapseSettings(steps=20, intervention="frequencies")).says_frequency
    assert known < figures.says_frequency - 0.2  # nobody has to say it then
    assert collapse(CollapseSettings(**SMALL, task="linear_maps")).says_frequency is None


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match="intervention: got 'hope', allowed is one of none, centr"):
        CollapseSettings(intervention="hope")
    with pytest.raises(ValueError, match="router: got 'hash', allowed is one of topk"):
        CollapseSettings(router="hash")


# The record ------------------------------------------------------------------------------------


def test_the_record_holds_the_runs_of_its_plan_under_the_settings_of_today() -> None:
    study, plan = studies.read(page.NAME), read_plan(studies.FOLDER / f"{page.NAME}.toml")
    assert [study.make_settings(row) for row in study.rows] == [
        run.make_settings() for run in plan.runs
    ]
    assert len(study.seeds()) >= 5


def test_the_page_says_what_the_record_says() -> None:
    """Means, deviations and verdicts, computed here from the lines of the file."""
    _, *lines = studies.record(page.NAME).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    text = page.page().replace("\u00a0", " ")

    def values(figure: str, freeze: str = "none", change: str = "none") -> np.ndarray:
        key = (freeze, change, 0.01)
        own = [r for r in rows if (r["freeze"], r["intervention"], r["learning_rate"]) == key]
        return np.array([row[figure] for row in own])

    plain, frozen = values("hottest_share"), values("hottest_share", "experts")
    assert (
        f"busiest expert ends with {100 * plain.mean():.1f} ± {100 * plain.std(ddof=1):.1f} %"
        in text
    )
    assert f"frozen it has {100 * frozen.mean():.1f} ±" in text
    assert f"more in {(frozen > plain).sum()} of {plain.size} seeds" in text
    assert ("it gets worse" in text) == (
        frozen.mean() - plain.mean() > frozen.std(ddof=1) + plain.std(ddof=1)
    )
    for change in ("centre", "frequencies"):
        before, after = values("max_vio"), values("max_vio", change=change)
        assert after.max() < before.min()
        assert (
            f"falls from {before.mean():.2f} ± {before.std(ddof=1):.2f} to "
            f"{after.mean():.2f} ± {after.std(ddof=1):.2f}"
        ) in text
    table = [line for line in text.splitlines() if line.startswith("| nothing changed |")]
    assert f"| {values('held_out_loss').mean():.2f} ±" in table[0]
