"""The way through the pages: their groups, their names, and what one page gives to the next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import streamlit as st

STORY, NEWS, LAB, LEARN, WORK = "Story", "The news", "Lab", "Learn", "Your work"
# In the visitor's session: values of controls to take along, the frame's pages by address, and
# whether the page has shown the way to the next one.
ALONG, PAGES, ENDED = "taken_along", "pages", "page_ended"
# In the address of a link to the next page, within a session: Streamlit takes controls that the
# page before had as well out of it, so `arrived` looks them up in the session.
NEXT = "next"
LIMITS = {"experts": (4, 64), "k": (1, 8), "seed": (0, 9999)}  # what every page allows
GROUPS = (STORY, NEWS, LAB, LEARN, WORK)


@dataclass(frozen=True)
class Stop:
    """A page on the way.

    Attributes
    ----------
    address
        Below the server's own; the first page also answers at the server's own.
    title, group
        What menus call it, and where.
    invitation
        What the button says that leads here.
    takes
        Controls that it shares with other pages, by their names in the address.
    """

    address: str
    title: str
    group: str
    invitation: str
    takes: tuple[str, ...] = ()


STOPS = (
    Stop("start", "1 · What is it?", STORY, "Begin at the beginning", ("text", "seed")),
    Stop("balance", "2 · Who does the work?", STORY, "Will all experts get the same work?",
         ("experts", "k", "seed")),
    Stop("cure", "3 · How hard to push back?", STORY, "How hard should you push back?",
         ("experts", "k", "seed")),
    Stop("savings", "4 · What does it save?", STORY, "And what does it save?", ("experts", "k")),
    Stop("five-million", "Did it cost $5M?", NEWS, "So did it cost $5 million?"),
    Stop("real-models", "Real models", NEWS, "Who does the work in a real model?"),
    Stop("language-model", "Experts that read", NEWS, "Does it read better with experts?",
         ("seed",)),
    Stop("distil", "A teacher's student", NEWS, "What can a teacher pass on?"),
    Stop("think", "Does it pay to think?", NEWS, "Does it pay to think?", ("seed",)),
    Stop("play", "Play", LAB, "What if you change it while it learns?"),
    Stop("gate", "Be the gate", LAB, "Could you do better than the router?"),
    Stop("routers", "Routers", LAB, "What if another router had chosen?", ("text", "seed")),
    Stop("scaling", "How many experts?", LAB, "How many experts would you buy?"),
    Stop("moving-data", "Moving data", LAB, "What moves between the chips?"),
    Stop("expert-cache", "Little memory", LAB, "What if its experts do not all fit?"),
    Stop("learn", "Lessons", LEARN, "Do you want to understand all of it?"),
    Stop("your-model", "Your model", WORK, "How does your own model share its work?"),
    Stop("reading", "Code and docs", WORK, "Where can I read more?"),
)  # fmt: skip
BY_ADDRESS = {stop.address: stop for stop in STOPS}
N_STORY = sum(stop.group == STORY for stop in STOPS)
CARRIED = tuple(dict.fromkeys(name for stop in STOPS for name in stop.takes))


def after(address: str) -> Stop:
    """Return the page that follows one; after the last comes the first."""
    place = STOPS.index(BY_ADDRESS[address])
    return STOPS[(place + 1) % len(STOPS)]


def part_of_story(address: str) -> int:
    """Return which part of the story a page is, counted from 1, or 0 for one outside of it."""
    place = STOPS.index(BY_ADDRESS[address])
    return place + 1 if place < N_STORY else 0


def carried(values: Mapping[str, Any], stop: Stop) -> dict[str, Any]:
    """Return the controls' values that a page takes over, within what it allows."""
    given = {name: values[name] for name in stop.takes if values.get(name) is not None}
    return {
        name: min(max(value, LIMITS[name][0]), LIMITS[name][1]) if name in LIMITS else value
        for name, value in given.items()
    }


def arrived(address: str) -> None:
    """Give the controls that were taken along to a page that was reached by its button."""
    if NEXT in st.query_params:
        del st.query_params[NEXT]
        values = carried(st.session_state.get(ALONG, {}), BY_ADDRESS[address])
        st.query_params.update({name: str(value) for name, value in values.items()})
        st.rerun()  # the page reads the address as it was when its script began


def first_sentence(text: str) -> str:
    """Return the words up to the first full stop that a new sentence follows."""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z“*])", text, maxsplit=1)[0]


def link(stop: Stop, query: Mapping[str, Any]) -> str:
    """Return the address of a page with these controls, below the server's own."""
    return f"/{stop.address}" + (f"?{urlencode(query)}" if query else "")


def dots(part: int) -> str:
    """Return the story's parts as a row of dots, the present one marked, as HTML."""
    here = {part: ' aria-current="step"'}
    marks = "".join(f"<li{here.get(i, '')}>{i}</li>" for i in range(1, N_STORY + 1))
    return f'<ol class="moe-dots" aria-label="Part {part} of {N_STORY} of the story">{marks}</ol>'
