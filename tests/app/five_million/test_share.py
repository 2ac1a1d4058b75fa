"""The document of the page on money, its code and its command."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, replace
from typing import Any

import pytest

from moe.app.five_million import chips, claim
from moe.app.five_million import share as five_million_share
from moe.cost import Range, TrainingCost
from moe.cost.rows import training_row
from tests.app.visit import made_by, plain, read


def test_the_page_on_money() -> None:
    cost = TrainingCost(n_gpus=2048)
    found = read(five_million_share.document(cost), "five-million")
    assert [part["gpu_hours"] for part in found["published"]] == [2664e3, 119e3, 5e3]
    assert found["training"] == plain(training_row(cost))
    assert [row["model"] for row in found["compared"]] == [
        row.model for row in claim.compared(cost)
    ]
    assert list(found["limits"]) == list(chips.CHOICES)
    for name, gpu in chips.CHOICES.items():
        assert found["limits"][name] == [plain(asdict(one)) for one in chips.limits(gpu)]
    assert set(found) == {
        "published", "beside", "training", "swings", "compared", "ways", "limits",
    }  # fmt: skip


COST = TrainingCost(
    "llama-3.1-405b", 3e12, "h100", Range(0.2, 0.3, 0.5), Range(1.0, 2.5, 3.0), context=8192,
    formula="6ND", precision="fp8", extra_hours=1.5e5, n_gpus=1024,
)  # fmt: skip


@pytest.mark.parametrize(
    "cost",
    [
        COST,
        replace(COST, causal=False, formula="counted"),
        TrainingCost("deepseek-v3", mtp=True, n_gpus=2048),
    ],
)
def test_the_command_of_a_cost_gives_the_same_row(cost: TrainingCost, run_moe: Any) -> None:
    words = shlex.split(five_million_share.command(cost) or "")
    assert words[:2] == ["moe", "cost"]
    assert json.loads(run_moe(*words[1:], "--json").stdout) == plain(training_row(cost))
    assert ("--no-causal" in words, "--mtp" in words) == (not cost.causal, cost.mtp)


def test_the_code_of_a_cost_makes_it_and_a_size_alone_has_no_command() -> None:
    names = {"TrainingCost": TrainingCost, "Range": Range}
    assert COST in made_by(five_million_share.code(COST), names)
    assert five_million_share.command(replace(COST, active_params=37e9)) is None
