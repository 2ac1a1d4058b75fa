"""What is taken along from Play is the run itself, replayed."""

from __future__ import annotations

import pytest

from moe.app.play.plan import Plan, read
from moe.app.play.share import code, document, replayed
from moe.training import LiveRun
from tests.app.visit import open_page
from tests.app.visit import read as read_document


def test_the_document_and_the_code_are_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    plan, steps = read("8-1_3bdeepseek_6")
    kept = read_document(document(plan, steps), "play")
    assert kept["run"] == "8-1_3bdeepseek" and len(kept["records"]) == steps
    run = LiveRun.replay(plan.recipe, steps - 1)
    last = run.step()
    assert kept["records"][-1]["share"] == last.share_E.tolist()
    assert kept["records"][-1]["loss"] == last.loss
    exec(code(plan, steps), {})
    assert str(last.max_vio) in capsys.readouterr().out
    assert len(replayed(Plan(), 0)) == 1  # the first step, before any was watched


def test_the_box_opens_for_the_run_of_the_address() -> None:
    page = open_page("play", run="8-2_5")
    assert not page.exception and not page.code
    page.button[0].click().run()
    assert not page.exception
    assert "8-2" in page.code[0].value and "range(5)" in page.code[0].value
