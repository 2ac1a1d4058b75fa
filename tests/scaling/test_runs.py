"""The tables that ship: the runs refit to the laws within rounding, and say where they are from."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scaling_law
from moe.scaling.budget import model_of
from moe.scaling.runs import (
    END,
    MOMENTS,
    ROUTERS,
    differences,
    distance,
    fitted,
    law_of,
    laws,
    left_out_by_size,
    origin,
    runs,
    taken,
)

CONSTANTS = ("a", "b", "c", "d", "start", "most")


@pytest.mark.parametrize("router", ROUTERS)
def test_the_shipped_runs_refit_to_the_shipped_laws_within_rounding(router: str) -> None:
    for moment in (MOMENTS[0], END):
        shipped = fitted(router, moment)
        some = taken(runs(), router, moment)
        law = law_of(some, moment)
        assert len(some) == shipped.runs
        for name in CONSTANTS:
            wanted = getattr(shipped.law, name)
            assert getattr(law, name) == pytest.approx(wanted, rel=2e-3), (moment, name)
        # Losses are rounded to four digits, so errors differ in the fourth.
        assert distance(law, some, moment) == pytest.approx(shipped.worst, abs=1.1e-4)
        assert law.border == pytest.approx(shipped.law.border, rel=5e-3)


def test_the_constants_are_those_of_the_review() -> None:
    for router, (theirs, worst, left_out) in scaling_law.REVIEW.items():
        one = fitted(router)
        for name, value, unit in zip(CONSTANTS, theirs, (1e-4, 1e-4, 1e-4, 1e-4, 1e-2, 0.5)):
            assert getattr(one.law, name) == pytest.approx(value, abs=unit), (router, name)
        assert one.left_out is not None
        assert round(one.worst, 3) == pytest.approx(worst, abs=0.0011)
        assert round(one.left_out, 3) == pytest.approx(left_out, abs=0.0011)
    for active, times in ((130e6, 4.3), (370e6, 3.6), (1.3e9, 2.8)):
        assert fitted().law.worth(active, 64) / active == pytest.approx(times, abs=0.05)


def test_a_size_left_out_is_foretold_from_the_others() -> None:
    errors = left_out_by_size(taken(runs(), "RL-R"))
    assert set(errors) == {"15M", "25M", "55M", "130M", "370M", "1.3B"}
    assert max(errors.values()) == pytest.approx(fitted("RL-R").left_out, abs=3e-4)


def test_hash_is_the_worst_in_every_cell_at_every_moment() -> None:
    for moment in MOMENTS:
        for other in ("S-Base", "RL-R"):
            above = differences(runs(), "Hash", other, moment)
            assert len(above) == 51 and min(above.values()) > 0
    below = differences(runs(), "S-Base", "Hash")
    assert np.mean([*below.values()]) == pytest.approx(-0.051, abs=1e-3)
    # By hand, the largest: one run each, beside a dense model of one expert and three seeds.
    losses = {(r.router, r.experts): r.loss for r in runs() if r.usual and r.size == "370M"}
    cell = differences(runs(), "Dense", "Hash")["370M", 64]
    assert cell == pytest.approx(losses["Dense", 1] - losses["Hash", 64])
    seeds = [r.loss for r in runs() if r.usual and (r.router, r.size) == ("Dense", "130M")]
    assert len(seeds) == 3
    one = next(r for r in runs() if r.usual and (r.router, r.size) == ("Hash", "130M"))
    higher = differences(runs(), "Dense", "Hash")["130M", one.experts]
    assert higher == pytest.approx(np.mean(seeds) - one.loss)


def test_the_border_moves_up_with_every_moment() -> None:
    for router in ROUTERS:
        borders = [one.law.border for one in laws() if one.router == router]
        assert len(borders) == len(MOMENTS) and borders == sorted(borders)
        assert borders[-1] > 10 * borders[0]


def test_the_table_names_its_source_and_licence() -> None:
    said = origin()
    assert said["commit"] == "42da0c392b127df2c01fa7b705f72396050d05e5"
    assert "CC-BY 4.0" in said["licence"] and "Clark" in said["licence"]
    assert "benchmarks.scaling_law" in said["command"]
    assert len(runs()) == 223 and len({run.number for run in runs()}) == 223


def test_our_count_of_parameters_is_theirs() -> None:
    for run in runs():
        if run.usual:
            total = model_of(run.active, run.experts).total_params
            # Attention is narrower than the model in the smallest, and wider in two others.
            near = {"15M": 0.2, "55M": 0.08, "130M": 0.08}.get(run.size, 0.02)
            assert total == pytest.approx(run.total, rel=near), run


def test_the_command_refuses_a_flag_without_effect_and_a_folder_without_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in (
        ([str(tmp_path), "--out", "."], "--out: got no --write, allowed is both"),
        ([str(tmp_path)], f"allowed is one that holds {scaling_law.FILE}"),
    ):
        with pytest.raises(SystemExit) as ended:
            scaling_law.main(words)
        assert ended.value.code == 2 and message in capsys.readouterr().err


def test_the_command_makes_the_tables_from_curves(tmp_path: Path) -> None:
    """Curves made here from the shipped losses, one moment missing in one run."""
    head = (
        "hyper_id,step,router_type,num_experts,k,routing_frequency,flop_increase,seed,"
        "model_size_label,dense_parameter_count,total_parameter_count,loss_validation"
    )
    lines = [head]
    for run in runs():
        for moment in MOMENTS:
            step = 249_000 if moment == END else int(moment)
            loss = run.losses.get(moment, "")
            lines.append(
                f"{run.number},{step},{run.router},{run.experts},{run.k},{run.every},{run.widened},"
                f"{run.seed},{run.size},{run.active}.0,{run.total}.0,{loss}"
            )
    with gzip.open(tmp_path / scaling_law.FILE, "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    read = scaling_law.read(tmp_path / scaling_law.FILE)
    assert tuple(read) == runs()
    shipped = (Path(scaling_law.FOLDER) / "runs.csv").read_text("utf-8")
    assert scaling_law.runs_table(read) == shipped
    rounded = scaling_law.laws_table([fitted("Hash")]).splitlines()[-1].split(",")
    wanted = [getattr(fitted("Hash").law, name) for name in CONSTANTS]
    assert [float(cell) for cell in rounded[3:9]] == wanted
