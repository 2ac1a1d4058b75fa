"""The document and the code of the page Balance hold both runs, in order."""

from __future__ import annotations

import ast
from dataclasses import asdict

import moe
from moe.app.balance import share as balance_share
from moe.app.balance.story import compare
from moe.training.runs import run
from tests.app.visit import read

SMALL = dict(steps=4, batch=32, d_model=8, d_expert=4, n_experts=8)


def test_the_page_on_balance() -> None:
    a, b = (run(moe.TrainSettings(**SMALL, balance=name)) for name in ("none", "bias"))
    found = read(balance_share.document(a, b), "balance")
    assert found["words"] == compare(a, b).words != compare(b, a).words
    assert set(found) == {"runs", "words"} and list(found["runs"]) == ["A", "B"]
    for one, told in zip((a, b), found["runs"].values(), strict=True):
        assert moe.TrainSettings(**told["settings"]) == one.settings
        assert told["held_out_loss"] == one.held_out_loss
        assert told["summary"] == asdict(one.summary())
        assert [record["loss"] for record in told["records"]] == [r.loss for r in one.records]
        assert set(told) == {"settings", "held_out_loss", "summary", "records"}


def test_the_code_of_two_runs_has_both_in_order() -> None:
    a, b = moe.TrainSettings(steps=7, text=None), moe.TrainSettings(balance="bias", k=3)
    code = balance_share.code(a, b)
    tree = ast.parse(code)
    named = {
        node.targets[0].id: eval(ast.unparse(node.value), {"moe": moe, "run": lambda x: x})
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert named == {"run_a": a, "run_b": b}
