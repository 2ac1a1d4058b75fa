"""The page Moving data: experts on many GPUs, what the links carry, and what placement mends."""

from __future__ import annotations

from functools import partial

import streamlit as st

from ..shared import parts
from ..shared.finger import Finger, Slider
from ..shared.kept import KEPT
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import share, story
from . import yesterday as past
from .packets import packets
from .story import Limit, MovingSettings


def computed(settings: MovingSettings) -> list[Limit]:
    """Compute what the first picture shows of these settings, once for all visitors."""
    if settings.placed != story.IN_ORDER:  # in a turn of its own: the story finds it afterwards
        tokens = settings.nodes, settings.skew, settings.seed
        KEPT.in_turn(("learnt", *tokens), lambda: story.learnt(*tokens))
    return KEPT.in_turn(("limits", settings), lambda: story.by_limit(settings))


def show() -> None:
    """Show the page."""
    top = st.container()
    picture, controls = st.columns([3, 1])
    with controls:
        settings = _settings()
    with top:
        parts.heading(
            "What moves between the chips?",
            "Experts live on many chips, in servers of eight. Each token travels to its eight "
            f"experts and back. Between servers that is {story.speeds_words(settings)}. A limit "
            "on servers saves time, and leaves some wishes of the router unmet.",
        )
    limits = computed(settings)
    finger = Finger([Slider("limit", story.LIMITS)], limit=settings.limit)
    with picture:
        packets(settings, limits, parts.ink())
        finger.words(lambda limit: story.limit_words(limits, min(limit, settings.nodes)))
        finger.show(
            lambda limit: charts.price_of_limit(limits, min(limit, settings.nodes), parts.ink()),
            "price",
        )
    finger.watch()
    for key, (title, more) in MORE.items():
        # What is closed is neither computed nor drawn: each takes longer than all above.
        box = st.expander(title, key=key, on_change="rerun")
        if box.open:
            with box:
                more(settings)
    st.caption(story.ABOUT)
    share_box(
        "moving-data",
        share.code(settings),
        share.command(settings),
        lambda: share.document(
            story.move(settings),
            story.ways(settings),
            story.links(settings),
            story.before_after(settings),
            limits,
        ),
        lambda: charts.price_of_limit(limits, settings.reach),
        f"{settings.nodes} nodes, seed {settings.seed}",
    )
    parts.next_step("moving-data", story.limit_words(limits, settings.reach))


def _ways(settings: MovingSettings) -> None:
    ways = KEPT.in_turn(("ways", settings), lambda: story.ways(settings))
    parts.show(charts.ways_bars(ways, parts.ink()), "ways")
    st.markdown(story.ways_words(ways))


def _every_link(settings: MovingSettings) -> None:
    moved = KEPT.in_turn(("moved", settings), lambda: story.move(settings))
    parts.metrics(moved.figures())
    parts.show(charts.cluster_picture(moved, parts.ink()), "cluster")
    st.markdown(moved.words())
    parts.show(charts.node_to_node(moved), "pairs")


def _slower_links(settings: MovingSettings) -> None:
    links, uneven = (
        KEPT.in_turn(("links", one), partial(story.links, one))
        for one in (settings, story.more_uneven(settings))
    )
    parts.show(charts.links_bars(links, parts.ink()), "links")
    st.markdown(story.links_words(links, uneven))


def _placed(settings: MovingSettings) -> None:
    st.markdown(
        "Popular experts make some GPUs busy while the others wait. EPLB, the algorithm that "
        "DeepSeek published, moves experts and gives the most popular ones spare copies."
    )
    placed = KEPT.in_turn(("placed", settings), lambda: story.before_after(settings))
    parts.show(charts.placements(*placed, parts.ink()), "placements")
    st.markdown(story.placement_words(*placed))


def _yesterday(settings: MovingSettings) -> None:
    st.markdown(
        "Loads of a real model on four tasks. A row's placement was made for one of them, and "
        "carries that of the column."
    )
    parts.show(charts.yesterday(past.matrix()), "yesterday_matrix")
    st.markdown(past.matrix_words())
    made_box, carried_box = st.columns(2)
    placed_for = past.matrix().placed_for
    made_for = made_box.selectbox("Placed for", placed_for, 0, key="made_for", **BOUND)
    carried = carried_box.selectbox("Now carries", past.TASKS, 1, key="carries", **BOUND)
    st.markdown(past.moving_words(made_for, carried))
    st.markdown(past.reflex_words(carried))
    st.table([one.as_row() for one in past.batches(carried)])
    st.caption(past.about())


MORE = {
    "fewer_copies": ("Fewer copies: one for each server instead of one for each expert", _ways),
    "every_link": ("Every link: how much crosses it, and how busy each chip is", _every_link),
    "slower_links": ("Were the chips weaker? The slower links of the H800", _slower_links),
    "spare_copies": ("Where experts live: spare copies of the popular ones", _placed),
    "yesterday": ("Placed for yesterday's work: what if today's is another?", _yesterday),
}


def _settings() -> MovingSettings:
    """Controls; all are in the address."""
    control = MovingSettings.control
    limit = st.slider(
        "Servers a token may reach", **control("limit"), key="limit", **BOUND,
        help="DeepSeek-V3 allows four. With as many as there are, there is no limit.",
    )  # fmt: skip
    gpu = st.selectbox("Chip", **control("gpu"), key="gpu", **BOUND)
    with st.expander("More"):
        nodes = st.select_slider("Servers of eight chips", **control("nodes"), key="nodes", **BOUND)
        copies = st.selectbox("A token is sent", **control("copies"), key="copies", **BOUND)
        placed = st.selectbox("Experts live", **control("placed"), key="placed", **BOUND)
        skew = st.slider(
            "How uneven experts' popularity is", 0.0, 1.0, MovingSettings.skew, 0.1, key="skew",
            **BOUND,
        )  # fmt: skip
        tokens = st.select_slider(
            "Tokens per chip", story.TOKENS_HERE, story.TOKENS_HERE[0], key="tokens", **BOUND
        )
        wire = st.selectbox(
            "Numbers travel to experts as", **control("wire"), key="wire", **BOUND,
            help="FP8 has one byte per number, BF16 two. Results come back in BF16.",
        )  # fmt: skip
    return MovingSettings(
        nodes=nodes, limit=limit, copies=copies, wire=wire, placed=placed, gpu=gpu, skew=skew,
        tokens=tokens,
    )  # fmt: skip
