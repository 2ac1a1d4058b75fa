"""The film's packet: what the browser gets of a finger with one slider."""

from __future__ import annotations

import pytest

from moe.app.shared.finger import Finger, Slider
from moe.app.shared.reel import packet


def test_the_packet_has_a_name_for_every_position_and_another_hash_for_another_film():
    finger = Finger([Slider("at", [0, 1, 2])], at=0)
    sent = packet(finger, "Step", ["a", "b", "c"])
    assert sent["names"] == ["at=0", "at=1", "at=2"] and sent["shown"] == ["a", "b", "c"]
    assert sent["id"] == packet(finger, "Step", ["a", "b", "c"])["id"]
    assert sent["id"] != packet(finger, "Step", ["a", "b", "d"])["id"]


def test_a_film_has_one_slider_and_says_something_of_each_position():
    two = Finger([Slider("at", [0]), Slider("by", [0])], at=0, by=0)
    with pytest.raises(ValueError, match="got 2 sliders, allowed is one"):
        packet(two, "Step", ["a"])
    with pytest.raises(ValueError, match="got 1 names, allowed are 2"):
        packet(Finger([Slider("at", [0, 1])], at=0), "Step", ["a"])
