"""The page Savings without a browser: counted at once, measured when asked, with its spread."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from moe.app.savings.story import count_words, verdict
from moe.numbers import count as short_count
from moe.speed import machine
from moe.speed.machine import Machine
from moe.speed.timing import time_in_turn
from moe.studies import savings
from moe.studies.savings import (
    ACTIVE,
    BATCHES,
    MOE,
    TOTAL,
    MeasuredCost,
    SavingsSettings,
    count,
)
from tests.app.visit import open_page, specs, spoken

SMALL = {"model": "64", "width": "64", "experts": "8", "guess": "skip"}


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Times of a made-up computer, and how often they were asked for."""
    asked: list[int] = []

    def blocks(calls: dict[str, Callable], blocks: int, **_: object) -> dict[str, list[float]]:
        asked.append(blocks)
        return {name: [1e-3 * (at + 1)] * blocks for at, name in enumerate(calls)}

    monkeypatch.setattr(savings, "blocks_in_turn", blocks)
    monkeypatch.setattr(
        machine, "time_in_turn",
        lambda calls, *_, **__: time_in_turn(calls, blocks=1, block_seconds=0, pause=0),
    )  # fmt: skip
    monkeypatch.setattr(machine, "SQUARES", (64,))
    return asked


def test_savings_counts_by_formula() -> None:
    page = open_page("savings", **SMALL)
    assert not page.exception and not page.error
    rows = {cost.layer: cost for cost in count(SavingsSettings(64, 64, 8, 2))}
    expert = 3 * 64 * 64
    assert rows[MOE].params == 8 * expert + 64 * 8
    assert rows[MOE].flops_per_token == 2 * (2 * expert + 64 * 8)
    assert rows[TOTAL].flops_per_token == 2 * 8 * expert
    assert rows[ACTIVE].flops_per_token == 2 * 2 * expert
    assert rows[MOE].params == 98_816 and "MoE 98,800" in spoken(page)[0]


def test_the_page_asks_first_and_shows_what_does_not_tell() -> None:
    page = open_page("savings", **SMALL | {"guess": ""})
    assert not page.exception and len(specs(page)) == 1 and "equal active" not in spoken(page)[0]
    page.button(key="guess_2").click().run()
    told = next(html.proto.body for html in page.get("html") if "moe-words" in html.proto.body)
    assert "You said: Half of it. So did the count. Each token uses 2 of 8 experts" in told
    assert len(specs(page)) == 3


def test_every_position_of_each_slider_is_sent_as_it_would_be_shown() -> None:
    page = open_page("savings", **SMALL)
    sent = json.loads(page.get("bidi_component")[0].proto.json)
    assert list(sent["sliders"]) == ["experts", "k", "shared", "width", "model"]
    for name, settings in (
        ("experts=64", SavingsSettings(64, 64, 64, 2)),
        ("k=16", SavingsSettings(64, 64, 8, 8)),  # a token uses at most all experts
        ("shared=4", SavingsSettings(64, 64, 8, 2, 4)),
        ("width=512", SavingsSettings(64, 512, 8, 2)),
        ("model=512", SavingsSettings(512, 64, 8, 2)),
    ):
        assert sent["words"]["words"][name] == count_words(settings)
        labels = [f"{cost.layer} {short_count(cost.params, 3)}" for cost in count(settings)]
        assert all(label in sent["words"]["counted_params_alt"][name] for label in labels)


def test_nothing_is_measured_before_somebody_asks(timed: list[int]) -> None:
    page = open_page("savings", **SMALL)
    counted = spoken(page)
    page.slider(key="experts").set_value(9).run()
    assert not timed and spoken(page) != counted and len(specs(page)) == 3 and not page.metric
    page.button(key="measure").click().run()
    assert timed == [savings.RUNS] * len(BATCHES) and savings.RUNS >= 5
    assert len(specs(page)) == 4 and len(page.metric) == 4 and not page.exception
    of_nine = spoken(page)[-1]
    page.slider(key="experts").set_value(10).run()  # what was measured stays, with its settings
    assert len(timed) == len(BATCHES) and len(page.metric) == 4 and spoken(page)[-1] == of_nine
    said = [caption.value for caption in page.caption]
    assert any(
        one.startswith("Measured for 9 experts, 2 for each token, 64 wide in tokens of 64; 5 runs")
        and one.endswith("The sliders are elsewhere by now.")
        for one in said
    )
    assert page.button(key="measure").label == "Measure these layers"
    page.slider(key="experts").set_value(9).run()
    assert page.button(key="measure").label == "Measure again"
    page.button(key="measure").click().run()
    assert len(timed) == 2 * len(BATCHES)
    assert any("; 10 runs of each layer" in caption.value for caption in page.caption)


