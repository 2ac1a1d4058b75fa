"""The page on claims: its verdicts on rows made by hand, and its figures from the files' lines."""

from __future__ import annotations

import json

import numpy as np
import pytest

from docs.generator import studies, tried
from docs.generator.strength_chart import EVEN
from docs.generator.studies import Study
from moe.balance import BALANCERS
from moe.routers import ROUTERS
from moe.sweeps.report import Spread
from moe.training import suits


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in studies.record(name).read_text().splitlines()[1:]]


def made(*cases: tuple[str, str, float, float, float]) -> Study:
    rows = [
        dict(
            router=router, balance=balance, seed=seed, experts=2.0, spread=spread, max_vio=vio,
            changed=changed, held_out_loss=1.0, flops_per_token=1.0,
        )
        for router, balance, spread, vio, changed in cases
        for seed in (0, 1, 2)
    ]  # fmt: skip
    return Study("traits", "1", "none", {"steps": 3, "n_experts": 4}, tuple(rows))


OURS = ("expert_threshold", "cutoff_ema", 1.0, 0.1, 0.0)
LOSS = ("top_p", "aux", 1.0, 0.1, 0.0)
ALONE = ("relu", "none", 1.0, 0.1, 0.0)


@pytest.mark.parametrize(
    ("cases", "verdict"),
    [
        ([OURS], "the only one here, as claimed"),
        ([OURS, LOSS], "the only one without such a loss, as claimed"),
        ([OURS, LOSS, ALONE], "has all three, but not alone"),
        ([LOSS], "Expert Threshold itself is not among them"),
    ],
)
def test_the_verdict_follows_from_who_has_all_three(cases: list, verdict: str) -> None:
    short = [("topk", "bias", 0.0, 0.1, 0.0), ("expert_choice", "none", 1.0, 0.0, 0.5)]
    study = made(*short, *cases, ("dynmoe", "none", 1.0, 0.9, 0.0))
    text = "\n".join(tried._traits(study))
    assert verdict in text
    assert set(tried.all_three(study)) == {case[:2] for case in cases}
    assert text.count("| yes | yes | yes |") == len(cases)


def varied(study: Study, **more: float) -> Study:
    """The same rows, with a figure that goes up and down by so much over the seeds."""
    rows = [
        {**row, **{name: row[name] + by * (row["seed"] - 1) for name, by in more.items()}}
        for row in study.rows
    ]
    return Study(study.experiment, study.version, study.data, study.settings, tuple(rows))


def test_a_case_that_other_seeds_may_turn_is_named() -> None:
    near = ("longcat", "pi", 1.0, 0.33, 0.0)
    study = varied(made(OURS, LOSS, near), max_vio=0.06)
    assert tried.on_the_edge(study) == [("longcat", "pi")]
    text = "\n".join(tried._traits(study))
    assert "only one without such a loss; in some seeds `longcat` with `pi` is one, too" in text
    assert "both sides of the bar on MaxVio with `longcat` with `pi`: there the mean" in text
    sure = "\n".join(tried._traits(made(OURS, LOSS, near)))
    assert "as claimed" in sure and "both sides" not in sure


def test_a_least_figure_names_those_that_only_chance_tells_from_it() -> None:
    rows = [
        dict(
            first="a", then="b", balance=balance, router=router, seed=seed, lump=0.1, settling=None,
            overshoot=overshoot + 0.05 * seed, ripple=ripple, level=1.0, peak=1.0, end=1.0,
            held_out_loss=1.0,
        )
        for balance, router, overshoot, ripple in (
            ("none", "topk", 0.0, 0.0), ("bias", "topk", 0.5, 0.2), ("smebu", "topk", 0.1, 0.1),
            ("pi", "topk", 0.12, 0.1), ("cutoff_ema", "expert_threshold", 0.0, 0.0),
        )
        for seed in (0, 1, 2)
    ]  # fmt: skip
    study = Study("switch", "1", "none", {"n_experts": 4, "k": 1}, tuple(rows))
    said = tried._switch_words(study, {"first": "a", "then": "b"})
    assert "swing least past their own with `smebu` (0.15 ± 0.05; within the" in said
    assert "within the spread of it `pi`)" in said and "most with `bias` (0.200" in said
    assert "`expert_threshold` with `cutoff_ema`" in tried._other_routers(study)


@pytest.mark.parametrize(
    ("other", "word"),
    [(0.84, "stays within what 10 seeds can tell apart"), (0.3, "falls"), (4.0, "rises")],
)
def test_a_deviation_of_ten_seeds_is_uncertain_itself(other: float, word: str) -> None:
    assert tried._deviation_moves(Spread(3.9, 1.19, 10), Spread(3.4, other, 10)) == word


