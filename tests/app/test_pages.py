"""What all pages have in common, without a browser: links, hostile values, exports and code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from altair.utils import schemapi
from streamlit.testing.v1 import AppTest

import moe
from moe.app.balance import share as balance_share
from moe.app.balance.story import compare
from moe.app.cure import share as cure_share
from moe.app.cure.story import judge
from moe.app.routers import share as routers_share
from moe.app.routers.story import Choice, SideSettings, put_side_by_side
from moe.app.savings import share as savings_share
from moe.app.shared import sharing
from moe.app.shared.first_model import (
    DEFAULT_SENTENCE,
    MAX_SENTENCE,
    ready_model,
    shown_sentence,
)
from moe.app.start import share as start_share
from moe.app.start.walk import walk
from moe.speed import machine
from moe.speed.machine import Machine
from moe.speed.timing import blocks_in_turn, time_in_turn
from moe.studies import savings
from moe.studies.control import ControlSettings, respond_all
from moe.studies.savings import ACTIVE, MOE, TOTAL, MeasuredCost, SavingsSettings, count
from moe.training.runs import run
from tests.app.visit import open_page, specs, spoken

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def one_call_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are measured with one call: the page is tested, not this computer."""
    brief = dict(blocks=1, block_seconds=0, pause=0)
    monkeypatch.setattr(
        machine, "time_in_turn", lambda calls, *_, **__: time_in_turn(calls, **brief)
    )
    monkeypatch.setattr(
        savings, "blocks_in_turn", lambda calls, *_, **__: blocks_in_turn(calls, **brief)
    )
    monkeypatch.setattr(machine, "SQUARES", (64, 128, 256))


@pytest.mark.parametrize(
    ("name", "query", "move"),
    [
        ("start", {"balance": "20"}, lambda page: page.slider(key="balance").set_value(40)),
        ("routers", {}, lambda page: page.slider(key="k_topk_a").set_value(3)),
        ("cure", {"guess": "skip"}, lambda page: page.select_slider(key="rate").set_value(0.01)),
        (
            "savings",
            {"model": "64", "width": "64", "guess": "skip"},
            lambda page: page.slider(key="experts").set_value(17),
        ),
    ],
)
def test_a_slider_sends_new_data_to_the_same_charts(name: str, query: dict, move) -> None:
    """A browser draws a chart anew, which takes far longer, if its spec or alt text changes."""

    def same() -> list[tuple[str, str]]:
        return [(c.proto.spec, c.proto.alt) for c in page.get("vega_lite_chart")]

    def data() -> list[list[bytes]]:
        return [[d.data.data for d in c.proto.datasets] for c in page.get("vega_lite_chart")]

    page = open_page(name, **query)
    before, rows, told = same(), data(), spoken(page)
    assert len(told) == len(before)
    move(page).run()
    assert same() == before
    assert data() != rows and spoken(page) != told


def test_the_app_opens_on_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemapi, "DEBUG_MODE", True)  # other tests go on checking charts
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    assert (
        not page.exception and page.title[0].value == "What happens if nobody shares out the work?"
    )
    assert not schemapi.DEBUG_MODE


@pytest.mark.parametrize(
    "sentence",
    ["", "<script>alert(1)</script>", "\\", "日本語" * 100, "$x^2$ **bold**", "a" * 400],
)
@pytest.mark.parametrize("name", ["start", "routers"])
def test_a_page_survives_any_sentence(name: str, sentence: str) -> None:
    page = open_page(name)
    n_charts = len(specs(page))
    page.text_input(key="text").set_value(sentence).run()
    assert not page.exception and not page.error and len(specs(page)) == n_charts
    fits = 0 < len(sentence.encode()) <= MAX_SENTENCE
    assert [warning.value for warning in page.warning] == (
        [] if fits else [shown_sentence(sentence)[1]]
    )


@pytest.mark.parametrize("name", ["balance", "cure", "savings"])
def test_more_experts_per_token_than_there_are_means_all_of_them(name: str) -> None:
    small = {"steps": "50"} if name == "balance" else {"model": "64", "width": "64"}
    page = open_page(name, experts="4", k="8", guess="skip", **(small if name != "cure" else {}))
    assert not page.exception and not page.error and specs(page)
    said = "There are only 4 experts, so a token uses at most 4."
    assert said in [caption.value for caption in page.caption]
    assert "k=4" in page.code[0].value


def measured() -> list[MeasuredCost]:
    runs = {MOE: [1e-3, 1e-3], TOTAL: [2e-3, 3e-3], ACTIVE: [4e-3, 3e-3]}
    return [MeasuredCost.of(name, 64, own, runs[MOE], 1.0) for name, own in runs.items()]


def test_exports_are_json_with_settings_and_versions(two_runs: list) -> None:
    settings = SavingsSettings()
    machine = Machine(2, 1e11, 1e10)
    for raw in (
        start_share.document(ready_model(), "Hello", 2, 0),
        balance_share.document(*two_runs),
        savings_share.document(settings, count(settings), measured(), machine),
    ):
        document = json.loads(raw)
        assert document["moescope"] == moe.__version__ and "numpy" in document["versions"]


def test_the_code_that_a_page_shows_runs_and_gives_its_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exec(start_share.code(DEFAULT_SENTENCE, 0, 3, 3), {})
    assert walk(ready_model(), DEFAULT_SENTENCE).words(3) in capsys.readouterr().out
    a = moe.TrainSettings(steps=30, batch=64, d_model=16, d_expert=8)
    b = moe.TrainSettings(steps=30, batch=64, d_model=16, d_expert=8, balance="bias")
    exec(balance_share.code(a, b), {})
    assert compare(run(a), run(b)).words in capsys.readouterr().out
    settings = SideSettings(Choice("topk", (("k", 3),)), Choice("sinkhorn"), room=1.0)
    exec(routers_share.code("Hello world", settings), {})
    both = put_side_by_side(ready_model(), "Hello world", settings)
    assert both.words() in capsys.readouterr().out
    few = ControlSettings(n_tokens=256, batches=50)
    exec(cure_share.code(0.01, few), {})
    assert judge(respond_all(0.01, few)).words in capsys.readouterr().out
    exec(savings_share.code(SavingsSettings(16, 16, 4, 2)).split("\nmeasured")[0], {})
    assert "CountedCost(layer='MoE'" in capsys.readouterr().out
    command = sharing.train_command(b)
    assert command.startswith("moe train") and "--balance bias" in command
