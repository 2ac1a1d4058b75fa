"""The page Cure: how hard to push back on an uneven load, on frozen scores and live."""

from __future__ import annotations

import streamlit as st

from ...balance import BALANCERS
from ...studies import control
from ...studies.control import ControlSettings, Method, Response
from ...training.runs import Run
from ..shared import parts, sharing
from ..shared.kept import KEPT
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import share, story
from .story import live_settings

TO_GUESS = "whether larger steps mend it faster. Guess first."


def response(method: Method, settings: ControlSettings) -> Response:
    """Compute a step response once for all visitors."""
    return KEPT.in_turn(("cure", method, settings), lambda: control.respond(method, settings))


def show() -> None:
    """Show the page."""
    top = st.container()
    predict = st.toggle("Predict first: guess before you see it", key="predict", **BOUND)
    with top:
        parts.heading(
            "How hard should you push back?",
            "A few experts are everybody's favourites. After each batch of work a *controller* "
            "looks at who had too much and who too little, and nudges the next choice.",
        )
        see = st.empty()
    hidden = predict and "guessed_step" not in st.session_state
    rate = st.select_slider(
        "Step of the sign rule", control.RATES, control.RATES[1], key="rate", **BOUND,
        help="How much is added to the score of an expert with too little work after each batch, "
        "and taken away from one with too much. A tenth and ten times this step are shown too.",
    )  # fmt: skip
    if hidden:
        see.markdown(parts.to_see(TO_GUESS))
        _ask()
        return
    picture = st.container()
    with st.expander("Change the crowd"):
        settings = _settings()
    with st.spinner("Steering a thousand batches …", show_time=False):
        responses = [response(method, settings) for method in control.methods(rate)]
    verdict = story.judge(responses)
    guess = st.session_state.get("guessed_step") if predict else None
    see.markdown(parts.to_see(verdict.reply(guess)))
    with picture:
        chart = st.container()
        log = not st.toggle("Plain axes instead of logarithmic ones", key="linear", **BOUND)
        with chart:
            parts.show(charts.step_response(responses, log, parts.ink()), "response")
    _ends(responses)
    _live(rate, log)
    share_box(
        "cure",
        share.code(rate, settings),
        "\n".join(sharing.train_command(run) for run in live_settings(rate).values()),
        lambda: share.document(rate, settings, responses),
        lambda: charts.step_response(responses, log),
        f"{settings.batches} steps, seed {settings.seed}",
    )
    st.caption(
        "The first experiment is made up: random ratings that stay the same in every batch, so "
        "that only the controller moves. The second trains a small model on real text."
    )
    parts.next_step("cure", verdict.words)


def _settings() -> ControlSettings:
    """Controls of the frozen scores."""
    experts_box, k_box, skew_box, seed_box = st.columns(4)
    experts = experts_box.slider("Experts", 4, 64, 16, key="experts", **BOUND)
    k = k_box.slider("Experts per token", 1, 8, 2, key="k", **BOUND)
    skew = skew_box.slider("How uneven the ratings are", 0.0, 4.0, 2.0, 0.5, key="skew", **BOUND)
    seed = seed_box.number_input("Seed", 0, 9999, 0, key="seed", **BOUND)
    with k_box:
        k = parts.at_most(k, experts)
    return ControlSettings(n_experts=experts, k=k, skew=skew, seed=int(seed))


def _ask() -> None:
    """Ask for a guess, and show the page anew once there is one."""
    with st.form("guess_step"):
        guess = st.radio(
            "What happens with ten times the step?",
            list(story.GUESSES),
            None,
            format_func=story.GUESSES.__getitem__,
        )
        submitted = st.form_submit_button("Reveal")
    if submitted and guess:
        st.session_state["guessed_step"] = guess
        st.rerun()
    elif submitted:
        st.error("Choose one of the three first.")


def _ends(responses: list[Response]) -> None:
    """Show each controller with its idea and the load of every expert at the end."""
    st.subheader("The load of every expert in the end")
    st.markdown(
        "A bar for each expert: its work in the last batch, in fair shares. The short line on it "
        "is the batch before: where they differ, the load swings."
    )
    columns = [*st.columns(3), *st.columns(3)]
    for i, (column, response) in enumerate(zip(columns, responses, strict=True)):
        with column:
            parts.show(charts.end_loads(response, parts.ink()), f"end_{i}")
            st.caption(f"{response.method.idea} {story.response_words(response)}")
    with st.expander("All in numbers, and the rules as formulas"):
        st.table(story.rows(responses))
        for name in story.kinds(responses):
            kind = BALANCERS[name]
            st.markdown(f"**{kind.title}**")
            parts.formula(kind.formula)
            st.caption(f"Source: {kind.source}.")


def _live(rate: float, log: bool) -> None:
    """Train a model with each controller if the visitor asks for it, and show the runs."""
    st.subheader("And on a model that learns?")
    st.markdown("There the ratings change with every step, and the controller has to follow.")
    if not st.toggle(
        "Train a small model with each of them now (some seconds)", key="live", **BOUND
    ):
        return
    words, chart, progress = st.empty(), st.empty(), st.empty()
    settings = live_settings(rate)
    runs: dict[Method, Run] = {}
    for method, train_settings in settings.items():
        runs[method] = parts.trained(train_settings, method.title, progress)
        with chart.container():
            figure = charts.live(runs, settings, log, parts.ink())
            parts.show(figure, f"live_{method.balance}")
    words.markdown(f"**{story.live_words(runs)}**")
    st.table(story.live_rows(runs))
