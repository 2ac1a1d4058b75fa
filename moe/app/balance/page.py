"""The page Balance: two training runs side by side, of which one may keep its experts even."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from ...balance import BALANCERS
from ...data import from_bytes
from ...routers import ROUTERS
from ...training import TrainSettings
from ...training.runs import Run
from ..shared import ask, parts, path, sharing
from ..shared.kept import KEPT
from ..shared.outside import show_problem
from ..shared.parts import BOUND, named
from ..shared.question import Guess
from ..shared.share_box import share_box
from ..shared.titles import DROP_TITLES, TASK_TITLES
from . import chart as charts
from . import share
from .playback import playback
from .player import run_player
from .story import (
    FIRST,
    FIRST_BALANCING,
    answer,
    compare,
    measures,
    play_run,
    question,
    setup_words,
    sources,
    why,
)

QUESTION = "Will all experts get the same work?"
OLD = "below, the old run"
SHOWN = "balance_shown"  # in the session: whether a film of other settings may be on the screen
# On a phone the progress of training stands at the lower edge. A film of settings that are no
# longer these ones is marked until the new one is there.
STYLE = """<style>
@media (max-width: 999px) {
  .st-key-balance_picture [data-testid="stProgress"] {
    position: fixed; left: 0; right: 0; bottom: 0; z-index: 9; padding: 0.5rem 1rem;
    backdrop-filter: blur(1rem); }
}
.st-key-balance_picture:has([data-testid="stProgress"]) .st-key-player {
  filter: grayscale(1); opacity: 0.6; }
</style>"""


def show() -> None:
    """Show the page."""
    st.title(QUESTION, anchor=False)
    about = st.empty()
    st.html(STYLE)
    side, film, controls = parts.beside("balance")
    try:
        with controls, st.expander("Change the runs", expanded=True):
            settings = _settings()
            own_text = _own_text()
    except ValueError as error:
        with film:  # a closed expander would hide it
            show_problem(error)
        return
    about.markdown(setup_words(*settings, own_text=own_text is not None))
    with side:
        guess = ask.first(question(settings[0]), "balance", (settings[0], own_text))
    with film:
        run_a, run_b = (
            parts.trained(side_settings, _progress_words(name), st.empty(), own_text)
            for name, side_settings in zip("AB", settings, strict=True)
        )
        _play(run_a, run_b, own_text, guess)
    if guess is None:
        return
    with side:
        key, came_out = answer(run_a, question(run_a.settings))
        ask.after(guess, "balance", came_out, key)
        play = st.session_state.get(path.PAGES, {}).get("play")
        if play is not None and not ask.locked():
            st.page_link(
                play, label="Change it while it learns →",
                query_params={"run": play_run(run_a.settings)},
            )  # fmt: skip
    _results(run_a, run_b)
    share_box(
        "balance",
        share.code(run_a.settings, run_b.settings),
        "\n".join(sharing.train_command(run.settings) for run in (run_a, run_b)),
        lambda: share.document(run_a, run_b),
        lambda: charts.poster(run_a, run_b),
        f"{run_a.settings.steps} steps, seed {run_a.settings.seed}",
        lambda: share.rows(run_a, run_b),
    )
    parts.next_step("balance", compare(run_a, run_b).words)


def _progress_words(name: str) -> str:
    """What is being trained, and what is on the screen meanwhile."""
    return f"Run {name} ({OLD})" if st.session_state.get(SHOWN) else f"Run {name}"


def _play(run_a: Run, run_b: Run, own_text: bytes | None, guess: Guess | None) -> None:
    """Show both runs in the player; they are packed once for all visitors."""
    key = repr((run_a.settings, run_b.settings, hash(own_text)))
    titles = (f"A · {run_a.name()}", f"B · {run_b.name()}")
    if guess is None:  # the first step, and no other is sent
        start = playback(run_a.records[:1], run_b.records[:1], titles=titles)
        run_player(start, key="player", held=True)
        return
    packed = KEPT.in_turn(
        ("player", key), lambda: playback(run_a.records, run_b.records, titles=titles)
    )
    reply = guess.reply(*answer(run_a, question(run_a.settings)))
    run_player(packed, key="player", verdict=[reply, compare(run_a, run_b).words])
    st.session_state[SHOWN] = True


def _results(run_a: Run, run_b: Run) -> None:
    """Why it came so, two numbers over the steps, and all numbers of the end."""
    if reason := why({"A": run_a, "B": run_b}):
        st.markdown(reason)
    drawn = measures(run_a, run_b)
    for column, measure in zip(st.columns(len(drawn)), drawn, strict=True):
        with column:
            parts.show(charts.over_steps(run_a, run_b, measure), f"over_{measure}")
    with st.expander("All in numbers (means of the last 20 steps)"):
        st.table(compare(run_a, run_b).rows)
        st.caption(sources((run_a.settings, run_b.settings)))


def _own_text() -> bytes | None:
    """Return the text that the visitor uploads instead of the corpus, or None.

    Raises
    ------
    ValueError
        If nothing can be learnt from it.
    """
    uploaded = st.file_uploader(
        "Learn from your own text instead (2 MB at most; nothing is kept)", key="own",
        max_upload_size=2, disabled=ask.locked(),
    )  # fmt: skip
    text = uploaded.getvalue() if uploaded else None
    if text is not None:
        from_bytes(text)
    return text


def _settings() -> tuple[TrainSettings, TrainSettings]:
    """Controls of both runs; those of one side carry its letter in the address."""
    run_a, run_b, both = st.tabs(["Run A", "Run B", "Both"])
    with both:
        task = named("What they learn", TASK_TITLES, "task", FIRST.task)
        steps = st.slider("Steps", 50, 600, FIRST.steps, 50, key="steps", **BOUND)
        experts = st.slider("Experts", 4, 64, FIRST.n_experts, key="experts", **BOUND)
        k = st.slider("Experts per character", 1, 8, FIRST.k, key="k", **BOUND)
        k = parts.at_most(k, experts)
        seed = st.number_input("Seed", 0, 9999, FIRST.seed, key="seed", **BOUND)
    common = TrainSettings(task=task, steps=steps, n_experts=experts, k=k, seed=int(seed))
    return _side(run_a, "a", common), _side(run_b, "b", common)


def _side(place: Any, name: str, common: TrainSettings) -> TrainSettings:
    with place:
        balancers = {key: kind.title for key, kind in BALANCERS.items()}
        balance = named("Balancing", balancers, f"balance_{name}", FIRST_BALANCING[name])
        kind = BALANCERS[balance]
        rate = None
        if kind.rate_name:
            rate = st.number_input(
                f"Its {kind.rate_name}", 0.0, 1.0, kind.short_run_rate, 0.001, format="%.4f",
                key=f"rate_{balance}_{name}", **BOUND,
            )  # fmt: skip
        routers = {key: router.title for key, router in ROUTERS.items()}
        router = named("Router", routers, f"router_{name}", "topk")
        drop = named("Who is turned away at a full expert", DROP_TITLES, f"drop_{name}", "none")
        capacity = None
        if drop != "none":
            capacity = st.slider(
                "Room per expert, in fair shares", 0.25, 4.0, 1.25, 0.25, key=f"room_{name}",
                **BOUND,
            )  # fmt: skip
    return replace(
        common, balance=balance, balance_rate=rate, router=router, drop=drop,
        capacity_factor=capacity,
    )  # fmt: skip