@pytest.mark.parametrize(
    "query", [{"experts": "2", "k": "16"}, {"experts": "64", "width": "512", "model": "512"},
              {"experts": "64", "k": "16", "shared": "4", "width": "512", "model": "512"}],
)  # fmt: skip
def test_every_position_of_the_sliders_keeps_the_page(query: dict[str, str]) -> None:
    page = open_page("savings", **query, guess="skip")
    assert not page.exception and not page.error and len(specs(page)) == 3
    large = "512" in query.values()
    measure = [button for button in page.button if button.key == "measure"]
    assert bool(page.info) == large and bool(measure) != large
    if large:
        assert "million weights" in page.info[0].value and "Choose fewer" in page.info[0].value


def made(spans: dict[int, tuple[list[float], list[float]]]) -> list[MeasuredCost]:
    """Rows of runs in which the MoE takes 1 ms and the dense layers what is given."""
    return [
        MeasuredCost.of(name, n, [ms / 1e3 for ms in runs], [1e-3] * len(runs), 1.0)
        for n, (total, active) in spans.items()
        for name, runs in ((MOE, [1.0] * len(total)), (TOTAL, total), (ACTIVE, active))
    ]


def test_a_measurement_keeps_the_spread_of_its_runs() -> None:
    one = MeasuredCost.of(TOTAL, 4, [3e-3, 1e-3, 2e-3], [1e-3, 2e-3, 1e-3], 0.5)
    assert (one.milliseconds, one.low, one.high) == pytest.approx((2.0, 1.0, 3.0))
    assert (one.speed_up, one.least, one.most) == pytest.approx((2.0, 0.5, 3.0))


def test_the_verdict_names_the_sizes_and_says_where_runs_disagree() -> None:
    rows = made(
        {
            1: ([0.5, 0.6], [0.2, 0.2]),
            4: ([0.9, 1.1], [0.2, 0.3]),
            16: ([2.0, 2.5], [0.4, 0.4]),
            64: ([3.0, 4.0], [0.4, 0.5]),
        }
    )
    said = verdict(SavingsSettings(), rows, Machine(2, 1e11, 1e10))
    assert said.text.startswith(
        "Against an ordinary layer that stores as much: faster at 16 and 64 tokens; slower at "
        "1 token; the runs disagree at 4 tokens. With 64 tokens it was 3.0 to 4.0 times as fast."
    )
    assert "uses as much: slower at 1, 4, 16 and 64 tokens." in said.text
    assert "With 64 tokens it was 2.0 to 2.5 times slower" in said.text
    values = {label: value for label, value, _ in said.figures()}
    assert values["Beats “stores as much”"] == "from 16 tokens"
    assert values["Beats “uses as much”"] == "at no size tried"


def test_being_faster_once_in_between_is_no_from_here_on() -> None:
    rows = made({1: ([2.0], [2.0]), 4: ([0.5], [2.0]), 16: ([2.0], [2.0])})
    said = verdict(SavingsSettings(), rows, Machine(2, 1e11, 1e10))
    assert said.faster_than_total_from == 16 and said.faster_than_active_from == 1
    assert "faster at 1 and 16 tokens; slower at 4 tokens." in said.text
    assert "2.0 times as fast" in said.text and "small batches" not in said.text


def test_no_label_of_the_figures_is_longer_than_its_place() -> None:
    said = verdict(SavingsSettings(), made({1: ([2.0], [2.0])}), Machine(2, 1e11, 1e10))
    assert all(len(label) <= 24 for label, _, _ in said.figures())
