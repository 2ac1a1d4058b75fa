"""The ablation's figures, pairs and sentences, on rows made by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import moe
from docs.generator import ablation
from docs.generator.ablation import BRIEF, FULL, Row, ablate, pairs_of, table_rows, words
from moe.training import TrainRecord
from moe.training.runs import CLOSE, Figures, Run

TINY = moe.TrainSettings(task="spirals", d_model=8, d_expert=4, n_experts=6, batch=32, steps=2)


def row(router: str, balance: str = "none", **figures: float) -> Row:
    usual = dict(loss=1.0, held_out_loss=2.0, max_vio=0.5, dropped=0.0, flops_per_token=100.0)
    made = Figures(**usual | figures)
    return Row(router, balance, None, made, made, 1.0)


def record(step: int) -> TrainRecord:
    """A step whose figures all tell which one it is."""
    load_E = np.array([4, 2, 1, 1])
    return TrainRecord(
        step, 1.0 + step, 0.0, load_E, load_E, 2.0 * step, 0.0, 0, 0.01 * step, 640 * step, ""
    )


# Figures ---------------------------------------------------------------------------------------


def test_figures_are_means_of_the_last_twenty_steps() -> None:
    run = Run(moe.TrainSettings(batch=64), [record(step) for step in range(25)], 7.0)
    last = sum(range(5, 25)) / 20
    got = Figures.of(run)
    assert (got.loss, got.held_out_loss, got.max_vio) == (1 + last, 7.0, 2 * last)
    assert got.dropped == pytest.approx(0.01 * last)
    assert got.flops_per_token == 640 * last / 64


@pytest.mark.parametrize("name", [field.name for field in fields(Figures)])
def test_every_figure_decides_whether_two_are_close(name: str) -> None:
    one = Figures(1.0, 2.0, 3.0, 4.0, 5.0)
    for sign in (1, -1):
        near = replace(one, **{name: getattr(one, name) * (1 + sign * 0.9 * CLOSE)})
        far = replace(one, **{name: getattr(one, name) * (1 + sign * 1.2 * CLOSE)})
        assert one.close_to(near) and near.close_to(one)
        assert not one.close_to(far) and not far.close_to(one)


def test_figures_near_zero_are_close() -> None:
    """Relative to nothing, rounding would be endless: below a thousandth, a millionth is none."""
    zero = Figures(0.0, 0.0, 0.0, 0.0, 0.0)
    assert zero.close_to(zero)
    assert zero.close_to(replace(zero, dropped=0.9e-6))
    assert not zero.close_to(replace(zero, dropped=1.1e-6))
    assert CLOSE == 1e-3


# Rows ------------------------------------------------------------------------------------------


def test_the_plan_has_every_pair_that_suits() -> None:
    plan = ablation.plan()
    assert set(plan) == {
        (router, balance)
        for balance in moe.BALANCERS
        for router in moe.ROUTERS
        if moe.training.suits(balance, router)
    }
    assert [router for router, balance in plan if balance == "none"] == list(moe.ROUTERS)
    assert {router for router, _ in plan[:2]} == {"topk"} and len(plan) == len(set(plan))


def test_a_row_is_a_full_and_a_brief_run_of_its_pair() -> None:
    start = time.perf_counter()
    made = ablation.measure("topk", "bias", TINY)
    assert 0 < made.seconds < time.perf_counter() - start
    full = Run(
        settings := replace(TINY, balance="bias"),
        list((trainer := moe.Trainer(settings)).run()),
        trainer.evaluate(),
    )
    assert made.full == Figures.of(full)
    assert made.brief == ablation.brief("topk", "bias") != made.full
    short = Run(
        settings := replace(BRIEF, balance="bias"),
        list((trainer := moe.Trainer(settings)).run()),
        trainer.evaluate(),
    )
    assert made.brief == Figures.of(short)
    assert (made.router, made.balance, made.rate) == (
        "topk", "bias", moe.BALANCERS["bias"].short_run_rate,
    )  # fmt: skip
    assert ablation.measure("topk", "none", TINY).rate is None
    assert Row.from_json(made.as_json()) == made


def test_brief_runs_are_brief_and_full_ones_are_those_of_training_with_limited_room() -> None:
    assert replace(moe.TrainSettings(), capacity_factor=1.25, drop="order") == FULL
    assert BRIEF.steps < 10 and BRIEF.task == "linear_maps"  # which reads no random text
    assert (BRIEF.capacity_factor, BRIEF.drop) == (FULL.capacity_factor, FULL.drop)


def test_conditions_say_settings_data_and_versions() -> None:
    found = ablation.conditions(TINY)
    assert moe.TrainSettings(**found["settings"]) == TINY
    assert found["data"] == next(iter(moe.train(TINY))).data
    assert found["versions"]["numpy"] == np.__version__


def test_rows_end_in_the_order_asked_for_and_only_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "measure", lambda router, balance, settings: row(router, balance))
    monkeypatch.setattr(ablation, "brief", lambda router, balance: row(router, balance).brief)
    path = tmp_path / "rows.jsonl"
    a, b, c = ("topk", "none"), ("topk", "bias"), ("switch", "none")

    def ids(pairs: list[tuple[str, str]]) -> Iterator[bool]:
        for made, new in ablate(path, pairs, TINY):
            assert made in ablation.read(path)[1]  # on disk before it is yielded
            yield new

    assert list(ids([c, a])) == [True, True]
    assert list(ids([a, b, c])) == [False, True, False]
    assert [(r.router, r.balance) for r in ablation.read(path)[1]] == [a, b, c]
    assert list(ids([b])) == [False]
    assert [(r.router, r.balance) for r in ablation.read(path)[1]] == [b]
    assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]


def test_an_option_younger_than_the_file_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert len(list(ablate(path, [("topk", "none")], TINY))) == 1
    head, *rest = path.read_text("utf-8").splitlines()
    old = json.loads(head)
    del old["settings"]["freeze"]
    path.write_text("\n".join([json.dumps(old), *rest]) + "\n", "utf-8")
    assert [new for _, new in ablate(path, [("topk", "none")], TINY)] == [False]
    for name in ("data", "versions"):
        path.write_text("\n".join([json.dumps(old | {name: "other"}), *rest]) + "\n", "utf-8")
        with pytest.raises(ValueError, match="rows of other settings, data or versions"):
            list(ablate(path, [("topk", "none")], TINY))


# Pairs -----------------------------------------------------------------------------------------


def test_the_best_has_the_lowest_maxvio_at_no_more_than_one_percent_of_loss() -> None:
    none = row("topk", max_vio=2.0, held_out_loss=2.0)
    on_limit = row("topk", "bias", max_vio=0.3, held_out_loss=2.02)
    above = row("topk", "aux", max_vio=0.1, held_out_loss=2.03)
    weaker = row("topk", "pi", max_vio=0.4, held_out_loss=1.0)
    (pair,) = pairs_of([above, weaker, none, on_limit])
    assert pair.none is none and pair.best is on_limit
    (pair,) = pairs_of([above, none])
    assert pair.best is none
    (pair,) = pairs_of([row("topk", "bias", max_vio=2.0), none])
    assert pair.best is none  # if neither is more even, that without help


def test_pairs_stand_in_the_order_of_the_registry_and_routers_without_rows_are_left_out() -> None:
    first, second = list(moe.ROUTERS)[1], list(moe.ROUTERS)[4]
    assert [pair.none.router for pair in pairs_of([row(second), row(first)])] == [first, second]


def test_a_table_row_shows_each_figure_under_its_name() -> None:
    figures = dict(
        loss=1.23456, held_out_loss=2.34567, max_vio=0.987, dropped=0.1234, flops_per_token=12345.6
    )
    none = replace(row("topk", **figures), seconds=4.56)
    better = row("topk", "bias", max_vio=0.1)
    assert table_rows([none, better, row("switch")]) == [
        {
            "router": "topk", "balance": "none", "loss": "1.235", "held-out loss": "2.346",
            "MaxVio": "0.99", "dropped": "12.3%", "FLOPs per token": "12,346", "seconds": "4.6",
        },
        {
            "router": "topk", "balance": "bias", "loss": "1.000", "held-out loss": "2.000",
            "MaxVio": "0.10", "dropped": "0.0%", "FLOPs per token": "100", "seconds": "1.0",
        },
        table_rows([row("switch")])[0],
    ]  # fmt: skip


# Sentences -------------------------------------------------------------------------------------

MIXED = [
    row("topk", max_vio=3.0, dropped=0.4, held_out_loss=2.0, flops_per_token=300.0),
    row("topk", "bias", max_vio=0.2, dropped=0.02, held_out_loss=1.8, flops_per_token=310.0),
    row("switch", max_vio=1.0, dropped=0.2, held_out_loss=2.5),
    row("switch", "aux", max_vio=0.1, dropped=0.04, held_out_loss=2.51, flops_per_token=90.0),
    row("sinkhorn", max_vio=2.0, dropped=0.3, held_out_loss=3.0),
    row("sinkhorn", "bias", max_vio=0.6, dropped=0.06, held_out_loss=2.4),
    row("hash", max_vio=0.1, held_out_loss=1.9),
    row("soft", max_vio=0.0, held_out_loss=2.0, flops_per_token=5000.0),
]


def test_sentences_on_collapse_and_on_what_is_even() -> None:
    collapse, *_ = words(MIXED)
    # Above 1, not at it; below 0.1, not at it.
    assert collapse.startswith("Left alone, 2 of 5 routers give one expert more than twice")
    assert "most uneven is topk with MaxVio 3.00, and it drops 40% of its assignments." in collapse
    assert collapse.endswith("Even without help (below 0.1): soft.")
    alone = words([row("topk", max_vio=0.1)])[0]
    assert alone.startswith("Left alone, 0 of 1") and "Even without help" not in alone


def test_sentences_on_the_cure() -> None:
    cure = words(MIXED)[1]
    assert cure == (
        "A balancer makes 3 of 5 more even. Their median MaxVio goes from 2.00 to 0.20 and the "
        "median share that is dropped from 30.0% to 4.0%. The best is bias most often, 2 times."
    )
    assert len(words(MIXED)) == 4
    assert len(words([row("topk")])) == 3  # nothing helped


def test_sentences_on_the_loss() -> None:
    loss = words(MIXED)[2]
    assert loss.startswith(
        "Balance lowers the loss on text not seen in 2 of 3 cases, most in sinkhorn, by 20.0%;"
    )
    assert loss.endswith(
        "The lowest held-out loss is 1.800 (topk with bias), the highest 2.510 (switch with aux)."
    )
    same = row("topk", "bias", max_vio=0.1)
    assert "in 0 of 1 cases" in words([row("topk"), same])[2]
    alone = words([row("topk")])[1]
    assert alone == (
        "The lowest held-out loss is 2.000 (topk with none), the highest 2.000 (topk with none)."
    )


def test_sentences_on_the_work() -> None:
    assert words(MIXED)[3] == (
        "The routers do not do the same work: from 90 operations per token (switch) to 5,000 "
        "(soft), so compare losses together with it."
    )
