"""The page The $5M question: what the famous figure pays for, and what moves it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ...cost import Range, TrainingCost
from ...pictures.figure import Figure
from ..shared import ask, parts
from ..shared.finger import Finger, Slider
from ..shared.outside import show_problem
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import chips, claim, share, sizes, story
from .squares import draw_squares

PAGE = "five-million"
TABS = (
    "What moves the price?", "What did it pay for?", "What was left out?",
    "Were the chips weaker?", "Do others pay more?",
)  # fmt: skip


def show() -> None:
    """Show the page."""
    st.title(_safe("Did it cost $5 million?"))
    answered = _first()
    # Charts of the open tab only, so that a change is quick; controls of all, which keep values.
    what_if, paid, left_out, weaker, others = st.tabs(TABS, key="about", bind="query-params")
    with paid:
        if paid.open:
            st.markdown(_safe(story.paid_words()))
            _draw(charts.parts(story.published_parts(), parts.ink()), "parts")
    with left_out:
        if left_out.open:
            _left_out(answered)
    with weaker:
        _chips(bool(weaker.open))
    try:
        with what_if:
            assumed, picture = _assumed()
            cost = assumed.cost()
            if what_if.open:
                with picture:
                    _estimate(assumed, cost)
                _result(cost)
        with others:
            if others.open:
                _others(cost)
    except ValueError as error:
        with what_if:
            show_problem(error)
        return
    share_box(
        PAGE,
        share.code(cost),
        share.command(cost),
        lambda: share.document(cost),
        charts.poster,
        rows=story.beside_rows,
    )
    parts.next_step(PAGE, _safe(story.learnt_words()))


def _first() -> bool:
    """Ask what the servers cost, and zoom out to it once there is an answer."""
    asked, seen = st.columns([2, 3], gap="medium")
    with asked:
        st.markdown(_safe(story.lead()))
        guess = ask.first(sizes.question(), PAGE)
        if guess:
            words = sizes.reply(guess)
            st.markdown(_safe(words))
            ask.after(guess, PAGE, sizes.came_out().replace("**", ""), sizes.truth())
    with seen:
        draw_squares(sizes.squares(guess), bool(guess), "squares")
    return bool(guess)


def _left_out(answered: bool) -> None:
    if not answered:
        st.markdown("That would tell the answer. Guess first, or skip the question.")
        return
    st.markdown(_safe(story.left_out_words()))
    st.table(_safe_rows(story.beside_rows()))
    st.caption("† quoted by others; we did not read it at its source.")


def _assumed() -> tuple[story.Assumed, Any]:
    """Ask for the assumptions; returns a place below the sliders for the picture as well."""
    usual = story.Assumed()
    busy_box, rent_box = st.columns(2)
    busy = busy_box.slider(
        "How busy the chips are, % of their peak", *story.MFU_PERCENT, usual.mfu_percent,
        story.MFU_STEP, format="%.0f", key="mfu", help="Model FLOP utilisation (MFU): useful "
        "operations over what the chip could do. Published trainings lie between 14 and 44 %.",
        **BOUND,
    )  # fmt: skip
    rent = rent_box.slider(
        "Rent of one chip, dollars an hour", *story.PRICES, usual.price, story.PRICE_STEP,
        key="price", **BOUND,
    )  # fmt: skip
    picture = st.container()
    model_box, tokens_box, gpu_box = st.columns(3)
    names = [*story.MODEL_CHOICES, story.OWN_SIZE]
    model = model_box.selectbox("Model", names, names.index(usual.model), key="model", **BOUND)
    tokens = tokens_box.number_input(
        "Text it learns from, in trillion tokens (pieces of words)", 0.01, 200.0,
        story.usual_tokens(model), 0.1,
        key=f"tokens_{model}", **BOUND,
    )  # fmt: skip
    gpus = list(story.GPU_CHOICES)
    gpu = gpu_box.selectbox(
        "Chip", gpus, gpus.index(story.usual_gpu(model)), key=f"gpu_{model}", **BOUND
    )
    with st.expander("More assumptions"):
        more = _more(model, usual)
    assumed = story.Assumed(
        model=model, tokens_trillions=tokens, gpu=gpu, mfu_percent=busy, price=rent, **more
    )
    return assumed, picture


def _more(model: str, usual: story.Assumed) -> dict[str, Any]:
    by_size = model == story.OWN_SIZE
    left, middle, right = st.columns(3)
    return {
        "active_billions": right.number_input(
            "Its active parameters, in billions", 0.1, 2000.0, usual.active_billions, 1.0,
            key="active", help="Parameters that one token uses. Only for a model known by its "
            "size: the others have a shape.", **parts.bound(disabled=not by_size),
        ),
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
            "Length of a text, tokens", story.CONTEXTS, usual.context, key="context", **BOUND,
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


def _estimate(assumed: story.Assumed, cost: TrainingCost) -> None:
    """Show what it would cost, which moves while a slider is dragged."""
    finger = Finger(
        [Slider(key, places) for key, places in story.positions(assumed).items()],
        mfu=assumed.mfu_percent, price=assumed.price,
    )  # fmt: skip
    ends, ink = story.reach(cost), parts.ink()

    def there(**at: Any) -> tuple[TrainingCost, Range]:
        return story.rented(assumed.moved(**at))

    finger.words(lambda **at: story.result_words(there(**at)[1]), "rent")
    finger.show(lambda **at: charts.estimate(*there(**at), ends, ink), "estimate", titled=False)
    finger.watch()
    st.markdown(_safe(story.published_words(cost)))


def _result(cost: TrainingCost) -> None:
    for column, (name, middle, span) in zip(st.columns(4), story.figures(cost), strict=False):
        column.metric(name, _safe(middle))
        column.caption(_safe(span))
    swings = story.swings(cost)
    _draw(charts.swings(swings, cost.dollars.mid, parts.ink()), "swings")
    st.markdown(_safe(story.swing_words(swings)))
    with st.expander("Every assumption, and where it is from"):
        st.markdown(_safe(story.assumption_list(cost)))


def _others(cost: TrainingCost) -> None:
    ways = claim.ways(cost)
    _draw(charts.ways(ways, parts.ink()), "ways")
    st.markdown(_safe(claim.ways_words(ways)))
    st.markdown(
        "The same sum for every model whose makers published the hours, each on its own chip, "
        f"with how busy the chips are and the rent as set under “{TABS[0]}”"
    )
    trainings = claim.compared(cost)
    _draw(charts.compared(trainings, parts.ink()), "compared")
    st.markdown(_safe(claim.compared_words(trainings, cost.dollars_per_hour.mid)))
    with st.expander("In numbers, and why Llama-3.1-8B does not fit"):
        st.dataframe(claim.compared_table(trainings), hide_index=True, key="others")
        st.markdown(_safe(claim.why_8b_differs()))


def _chips(drawn: bool) -> None:
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
    if not drawn:
        return
    a, b = chips.CHOICES[first], chips.CHOICES[second]
    sides = {gpu.name: chips.limits(gpu, precision, travel) for gpu in dict.fromkeys((a, b))}
    _draw(charts.limits(sides, parts.ink()), "limits")
    st.markdown(chips.words(a, b, precision, travel))
    with st.expander("Their data sheets"):
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
