"""Sentences while a run is watched: who works, and who took over."""

from __future__ import annotations

from moe.app.play.plan import read
from moe.app.play.story import Teller
from moe.training import LiveRun


def told(run: str, steps: int) -> dict[int, str]:
    recipe = read(run)[0].recipe
    live, teller = LiveRun(recipe.settings, recipe.changes), Teller()
    said: dict[int, str] = {}
    for _ in range(steps):
        record = live.step()
        said |= dict(teller.tell(record, live.controls.off))
    return said


def test_a_sentence_comes_with_the_first_step_and_every_fifth() -> None:
    assert list(told("8-0", 30)) == [0, 4, 9, 14, 19, 24, 29]


def test_a_switched_off_expert_has_heirs() -> None:
    said = told("8-0_60x4", 200)
    assert "idle" in said[59] and "E do" in said[59].replace("E and G do", "E do")
    assert said[60] == "E is off: others take its work now."
    assert said[79].startswith("E is off. Most of its 50% went to ")
    assert " E " not in said[199] and "is off" not in said[199]


def test_two_that_go_at_once_have_no_heirs_and_nobody_goes_before_the_first_step() -> None:
    assert not any("is off" in words for words in told("8-0_30x4.5", 50).values())
    assert not any("is off" in words for words in told("8-0_0x4", 20).values())
