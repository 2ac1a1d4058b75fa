"""The page The $5M question: what the famous figure pays for, and what moves it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ...cost import TrainingCost
from ...pictures.figure import Figure
from ..shared import parts
from ..shared.outside import show_problem
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import chips, claim, share, story


def show() -> None:
    """Show the page."""
    parts.heading(
        _safe("Did it cost $5 million?"),
        _safe(story.story()),
        _safe(
            "the bars below add up to the published figure. The picture under them shows what is "
            "not in it. Further down you can change every assumption."
        ),
    )
    _draw(charts.parts(story.published_parts(), parts.ink()), "parts")
    _draw(charts.left_out(story.beside(), parts.ink()), "left_out")
    st.markdown(_safe(story.left_out_words()))
    with st.expander("Where these figures come from"):
        st.table(_safe_rows(story.beside_rows()))
        st.caption("² quoted by others; we did not read it at its source.")
    st.subheader("Change one assumption at a time")
    controls = st.container()
    try:
        with controls:
            assumed = _assumed()
        cost = assumed.cost()
    except ValueError as error:
        show_problem(error)
        return
    _result(cost)
    _others(cost)
    _chips()
    share_box(
        "five-million",
        share.code(cost),
        share.command(cost),
        lambda: share.document(cost),
        charts.poster,
    )
    parts.next_step("five-million", story.left_out_words())


def _assumed() -> story.Assumed:
    usual = story.Assumed()
    model_box, size_box, tokens_box = st.columns(3)
    names = [*story.MODEL_CHOICES, story.OWN_SIZE]
    model = model_box.selectbox("Model", names, names.index(usual.model), key="model", **BOUND)
    by_size = model == story.OWN_SIZE
    billions = size_box.number_input(
        "Its active parameters, in billions", 0.1, 2000.0, usual.active_billions, 1.0,
        key="active", help="Parameters that one token uses. Only for a model known by its size: "
        "the others have a shape.", **parts.bound(disabled=not by_size),
    )  # fmt: skip
    tokens = tokens_box.number_input(
        "Text it learns from, in trillion tokens", 0.01, 200.0, story.usual_tokens(model), 0.1,
        key=f"tokens_{model}", **BOUND,
    )  # fmt: skip
    gpu_box, busy_box, rent_box = st.columns(3)
    gpus = list(story.GPU_CHOICES)
    gpu = gpu_box.selectbox(
        "Chip", gpus, gpus.index(story.usual_gpu(model)), key=f"gpu_{model}", **BOUND
    )
    busy = busy_box.slider(
        "How busy the chips are, % of their peak", 5.0, 70.0, usual.mfu_percent, 0.5, key="mfu",
        help="Model FLOP utilisation (MFU): useful operations over what the chip could do. "
        "Published trainings lie between 14 and 44 %.", **BOUND,
    )  # fmt: skip
    rent = rent_box.slider(
        "Rent of one chip, dollars an hour", 0.5, 10.0, usual.price, 0.25, key="price", **BOUND
    )
    with st.expander("More assumptions"):
        more = _more(model, usual)
    return story.Assumed(
        model=model, active_billions=billions, tokens_trillions=tokens, gpu=gpu, mfu_percent=busy,
        price=rent, **more,
    )  # fmt: skip


def _more(model: str, usual: story.Assumed) -> dict[str, Any]:
    left, middle, right = st.columns(3)
    return {
        "precision": left.selectbox(
            "Peak of", ["bf16", "fp8"], key="precision", help="The peak that the share above is "
            "of: 16-bit or 8-bit numbers. Print has 16-bit even for 8-bit trainings.", **BOUND,
        ),
        "formula": middle.selectbox(
            "Operations", **TrainingCost.control("formula"), key="formula", help="Counted part by "
            "part with attention, or by the rule of thumb: 6 times active parameters times tokens.",
            **BOUND,
        ),
        "context": right.select_slider(
            "Length of a text, tokens", [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072],
            usual.context, key="context", **BOUND,
        ),
        "causal": left.toggle("Attention sees earlier tokens only", True, key="causal", **BOUND),
        "mtp": middle.toggle("Count multi-token prediction", False, key="mtp", **BOUND),
        "extra_hours_thousands": left.number_input(
            "Hours beside pre-training, thousands", 0.0, 1e5, story.usual_extra_hours(model), 1.0,
            key=f"extra_{model}", **BOUND,
        ),
        "n_gpus": middle.number_input(
            "Chips in the cluster", 1, 200_000, usual.n_gpus, 1, key="chips", **BOUND
        ),
        "power_percent": right.slider(
            "Power drawn, % of the chip's limit", 20.0, 100.0, usual.power_percent, 1.0,
            key="power", **BOUND,
        ),
        "pue": right.slider(
            "Building's power over the chips'", 1.0, 2.0, usual.pue, 0.05, key="pue", **BOUND
        ),
    }  # fmt: skip


def _result(cost: TrainingCost) -> None:
    for column, (name, middle, span) in zip(st.columns(4), story.figures(cost), strict=False):
        column.metric(name, _safe(middle))
        column.caption(_safe(span))
    st.markdown(_safe(story.published_words(cost)))
    swings = story.swings(cost)
    _draw(charts.swings(swings, cost.result().dollars.mid, parts.ink()), "swings")
    st.markdown(_safe(story.swing_words(swings)))
    with st.expander("Every assumption, and where it is from"):
        st.markdown(_safe(story.assumption_list(cost)))


def _others(cost: TrainingCost) -> None:
    st.subheader("Does the sum hold for other models?")
    st.markdown(
        "The same sum for every model whose makers published the hours, each on its own chip, "
        "with how busy the chips are and the rent as set above."
    )
    trainings = claim.compared(cost)
    _draw(charts.compared(trainings, parts.ink()), "compared")
    st.markdown(_safe(claim.compared_words(trainings, cost.dollars_per_hour.mid)))
    with st.expander("In numbers, and why Llama-3.1-8B does not fit"):
        st.dataframe(claim.compared_table(trainings), hide_index=True, key="others")
        st.markdown(_safe(claim.why_8b_differs()))
    st.subheader(_safe(f"Where would {story.from_to(claim.CLAIM)} come from?"))
    ways = claim.ways(cost)
    _draw(charts.ways(ways, parts.ink()), "ways")
    st.markdown(_safe(claim.ways_words(ways)))


def _chips() -> None:
    st.subheader("Are H800 chips far weaker than H100?")
    st.markdown(
        "DeepSeek was allowed to buy H800 chips, a version of the H100 with a slower link to its "
        "neighbours. Everything that works at the same time takes as long as its slowest part."
    )
    first_box, second_box, precision_box, travel_box = st.columns([2, 2, 1, 3])
    names = list(chips.CHOICES)
    at_a, at_b = map(names.index, chips.USUAL)
    first = first_box.selectbox("Chip", names, at_a, key="a", **BOUND)
    second = second_box.selectbox("beside", names, at_b, key="b", **BOUND)
    precision = precision_box.selectbox("Arithmetic in", ["bf16", "fp8"], key="bits", **BOUND)
    travel = travel_box.selectbox("How tokens reach experts", chips.TRAVEL, key="travel", **BOUND)
    a, b = chips.CHOICES[first], chips.CHOICES[second]
    st.markdown(chips.words(a, b, precision, travel))
    left, right = st.columns([3, 2])
    sides = {gpu.name: chips.limits(gpu, precision, travel) for gpu in dict.fromkeys((a, b))}
    with left:
        _draw(charts.limits(sides, parts.ink()), "limits")
    with right:
        st.markdown("##### Their data sheets")
        st.table(chips.side_by_side(a, b))
    st.caption(chips.about())


def _draw(figure: Figure, key: str) -> None:
    """Draw a figure whose title may hold dollars."""
    st.markdown(f"##### {_safe(figure.title)}")
    parts.show(figure, key, titled=False)


def _safe(words: str) -> str:
    """Escape dollar signs, with which Markdown would begin a formula."""
    return words.replace("$", "\\$")


def _safe_rows(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{_safe(key): _safe(text) for key, text in row.items()} for row in rows]
