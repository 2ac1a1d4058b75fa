"""The order of routers agrees with published runs where the current token tells little."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

import moe
from docs.generator import studies
from docs.generator.order import FAMILIES, PUBLISHED, agreement, losses
from docs.generator.tables import ablation_page
from moe.data import make_task
from moe.training.runs import run

STUDY = "order"
ENOUGH = 0.6  # Kendall's tau


def test_published_differences_add_up() -> None:
    """A mean difference is that of the two between, on the same 51 pairs of runs."""
    found = {(row.better, row.worse): row for row in PUBLISHED}
    whole, first, second = (
        found[pair] for pair in (("S-Base", "Hash"), ("S-Base", "RL-R"), ("RL-R", "Hash"))
    )
    assert whole.mean == pytest.approx(first.mean + second.mean, abs=0.0011)
    assert {row.of for row in PUBLISHED} == {51}
    # Both ways to learn are always ahead of the table, and it of none; between them are exceptions.
    assert {row.cells for row in PUBLISHED if row.worse in ("Hash", "Dense")} == {51}
    assert {row.cells for row in PUBLISHED if row.worse == "RL-R"} == {42}
    assert max(PUBLISHED, key=lambda row: row.mean).worse == "Dense"
    assert max(row.mean for row in PUBLISHED) < 0.2  # nats: exp of it is 1.2 times as probable


def test_the_same_order_agrees_wholly_and_ties_count_for_neither() -> None:
    assert agreement([1, 1]) == 0
    assert agreement([1, 1, 2]) == pytest.approx(2 / 3)
    assert agreement([2, 2, 1]) == pytest.approx(-2 / 3)


@pytest.mark.parametrize("values", [[1, 2, 3, 4], [4, 3, 2, 1], [2, 1, 3, 4], [3, 1, 4, 2], [0, 1]])
def test_agreement_is_kendalls_tau(values: list[float]) -> None:
    assert agreement(values) == pytest.approx(kendalltau(range(len(values)), values).statistic)
    with pytest.raises(ValueError, match="values: got 1, allowed are two or more"):
        agreement(values[:1])


def test_families_stand_in_the_published_order() -> None:
    names = [family.name for family in FAMILIES]
    for row in PUBLISHED:
        assert names.index(row.better) < names.index(row.worse)
        assert row.of / 2 < row.cells <= row.of and row.mean > 0


def test_the_recorded_order_agrees_with_the_published_one() -> None:
    """Tau computed here from the lines of the record, for each seed and for the means."""
    rows = [json.loads(line) for line in studies.record(STUDY).read_text().splitlines()[1:]]
    kinds = [("sinkhorn", 16), ("switch", 16), ("hash", 16), ("topk", 1)]
    seeds = sorted({row["seed"] for row in rows})
    loss_SF = np.array(
        [
            [
                row["held_out_loss"]
                for kind in kinds
                for row in rows
                if row["seed"] == seed and (row["router"], row["n_experts"]) == kind
            ]
            for seed in seeds
        ]
    )
    assert loss_SF.shape == (len(seeds), 4) and len(seeds) >= 3
    study = studies.read(STUDY)
    assert study.data == make_task("dialects").sha256[:12]  # of the rules of today
    for seed, loss_F in zip(seeds, loss_SF, strict=True):
        assert losses(study, seed) == loss_F.tolist()
        assert kendalltau(range(4), loss_F).statistic >= ENOUGH
    assert losses(study) == pytest.approx(loss_SF.mean(axis=0))
    assert kendalltau(range(4), loss_SF.mean(axis=0)).statistic >= ENOUGH
    tau = kendalltau(range(4), loss_SF.mean(axis=0)).statistic
    assert f"published order is {tau:.2f} for the means" in ablation_page()


def test_hash_is_behind_a_learned_router_after_half_of_the_steps() -> None:
    """One seed: the direction of what the record says."""
    study = studies.read(STUDY)
    learned, table = (
        run(replace(study.make_settings(study.own(seed=0, **family.ours)[0]), steps=300))
        for family in FAMILIES[1:3]
    )
    assert learned.held_out_loss < table.held_out_loss - 0.1


@pytest.mark.soak
def test_the_order_holds_when_it_is_run_again_on_other_seeds() -> None:
    study = studies.read(STUDY)
    for seed in (10, 11, 12):
        found = []
        for family in FAMILIES:
            settings = study.make_settings(study.own(seed=0, **family.ours)[0])
            found.append(run(replace(settings, seed=seed)).held_out_loss)
        assert kendalltau(range(4), found).statistic >= ENOUGH, (seed, found)


def test_a_dense_layer_is_one_expert_for_all() -> None:
    settings = studies.read(STUDY).make_settings(studies.read(STUDY).own(n_experts=1)[0])
    trainer = moe.Trainer(replace(settings, steps=2))
    (record, _) = trainer.run()
    assert record.load.tolist() == [settings.batch]