@pytest.mark.parametrize(
    ("hard", "steep", "said"),
    [
        (0.02, 0.05, "alone takes away 80% and momentum on the steep steps takes away 50% of it"),
        (0.02, 0.1, "So the soft step alone takes away 80% of it"),
        (0.1, 0.1, "Neither takes away more of it than the spread"),
    ],
)
def test_what_takes_the_ripple_away_is_counted(hard: float, steep: float, said: str) -> None:
    words = tried._taken(*(Spread(mean, 0.01, 5) for mean in (0.1, hard, steep)))
    assert said in words


def test_the_table_is_the_records_for_every_router() -> None:
    """Every router of the registry, alone and with what suits it, three seeds or more."""
    rows = lines(tried.TRAITS)
    page = tried.page()
    assert {row["router"] for row in rows} == set(ROUTERS)
    for router in ROUTERS:
        own = [row for row in rows if row["router"] == router]
        assert {row["seed"] for row in own} >= {0, 1, 2}
        assert "none" in {row["balance"] for row in own}
        for balance in {row["balance"] for row in own}:
            assert suits(balance, router)
            mine = [row for row in own if row["balance"] == balance]
            has = [
                np.mean([row["spread"] for row in mine]) >= 0.05,
                np.mean([row["max_vio"] for row in mine]) <= EVEN,
                not any(row["changed"] for row in mine),
            ]
            cells = " | ".join("yes" if one else "no" for one in has)
            assert (
                f"/{router}.md) | [`{balance}`](methods/balancers/{balance}.md) | {cells}" in page
            )


def test_which_balancers_add_a_loss() -> None:
    losses = {name for name in BALANCERS if not tried.lossless(name)}
    assert {"aux", "z", "simbal", "simple_diverse", "l1"} <= losses
    assert losses.isdisjoint({"none", "bias", "pi", "quantile", "smebu", "cutoff_ema"})


def test_the_switch_tables_are_the_records() -> None:
    rows, page = lines(tried.SWITCH), tried.page()
    for first, then in {(row["first"], row["then"]) for row in rows}:
        part = page.split(f"### From {first.title()} to {then.title()}\n")[1].split("\n##")[0]
        way = [row for row in rows if (row["first"], row["then"]) == (first, then)]
        for balance in {row["balance"] for row in way}:
            own = [row for row in way if row["balance"] == balance]
            assert len({row["seed"] for row in own}) >= 3
            start = f"| [`{balance}`](methods/balancers/{balance}.md) | "
            (line,) = [one for one in part.splitlines() if one.startswith(start)]
            even = [row["settling"] for row in own if row["settling"] is not None]
            assert f"({len(even)} of {len(own)})" in line
            for figure in ("level", "peak", "overshoot", "ripple", "end"):
                values = [row[figure] for row in own]
                assert f"{np.mean(values):.2f}\u00a0±\u00a0{np.std(values, ddof=1):.2f}" in line


def test_steps_to_a_loss_lie_on_the_line_between_two_points() -> None:
    curve = [(100.0, 2.0), (200.0, 1.5), (300.0, 1.4)]
    assert tried.steps_to_reach(curve, 1.75) == 150
    assert tried.steps_to_reach(curve, 1.4) == 300
    assert tried.steps_to_reach(curve, 2.5) == 100
    assert tried.steps_to_reach(curve, 1.3) is None


@pytest.mark.parametrize(("losses", "share"), [([2.0, 1.0, 0.9], 0.5), ([3.0, 2.5, 2.0], None)])
def test_what_is_saved_is_counted_to_the_others_last_loss(losses: list, share: float) -> None:
    rows = [
        dict(balance=name, balance_rate=1.0, seed=0, steps=steps, held_out_loss=loss, max_vio=0.0)
        for name, own in (("aux", [3.0, 2.0, 1.5]), ("simbal", losses))
        for steps, loss in zip((100, 200, 300), own, strict=True)
    ]
    study = Study("train", "1", "none", {}, tuple(rows))
    aux, ours = ({"balance": name, "balance_rate": 1.0} for name in ("aux", "simbal"))
    assert tried.saved(study, ours, aux) == [share]
    assert tried.saved(study, aux, aux) == [0.0]


def test_every_measured_method_says_so_on_its_page() -> None:
    for name in tried.MEASURED:
        folder = "routers" if name in ROUTERS else "balancers"
        page = (studies.FOLDER.parent / "methods" / folder / f"{name}.md").read_text("utf-8")
        assert f"## Measured\n\n{tried.measured(name)}" in page
    assert tried.measured("topk") == ""
