"""The page Real models: which experts work on what, and what runs on one's own machine."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pandas as pd
import streamlit as st

from ..shared import parts
from ..shared.finger import Finger, Slider
from ..shared.outside import show_problem
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import best, share, story, who_works
from . import chart as charts
from .typing import typing_race

PAGE = "real-models"
PIXELS = {"Published figures from": 320, "Counted as published": 190}


def show() -> None:
    """Show the page."""
    st.title("Who does the work in a real model?")
    choice = _who_works()
    _three_models()
    st.header("Would it run at home?", anchor="at-home")
    asked, seen = st.columns([2, 3], gap="medium")
    try:
        with asked:
            machine = _machine()
            said = st.empty()
            question = story.Question(**machine | _more(machine.get("n_machines", 1)))
        answers = story.Answers(question)
        with said:
            parts.explained(best.best_words(answers))
        # A slider needs its picture beside it.
        first, later = (_speeds, _race) if _is_own(question) else (_race, _speeds)
        with seen:
            first(answers)
        _best(answers)
        later(answers)
    except ValueError as error:
        show_problem(error)
        return
    for key, label, show_it in (
        ("stored", "How much is stored, how much is used?", _stored),
        ("many", "What if many people write to it at once?", _batches),
        ("every", "Every figure, and where it is from", _table),
    ):
        # Only what is open is drawn, so that a change is quick.
        folded = st.expander(label, key=key, bind="query-params")
        if folded.open:
            with folded:
                show_it(answers)
    share_box(
        PAGE,
        share.code(question, choice),
        "moe models --json",
        lambda: share.document(answers, choice),
        lambda: charts.load_map(choice),
        f"{who_works.mapped().model}, {choice.lower()}; {answers.machine_words()}, weights of "
        f"{question.weights}",
    )
    parts.next_step(PAGE, who_works.busiest_words(choice))


def _who_works() -> str:
    """Show the map of a real model on the text that is chosen, and return its name."""
    said, picture, below = parts.beside("real_models")
    with said:
        parts.explained(who_works.model_words())
        choice = st.segmented_control(
            "It works on", who_works.CHOICES, default=who_works.USUAL, required=True, key="task",
            label_visibility="collapsed", wrap=True, **BOUND,
        )  # fmt: skip
        choice = choice or who_works.USUAL
        parts.explained(who_works.busiest_words(choice))
    with picture:
        parts.show(charts.load_map(choice), "map")
    with below:
        parts.explained(who_works.one_expert().words())
        parts.show(charts.one_expert(parts.ink()), "one_expert")
    return choice


def _three_models() -> None:
    """Show how uneven three models are, and where all figures on routing are from."""
    words, picture = st.columns([2, 3], gap="medium")
    with words:
        parts.explained(who_works.models_words())
    with picture:
        parts.show(charts.how_uneven(parts.ink()), "how_uneven")
    folded = st.expander("Where these figures are from", key="sources", bind="query-params")
    if folded.open:
        folded.markdown("\n".join(f"- {line}" for line in who_works.sources()))


def _machine() -> dict[str, Any]:
    """Ask what the visitor has."""
    have = st.pills(
        "What have you got?", story.CHOICES, default=story.CHOICES[0], required=True, key="have",
        wrap=True, **BOUND,
    )  # fmt: skip
    if have == story.OWN:
        return _own()
    if have == story.ANOTHER:
        name = st.selectbox("Machine", **story.Question.control("machine"), key="machine", **BOUND)
        return {"machine": name}
    name, many = story.HAVE[have or story.CHOICES[0]]
    return {"machine": name, "n_machines": many}


def _is_own(question: story.Question) -> bool:
    return question.machine == story.OWN_MACHINE


def _own() -> dict[str, Any]:
    usual = story.Question()
    return {
        "machine": story.OWN_MACHINE,
        "memory_gb": st.select_slider(
            "Its memory, GB", story.OWN_GB, usual.memory_gb, key="gb", **BOUND
        ),
        "memory_gb_s": st.select_slider(
            "Speed of that memory, GB a second", story.OWN_GB_S, usual.memory_gb_s, key="gbs",
            help="A laptop reads about 100 GB a second, a graphics card about 1,000.", **BOUND,
        ),
    }  # fmt: skip


def _more(n_machines: int) -> dict[str, Any]:
    usual, control = story.Question(), story.Question.control
    with st.expander("More settings"):
        return {
            "weights": st.selectbox(
                "Each weight takes", **control("weights"), key="weights", help="Models are "
                "published with 16 or 8 bits; many people run them rounded to 4.", **BOUND,
            ),
            "usable_percent": st.slider(
                "Memory that the model may fill, %", 30, 100, usual.usable_percent, key="usable",
                help="The rest is for the system and its programs.", **BOUND,
            ),
            "n_machines": st.number_input(
                "How many of these machines", 1, 1024, n_machines, key=f"machines_{n_machines}",
                help="Links between them are taken as free.", **BOUND,
            ),
            "batch": st.select_slider(
                "Conversations at once", story.BATCHES, usual.batch, key="batch", **BOUND
            ),
            "context": st.select_slider(
                "Length of each, tokens", story.CONTEXTS, usual.context, key="context", **BOUND
            ),
            "convention": st.selectbox(
                "Count as “used”", **control("convention"), key="convention", **BOUND
            ),
            "tflops": st.number_input(
                "Trillion operations a second of your own machine", 0.01, 1e6, usual.tflops, 1.0,
                key="tflops", **BOUND,
            ),
        }  # fmt: skip


def _race(answers: story.Answers) -> None:
    """Show a mixture and a dense model that write."""
    typists = best.race(answers)
    if typists:
        typing_race(typists, "race")
    else:
        st.info("No mixture of experts fits. With more memory, two models write here.")


def _best(answers: story.Answers) -> None:
    """Show the three best models."""
    found = best.best(answers)
    st.markdown("##### The best that fit")
    for column, one in zip(st.columns(best.MOST), found, strict=False):
        name, speed, about = best.card(one, answers.question)
        column.metric(name, speed)
        column.caption(about)
    st.caption(best.rule_words())


def _speeds(answers: story.Answers) -> None:
    """Show a row for every model; a machine of one's own moves them while a slider is dragged."""
    asked = answers.question
    if not _is_own(asked):
        parts.show(charts.speeds(answers, parts.ink()), "speeds")
        return
    finger = Finger(
        [Slider("gb", story.OWN_GB, listed=True), Slider("gbs", story.OWN_GB_S, listed=True)],
        gb=asked.memory_gb, gbs=asked.memory_gb_s,
    )  # fmt: skip

    @cache
    def there(gb: float, gbs: float) -> story.Answers:
        return story.Answers(replace(asked, memory_gb=gb, memory_gb_s=gbs))

    ink = parts.ink()
    finger.show(lambda **at: charts.speeds(there(**at), ink), "speeds")
    finger.watch()


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
        "fits. Click a column's head to sort. † quoted by others, ‡ not verified."
    )
    st.caption(story.counted_words())
    st.table(story.machine_rows(answers.question))


def _stored(answers: story.Answers) -> None:
    parts.show(charts.total_and_active(answers, parts.ink()), "scatter")
    st.markdown(story.convention_words())


def _batches(answers: story.Answers) -> None:
    names = sorted(answer.model.name for answer in answers.rows)
    name = st.selectbox("Model", names, names.index("DeepSeek-V3"), key="model", **BOUND)
    parts.show(charts.by_batch(answers, name, parts.ink()), "by_batch")
    st.markdown(answers.batch_words(name))
