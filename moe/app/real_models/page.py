"""The page Real models: how large published models are, and which run on one's own machine."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ..shared import parts
from ..shared.outside import show_problem
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import share, story

PIXELS = {"Published figures from": 320, "Counted as published": 190}


def show() -> None:
    """Show the page."""
    parts.heading(
        "Would a real model run on your machine?",
        "The makers of these models give their weights away: anyone may run them. A mixture of "
        "experts must be stored whole, but uses only a small part for each word, so it needs "
        "much memory and little work.",
        "how many models fit in the memory of the machine below, and how fast they could write "
        "at most. Choose your own machine.",
    )
    controls = st.container()
    try:
        with controls:
            question = _question()
        answers = story.Answers(question)
        words = answers.words()
    except ValueError as error:
        show_problem(error)
        return
    st.markdown(words)
    parts.show(charts.memory(answers, parts.ink()), "memory")
    st.caption(
        "“At most” means: memory read at its full speed, arithmetic at its peak, links between "
        "machines free. Real programs reach less."
    )
    st.subheader("How much is stored, how much is used?")
    parts.show(charts.total_and_active(answers, parts.ink()), "scatter")
    st.markdown(story.convention_words())
    _table(answers)
    _batches(answers)
    share_box(
        "real-models",
        share.code(question),
        "moe models --json",
        lambda: share.document(answers),
        lambda: charts.total_and_active(answers),
    )
    parts.next_step("real-models", words)


def _question() -> story.Question:
    usual, control = story.Question(), story.Question.control
    machine_box, weights_box, batch_box, context_box = st.columns([3, 2, 2, 2])
    machine = machine_box.selectbox("Machine", **control("machine"), key="machine", **BOUND)
    weights = weights_box.selectbox(
        "Each weight takes", **control("weights"), key="weights", help="Models are published "
        "with 16 or 8 bits; many people run them rounded to 4.", **BOUND,
    )  # fmt: skip
    batch = batch_box.select_slider(
        "Conversations at once", story.BATCHES, usual.batch, key="batch", **BOUND
    )
    context = context_box.select_slider(
        "Length of each, tokens", [1024, 4096, 16384, 65536, 131072], usual.context, key="context",
        **BOUND,
    )  # fmt: skip
    with st.expander("More: several machines, your own machine, another way to count"):
        left, middle, right = st.columns(3)
        of_own = {"disabled": machine != story.OWN_MACHINE, **BOUND}
        return story.Question(
            machine=machine,
            weights=weights,
            batch=batch,
            context=context,
            n_machines=left.number_input(
                "How many machines", **control("n_machines"), key="machines", **BOUND
            ),
            usable_percent=middle.slider(
                "Memory that the model may fill, %", 30, 100, usual.usable_percent, key="usable",
                **BOUND,
            ),
            convention=right.selectbox(
                "Count as “used”", **control("convention"), key="convention", **BOUND
            ),
            memory_gb=left.number_input(
                "Own machine: memory, GB", 1.0, 1e5, usual.memory_gb, 8.0, key="gb", **of_own
            ),
            memory_gb_s=middle.number_input(
                "Own machine: memory speed, GB/s", 1.0, 1e6, usual.memory_gb_s, 10.0, key="gbs",
                **of_own,
            ),
            tflops=right.number_input(
                "Own machine: trillion operations/s", 0.01, 1e6, usual.tflops, 1.0, key="tflops",
                **of_own,
            ),
        )  # fmt: skip


def _table(answers: story.Answers) -> None:
    """All figures; a click on a column's head sorts by it."""
    rows = answers.table()
    frame = pd.DataFrame(rows)
    active = [name for name in frame.columns if name.startswith("Active, ")]
    styled = frame.style.format("{:,.3g}", frame.select_dtypes("float").columns, na_rep="–")
    styled = styled.format("{:,.4g}", active).format("{:,.0f}", ["Cache, bytes a token"])
    for at, column in story.marks(rows):
        styled = styled.format(f"{{:,.4g}} {story.MARK}", (at, column))
    st.dataframe(
        styled, hide_index=True, key="all",
        column_config={name: st.column_config.Column(width=width) for name, width in PIXELS.items()}
        | {"Model": st.column_config.Column(pinned=True)},
    )  # fmt: skip
    st.caption(
        f"Sizes in billions; {story.MARK} marks the way of counting that the published figure "
        "fits. Click a column's head to sort. ² quoted by others, ³ not verified."
    )


def _batches(answers: story.Answers) -> None:
    st.subheader("Several conversations at once")
    names = sorted(answer.model.name for answer in answers.rows)
    name = st.selectbox("Model", names, names.index("DeepSeek-V3"), key="model", **BOUND)
    parts.show(charts.by_batch(answers, name, parts.ink()), "by_batch")
    st.markdown(answers.batch_words(name))
