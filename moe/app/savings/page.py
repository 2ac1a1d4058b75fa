"""The page Savings: how much work a mixture of experts saves, counted and measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ...pictures.figure import Figure
from ...speed.machine import Machine, measure_machine
from ...studies import savings
from ...studies.savings import MeasuredCost, SavingsSettings
from ..shared import ask, parts
from ..shared.finger import Finger, Slider
from ..shared.kept import KEPT
from ..shared.parts import BOUND
from ..shared.question import Guess
from ..shared.share_box import share_box
from ..shared.visitor import teller
from . import chart as charts
from . import share, story

PAGE = "savings"
LATEST = "measured_for"  # in the visitor's session: the latest measurement, and of which layer
EXPERTS = range(2, 65)
WIDTHS = [64, 128, 256, 512]
SLIDERS = (
    Slider("experts", EXPERTS),
    Slider("k", range(1, 17)),
    Slider("shared", range(5)),
    Slider("width", WIDTHS, listed=True),
    Slider("model", WIDTHS, listed=True),
)


def machine() -> Machine:
    """Measure this computer once for all visitors."""
    with st.spinner("Measuring what this computer can do …", show_time=False):
        return KEPT.of("machine", measure_machine)


def measured(settings: SavingsSettings) -> list[MeasuredCost]:
    """Time the layers, unless another visitor has done so already."""
    return _timing(
        lambda tell: KEPT.of(
            ("savings", settings),
            lambda: savings.measure(settings, on_pause=tell),
            waiting=lambda: tell("Another visitor is measuring just these."),
        )
    )


def measured_again(settings: SavingsSettings, before: list[MeasuredCost]) -> list[MeasuredCost]:
    """Time the layers once more; the spread is then that of all measurements."""
    more = _timing(lambda tell: savings.measure(settings, on_pause=tell))
    both = [one.pooled(other) for one, other in zip(before, more, strict=True)]
    KEPT.put(("savings", settings), both)
    return both


def _timing(take: Callable[[Callable[[str], None]], list[MeasuredCost]]) -> list[MeasuredCost]:
    tell = teller(st.empty())
    with st.spinner("Measuring all three layers on this computer …", show_time=False):
        times = take(tell)
    tell("")
    return times


def show() -> None:
    """Show the page."""
    parts.heading(
        "How much work does it save?",
        "A mixture of experts stores many weights and uses few for each token, a piece of text. "
        "Compare it with ordinary layers: one *stores* as much, one *uses* as much.",
    )
    side, stage = st.columns([1, 2.4], gap="medium")
    with side:
        asked, words, main = st.container(), st.container(), st.container()
    with st.expander("Change the layer"):
        at = _controls(main)
    settings = settings_at(**at)
    with asked:
        guess = ask.first(story.question(settings), PAGE)
    finger = Finger(SLIDERS, **at)
    with stage:
        _counted(finger, "params", 3 if guess else 2)  # the third would tell
        if guess is not None:
            _counted(finger, "flops_per_token")
    if guess is None:
        finger.watch()
        return
    with words:
        finger.words(lambda **at: _reply(guess, settings_at(**at)))
    with stage:
        ask.after(guess, PAGE, story.count_words(settings), story.truth(settings))
    _read(finger)
    finger.watch()
    latest = _measured(settings)
    mine = latest is not None and latest[0] == settings
    times = latest[1] if latest and mine else []
    costs = story.costs(settings)
    share_box(
        PAGE,
        share.code(settings),
        "moe bench",
        lambda: share.document(settings, costs, times, machine() if times else None),
        lambda: charts.measured(times) if times else charts.counted(costs, "flops_per_token"),
        story.shape_words(settings),
    )
    parts.next_step(PAGE, story.count_words(settings))


def settings_at(
    experts: int, k: int, shared: int, width: int, model: int
) -> savings.SavingsSettings:
    """Return the layer of these positions of the sliders; a token uses at most all experts."""
    return SavingsSettings(
        n_experts=experts, k=min(k, experts), n_shared=shared, d_expert=width, d_model=model
    )


def _reply(guess: Guess, settings: SavingsSettings) -> str:
    return guess.reply(story.truth(settings), story.count_words(settings))


def _counted(finger: Finger, quantity: str, n_bars: int = 3) -> None:
    """Draw bars for every position; the axis has room for as many experts as the slider has."""

    def figure(**at: Any) -> Figure:
        most = story.costs(settings_at(**at | {"experts": EXPERTS[-1]}))
        room = max(getattr(cost, quantity) for cost in most)
        return charts.counted(story.costs(settings_at(**at))[:n_bars], quantity, room, ink)

    ink = parts.ink()

    finger.show(figure, f"counted_{quantity}")


def _read(finger: Finger) -> None:
    """Draw what a batch reads from memory, for every position."""
    st.subheader("And what has to be read?")
    finger.words(lambda **at: story.read_words(settings_at(**at)), "read", small=True)
    finger.show(
        lambda **at: charts.bytes_by_batch(savings.bytes_by_batch(settings_at(**at)), parts.ink()),
        "bytes",
    )


def _controls(main: Any) -> dict[str, Any]:
    """Return the position of each slider; the first two are put in `main`, the others here."""
    experts = main.slider("Experts", EXPERTS[0], EXPERTS[-1], 16, key="experts", **BOUND)
    k = main.slider("Experts per token", 1, 16, 2, key="k", **BOUND)
    with main:
        parts.at_most(k, experts)
    shared_box, width_box, model_box = st.columns(3)
    return {
        "experts": experts,
        "k": k,
        "shared": shared_box.slider("Shared experts", 0, 4, 0, key="shared", **BOUND),
        "width": width_box.select_slider("Width of an expert", WIDTHS, 256, key="width", **BOUND),
        "model": model_box.select_slider("Width of a token", WIDTHS, 256, key="model", **BOUND),
    }


def _measured(settings: SavingsSettings) -> tuple[SavingsSettings, list[MeasuredCost]] | None:
    """Time the layers when asked to, and show the latest measurement with its layer."""
    st.subheader("Measured on this computer")
    st.markdown(
        "Operations are not time. A measurement takes up to a minute, in which nothing else is "
        "trained or measured here."
    )
    known = KEPT.get(("savings", settings))
    problem = savings.too_large(settings)
    if problem:
        st.info(problem)
    elif st.button("Measure again" if known else "Measure these layers", key="measure"):
        times = measured_again(settings, known) if known else measured(settings)
        st.session_state[LATEST] = settings, times
        st.rerun()  # the button now says that it measures again
    elif known:
        st.session_state[LATEST] = settings, known
    latest: tuple[SavingsSettings, list[MeasuredCost]] | None = st.session_state.get(LATEST)
    if latest is not None:
        _verdict(*latest, stale=latest[0] != settings)
    return latest


def _verdict(settings: SavingsSettings, times: list[MeasuredCost], stale: bool) -> None:
    """Show a measurement and what it says."""
    moved = " The sliders are elsewhere by now." if stale else ""
    st.caption(f"{story.measured_words(settings, times)}{moved}")
    verdict = story.verdict(settings, times, machine())
    st.markdown(f"**{verdict.text}**")
    parts.show(charts.measured(times, parts.ink()), "measured")
    st.subheader("From which batch size on?")
    parts.metrics(verdict.figures())
    st.caption(
        f"This computer: {machine().describe()}. A dense layer counts as the faster of two. "
        "Measurements of a busy computer differ: bars reach from the worst run to the best."
    )
