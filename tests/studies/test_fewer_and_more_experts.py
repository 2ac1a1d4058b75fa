"""Studies of pruned, upcycled and sparing language models, on runs of a few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moe.lm.data import make_windows
from moe.lm.model import LanguageModel
from moe.lm.pruning import expert_use, kept_experts, prune_model
from moe.lm.training import LMTrainer, evaluate
from moe.studies import opportunistic as sparing
from moe.studies import pruning
from moe.studies.expert_upcycling import WAYS, UpcycleRun, upcycled
from moe.studies.opportunistic import OpportunisticRun, opportunistic, read_together, with_fewer
from moe.studies.pruning import CALIBRATION, PruneRun, calibration, pruned

TINY: dict[str, Any] = dict(
    d_model=16, n_heads=2, n_layers=2, context=16, d_expert=8, n_experts=4, k=2, steps=4, batch=4
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = Path(tmp_path_factory.mktemp("text")) / "text.txt"
    path.write_bytes(b"the quick brown fox jumps over the lazy dog\n" * 100)
    return str(path)


def trained(settings: Any) -> LMTrainer:
    trainer = LMTrainer(settings.training)
    for _ in range(settings.steps):
        trainer.step()
    return trainer


def test_pruned_figures_are_those_of_the_steps_done_by_hand(text: str) -> None:
    settings = PruneRun(**TINY, text=text, keep=3, seed=2)
    figures = pruned(settings)
    trainer = trained(settings)
    windows = make_windows("default", 16, text)
    drawn = windows.draw(np.random.default_rng(2), CALIBRATION)[:, :-1]
    kept = kept_experts(expert_use(trainer.model, [drawn]), 3, "reap", 2)
    assert figures.before == figures.topic_before == trainer.evaluate().bits_per_byte
    after = evaluate(prune_model(trainer.model, kept), windows).bits_per_byte
    assert figures.after == figures.rest_after == after != figures.before
    assert pruned(replace(settings, keep=4)).after == figures.before


def test_calibration_text_is_of_the_domain_that_is_asked() -> None:
    windows = make_windows("default", 16)
    name = windows.names[-1]
    found = calibration(windows, 20, 0, name)
    drawn, labels = windows.draw_with_domain(np.random.default_rng(0), 20)
    first = drawn[labels == windows.names.index(name)][:, :-1]
    assert found.shape == (20, 16) and len(first) and np.array_equal(found[: len(first)], first)
    with pytest.raises(ValueError, match="calibrate: got 'luck', allowed is one of"):
        calibration(windows, 4, 0, "luck")


DENSE = "n_experts: got a dense model, allowed is one with experts in some layer"


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (PruneRun, dict(keep=5), r"keep: got 5, allowed is a whole number in 2..4 \(k is 2"),
        (PruneRun, dict(keep=1), "keep: got 1"),
        (PruneRun, dict(n_experts=0), DENSE),
        (PruneRun, dict(n_dense=2), DENSE),
        (OpportunisticRun, dict(dense="active"), DENSE),
        (OpportunisticRun, dict(n_dense=2), DENSE),
        (OpportunisticRun, dict(router="top_p", balance="none"), "router: got 'top_p', allowed is"),
        (UpcycleRun, dict(switch=1.0), "switch: got 1.0 of 4 steps"),
        (UpcycleRun, dict(steps=1, way="dense"), "switch: got 0.67 of 1 steps"),
        (UpcycleRun, dict(n_dense=1), "n_experts: got dense layers"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_trained(
    kind: type, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**TINY | wrong)


def test_what_the_text_cannot_give_is_refused_before_anything_is_trained(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(settings: Any) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(pruning, "trained", never)
    monkeypatch.setattr(sparing, "trained", never)
    with pytest.raises(ValueError, match="calibrate: got 'luck'"):
        pruned(PruneRun(**TINY, keep=3, text=text, calibrate="luck"))
    n_texts = len(make_windows("default", 16, text).held_out[0])
    assert n_texts < sparing.TEXTS
    with pytest.raises(ValueError, match=rf"texts: got {n_texts + 1}, .* in 1..{n_texts} "):
        opportunistic(OpportunisticRun(**TINY, text=text, texts=n_texts + 1))


def test_with_one_kind_of_text_the_rest_is_that_kind(text: str) -> None:
    (name,) = make_windows("default", 16, text).names
    figures = pruned(PruneRun(**TINY, keep=3, text=text, calibrate=name))
    assert figures == pruned(PruneRun(**TINY, keep=3, text=text))
    assert figures.rest_after == figures.after


def test_texts_that_fill_no_batch_are_left_out(text: str) -> None:
    """With fewer held-out texts than are read at most, whole batches of them count and no more."""
    settings = OpportunisticRun(**TINY, text=text, k0=2, texts=4)
    window_MT = make_windows("default", 16, text).held_out[0]
    assert len(window_MT) % 4
    order = np.random.default_rng(0).permutation(len(window_MT))
    window_BT = window_MT[order[: len(order) // 4 * 4]].astype(np.int64)
    model = trained(settings).model
    wanted = float(model.token_losses(window_BT[:, :-1], window_BT[:, 1:]).mean()) / np.log(2)
    assert opportunistic(settings).bits == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_ends_with_the_experts_that_it_says(way: str, text: str) -> None:
    settings = UpcycleRun(**TINY, text=text, way=way, switch=0.5, balance="bias")
    figures = upcycled(settings)
    assert figures == upcycled(settings) and figures.bits_per_byte > 0
    switched = way not in ("small", "large")
    assert (figures.before is not None) == (figures.after is not None) == switched
    assert (figures.apart is not None) == switched
    if switched:
        assert figures.apart is not None and 0 < figures.apart < 1


def test_one_expert_a_token_does_not_jump_without_noise(text: str) -> None:
    options = dict(router="topk", router_options="score=sigmoid,renormalize=False", noise=0.0)
    given: dict[str, Any] = TINY | dict(k=1, text=text, balance="aux") | options
    figures = upcycled(UpcycleRun(**given))
    assert figures.before == figures.after


def test_reading_step_by_step_is_the_whole_forward_where_nothing_is_spared(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparing, "TEXTS", 8)
    settings = OpportunisticRun(**TINY, text=text, k0=2, texts=4)
    model = trained(settings).model
    window_MT = make_windows("default", 16, text).held_out[0]
    order = np.random.default_rng(0).permutation(len(window_MT))[:8]
    window_BT = window_MT[order].astype(np.int64)
    wanted = float(model.token_losses(window_BT[:, :-1], window_BT[:, 1:]).mean()) / np.log(2)
    whole, first = (opportunistic(replace(settings, piggyback=p)) for p in (True, False))
    assert whole == first and whole.choices == 2
    assert whole.bits == pytest.approx(wanted, rel=1e-5)
    spared, fewer = (opportunistic(replace(settings, k0=1, piggyback=p)) for p in (True, False))
    assert fewer.choices == 1 < spared.choices and spared.experts < whole.experts


def test_experts_read_are_the_different_ones_of_each_step(text: str) -> None:
    model: LanguageModel = with_fewer(trained(OpportunisticRun(**TINY, text=text)).model, 1, True)
    window_BT = make_windows("default", 16, text).held_out[0][:5]
    _, experts, choices = read_together(model, window_BT)
    alone = [read_together(model, window_BT[one : one + 1]) for one in range(5)]
    assert all(one[1:] == (1, 1) for one in alone)
    assert 1 <= experts <= 4 and 1 <= choices <= 2
