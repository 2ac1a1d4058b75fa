"""The page Moving data: experts on many GPUs, what the links carry, and what placement mends."""

from __future__ import annotations

import streamlit as st

from ..shared import parts
from ..shared.kept import KEPT
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import share, story
from .story import Moved, MovingSettings, Way

Computed = tuple[Moved, list[Way], list[Moved], list[Moved], tuple[Moved, Moved]]


def computed(settings: MovingSettings) -> Computed:
    """Compute what the page shows of these settings, once for all visitors."""
    with st.spinner("Sending a batch through the cluster …", show_time=False):
        return KEPT.of(
            ("moving", settings),
            lambda: (
                story.move(settings),
                story.ways(settings),
                story.links(settings),
                story.links(story.more_uneven(settings)),
                story.before_after(settings),
            ),
        )


def show() -> None:
    """Show the page."""
    top = st.container()
    settings = _settings()
    moved, ways, links, uneven, placed = computed(settings)
    with top:
        parts.heading(
            "Why does it matter how data moves?",
            "A large mixture of experts does not fit on one GPU. In DeepSeek-V3 every token needs "
            "8 of 256 experts, and they live on many GPUs: its numbers travel there and back, in "
            "every layer. Inside a *node* (a server with eight GPUs) there is fast NVLink; between "
            f"nodes only a network, {story.speeds_words(settings)}.",
            story.story_words(ways, links),
        )
    st.subheader("Fewer copies")
    parts.show(charts.ways_bars(ways, parts.ink()), "ways")
    st.markdown(story.ways_words(ways))
    st.subheader("On every link")
    parts.metrics(moved.figures())
    parts.show(charts.cluster_picture(moved, parts.ink()), "cluster")
    st.markdown(moved.words())
    with st.expander("From node to node in numbers"):
        parts.show(charts.node_to_node(moved), "pairs")
    st.subheader("The weaker links of the H800")
    parts.show(charts.links_bars(links, parts.ink()), "links")
    st.markdown(story.links_words(links, uneven))
    st.subheader("Where experts live")
    st.markdown(
        "Popular experts make some GPUs busy while the others wait. EPLB, the algorithm that "
        "DeepSeek published, moves experts and gives the most popular ones spare copies."
    )
    parts.show(charts.placements(*placed, parts.ink()), "placements")
    st.markdown(story.placement_words(*placed))
    st.caption(story.ABOUT)
    share_box(
        "moving-data",
        share.code(settings),
        share.command(settings),
        lambda: share.document(moved, ways, links, placed),
        lambda: charts.cluster_picture(moved),
        f"seed {settings.seed}",
    )
    parts.next_step("moving-data", story.ways_words(ways))


def _settings() -> MovingSettings:
    """Controls; all are in the address."""
    first, second = st.columns(4), st.columns(4)
    control = MovingSettings.control
    nodes = first[0].select_slider("Nodes of eight GPUs", **control("nodes"), key="nodes", **BOUND)
    limit = first[1].slider(
        "Nodes a token may reach", **control("limit"), key="limit", **BOUND,
        help="DeepSeek-V3 allows four. With as many as there are, there is no limit.",
    )  # fmt: skip
    copies = first[2].selectbox("A token is sent", **control("copies"), key="copies", **BOUND)
    placed = first[3].selectbox("Experts live", **control("placed"), key="placed", **BOUND)
    skew = second[0].slider(
        "How uneven experts' popularity is", 0.0, 1.0, MovingSettings.skew, 0.1, key="skew", **BOUND
    )
    tokens = second[1].select_slider(
        "Tokens per GPU", story.TOKENS, MovingSettings.tokens, key="tokens", **BOUND
    )
    wire = second[2].selectbox(
        "Numbers travel to experts as", **control("wire"), key="wire", **BOUND,
        help="FP8 has one byte per number, BF16 two. Results come back in BF16.",
    )  # fmt: skip
    gpu = second[3].selectbox("GPU", **control("gpu"), key="gpu", **BOUND)
    return MovingSettings(
        nodes=nodes, limit=limit, copies=copies, wire=wire, placed=placed, gpu=gpu, skew=skew,
        tokens=tokens,
    )  # fmt: skip
