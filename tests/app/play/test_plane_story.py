"""Words on territories, from looks whose answer is plain."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from moe.app.play import plane_story as story
from moe.app.play.plane_look import Look
from moe.balance import BALANCERS
from moe.routers import ROUTERS
from moe.studies.territories import Territories
from moe.training import TrainSettings, suits

FLAT = Territories(np.zeros((2, 4)), np.zeros(4))
BENT = Territories(np.zeros((2, 4)), np.zeros(4), select_bias_E=np.ones(4))


def seen(pixels, right=None, loss=None, work=None, maps=None, differ=None, bent=None) -> Look:
    record = None
    if loss is not None:
        record = SimpleNamespace(mean_loss=loss, share_E=np.array(work or [0.25] * 4))
    return Look(np.array(pixels), np.zeros(1), right, maps, differ, bent, record, 4)


def test_who_answers():
    assert story.who_answers(seen([0, 0, 1, 2]), False) == (
        "3 of 4 experts hold ground; A answers 50% of the plane."
    )
    assert story.who_answers(seen([3] * 19 + [0]), False) == (
        "D has taken over: it answers 95% of the plane."
    )
    assert story.who_answers(seen([3] * 199 + [0]), False).endswith(
        "it answers 99.5% of the plane."
    )
    assert story.who_answers(seen([-1, -1, -1]), False) == "No expert answers anywhere."
    assert "Nobody answers 25%." in story.who_answers(seen([-1, 1, 1, 0]), False)
    words = story.who_answers(seen([0, 1], 0.75, 0.5, [0.5, 0.3, 0.2, 0]), False)
    assert "Its busiest expert does 2.0 times its fair share of the work." in words
    assert words.endswith("75% of the points are right.")


def test_a_router_of_whole_batches_is_said_to_be_one():
    words = story.who_answers(replace(seen([0, 1]), batch=512), False)
    assert words.endswith("at 512 pixels from all over the plane.")


def test_what_the_lines_say():
    straight = story.who_answers(seen([0, 1], maps=FLAT, differ=0, bent=0), True)
    assert straight.endswith("numbers: 0 of 2 pixels differ from the layer's own choice.")
    bent = story.who_answers(seen([0, 1], maps=BENT, differ=0, bent=1), True)
    assert "50% of the plane would have another expert" in bent
    assert bent.endswith("0 of 2 pixels differ from the layer's own choice.")
    assert "no lines" in story.who_answers(seen([0, 1]), True)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (seen([0, 1]), seen([0, 1]), "same everywhere: the same expert answers every pixel."),
        (seen([0, 1]), seen([0, 2]), "Different experts answer 50% of the plane in A and B."),
        (seen([0], loss=0.5), seen([1], loss=0.3), "B's loss is 0.20 lower than A's."),
        (seen([0], loss=0.5), seen([1], loss=0.6), "B's loss is 0.10 higher than A's."),
        (seen([0], loss=0.5), seen([1], loss=0.501), "less than 0.005 apart."),
    ],
)
def test_the_difference(a, b, words):
    assert story.difference(a, b).endswith(words)


def test_what_is_not_offered_is_explained():
    for router in ROUTERS:
        words = story.missing(router)
        absent = [kind.title for name, kind in BALANCERS.items() if not suits(name, router)]
        assert all(title in words for title in absent)
        assert ("goes with all" in words) == (not absent)
    assert "does not have" in story.missing("st_moe")
    assert "does not give" in story.missing("soft")
    assert "compute nothing" in story.missing("topk")
    assert "another kind" in story.missing("topk")


def test_a_title_names_router_and_balancing():
    assert story.title(TrainSettings(router="switch", balance="aux")) == (
        "Switch (top-1) · Auxiliary loss"
    )


def test_what_there_is_to_see_depends_on_the_task():
    assert "● from ○" in story.about("moons") and "map" in story.about("linear_maps")
    assert len(story.about("moons").split()) <= 60


def test_what_k_means_to_routers():
    assert story.on_k(["topk"], 2) == []
    assert story.on_k(["switch", "switch"], 2) == [
        "Switch (top-1): decides by itself how many experts a point gets."
    ]
    assert story.on_k(["topk", "deepseek_v3"], 1) == [
        "Top-k token choice and DeepSeek-V3: with 1 the task teaches the router nothing."
    ]
