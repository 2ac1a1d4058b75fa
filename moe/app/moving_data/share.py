"""What a visitor takes along from the page: its run as JSON, and what reproduces it."""

from __future__ import annotations

import shlex

from ..shared.sharing import json_document
from . import yesterday
from .story import Limit, Moved, MovingSettings, Way


def document(
    moved: Moved,
    ways: list[Way],
    links: list[Moved],
    placed: tuple[Moved, Moved],
    limits: list[Limit],
) -> bytes:
    """Traffic and times of the page's batch, and of what it is compared with."""
    return json_document(
        "moving-data",
        {
            "moved": moved.as_row(),
            "ways": [{"way": way.title, **way.moved.as_row()} for way in ways],
            "links": [moved.as_row() for moved in links],
            "limits": [
                {"reach": one.reach, "wishes_met": one.wishes, **one.moved.as_row()}
                for one in limits
            ],
            "before_and_after": [moved.as_row() for moved in placed],
            "yesterday": yesterday.as_json(),
        },
    )


def code(settings: MovingSettings) -> str:
    """Code of the page on moving data: what moves, and the comparisons in words."""
    return f"""\
from moe.app.moving_data.story import (
    MovingSettings, before_after, by_limit, limit_words, links, links_words, more_uneven, move,
    placement_words, ways, ways_words,
)

settings = {settings.as_call()}
moved = move(settings)
print(moved.words())
print(moved.sent.dispatch_bytes_GG)  # bytes from GPU to GPU
print(moved.dispatch.us, moved.combine.us)
print(limit_words(by_limit(settings), settings.reach))  # wishes met, and the time
print(ways_words(ways(settings)))
print(links_words(links(settings), links(more_uneven(settings))))
print(placement_words(*before_after(settings)))

# A real model's loads: placed for one task, carrying another.
from moe.app.moving_data.yesterday import matrix_words, moving_words, reflex_words

print(matrix_words(), moving_words("intent", "law"), reflex_words("law"))
"""


def command(settings: MovingSettings) -> str | None:
    """Command line with the same batch; None where it has no option for what is sent."""
    if settings.wire != "FP8":
        return None
    return shlex.join(["moe", "cluster", "simulate", *settings.simulated().as_flags()])
