"""The page Little memory: its words, its figures, and what is taken along."""

from __future__ import annotations

import csv
import re
from html import escape
from itertools import product
from urllib.parse import parse_qsl

import pytest

from moe.app.expert_cache import share, story
from moe.app.expert_cache.story import LittleMemory
from moe.cost import MODELS, weight_bytes
from moe.expert_cache import POLICIES
from moe.expert_cache.published import PATH
from tests.app.visit import open_page, read, specs, spoken, words

LINES = [line for line in PATH.read_text("utf-8").splitlines() if line[0] != "#"]
ROWS = list(csv.DictReader(LINES))


def counted(policy: str, slots: int, task: str, name: str) -> int:
    return sum(
        int(row[name])
        for row in ROWS
        if (row["policy"], row["slots"]) == (policy, str(slots))
        and task in (row["task"], story.EVERY)
    )


def rate(policy: str, slots: int, task: str) -> float:
    return counted(policy, slots, task, "hits") / counted(policy, slots, task, "requests")


@pytest.mark.parametrize(("slots", "task"), list(product(story.SIZES, story.TASKS)))
def test_the_verdict_has_the_rates_of_the_file(slots: int, task: str) -> None:
    said = story.verdict(slots, task)
    for policy in ("lru", "belady", "pinned", "pinned_other"):
        assert f"{rate(policy, slots, task):.0%}" in said
    assert f"any {slots} would be there {slots / 64:.0%}" in said


def test_reading_ahead_is_told_with_what_it_costs() -> None:
    lru, ahead = (
        {name: counted(policy, 16, "law", name) for name in ("requests", "hits", "early", "reads")}
        for policy in ("lru", "last_layer")
    )
    waits = [one["requests"] - one["hits"] - one["early"] for one in (lru, ahead)]
    assert f"waits for {1 - waits[1] / waits[0]:.0%} fewer experts" in story.ahead_words(16, "law")
    assert f"{ahead['reads'] / lru['reads'] - 1:.0%} more are read" in story.ahead_words(16, "law")
    assert "as many" in story.ahead_words(64)


def test_speeds_are_said_with_the_memory_that_they_need() -> None:
    settings = LittleMemory(slots=16)
    found = story.speeds(settings)
    said = story.speed_words(settings)
    best = max(found[name].tokens_per_s for name in POLICIES if name != "belady")
    assert f"Without knowing the future, {best:.3g} tokens a second at best" in said
    one = 3 * 2048 * 1408 * (0.5 + 2 / 32)
    stays = weight_bytes(MODELS["deepseek-v2-lite"], "4-bit") - 26 * 48 * one
    assert f"{stays / 1e9:.1f} GB at 4 bits a weight, which fits" in said
    for name in POLICIES:
        assert found[name].tokens_per_s <= found["lru"].all_fit_tokens_per_s


def test_the_page_shows_its_numbers_and_follows_its_controls() -> None:
    page = open_page("expert_cache")
    assert not page.exception
    sent = "\n".join(html.proto.body for html in page.get("html"))
    assert escape(story.verdict(16)) in sent
    assert len(specs(page)) == len(spoken(page)) == 3
    (link,) = re.findall(r"\]\(/your-model\?([^)]*)\)", words(page))
    linked = open_page("your_model", **dict(parse_qsl(link)))
    assert "The latest used are there" in linked.table[0].value.columns
    page.selectbox(key="task").set_value("translation").run()
    page.select_slider(key="slots").set_value(32).run()
    assert not page.exception
    settings = LittleMemory(slots=32, task="translation")
    assert story.speed_words(settings) in words(page)
    assert story.ahead_words(32, "translation") in words(page)
    assert f"room for 32. A dashed line is chance, {0.5:.0%}" in spoken(page)[0]


def test_every_choice_of_machine_and_way_has_a_speed() -> None:
    for machine, way in product(story.MACHINES, story.WAYS):
        found = story.speeds(LittleMemory(machine=machine, way=way))
        assert all(one.tokens_per_s > 0 for one in found.values())


def test_the_export_has_the_figures_and_the_code_prints_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = LittleMemory(slots=8, task="law")
    found = read(share.document(settings), "expert-cache")
    assert LittleMemory(**found["settings"]) == settings
    assert found["chance"] == 0.125
    for row in found["policies"]:
        assert row["hits"] == counted(row["policy"], 8, "law", "hits")
        assert row["hit_rate"] == rate(row["policy"], 8, "law")
    exec(share.code(settings), {})
    said = capsys.readouterr().out
    assert story.verdict(8, "law") in said
    assert f"{rate('lfu', 8, 'law'):.1%}" in said
