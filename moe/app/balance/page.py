"""The page Balance: two training runs side by side, of which one may keep its experts even."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from ...balance import BALANCERS
from ...capacity import DROP_POLICIES
from ...data import TASKS, from_bytes
from ...routers import ROUTERS
from ...training import TrainSettings
from ...training.runs import Run
from ..shared import parts, sharing
from ..shared.kept import KEPT
from ..shared.outside import show_problem
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import share
from .playback import playback
from .player import run_player
from .story import compare, judge_guess, setup_words

DEFAULTS = {"a": "none", "b": "bias"}
QUESTION = "Why do a few experts take everything, and what mends it?"
TO_GUESS = "How will the experts share the work?"  # which does not tell the answer
WHY = (
    "in A the model comes to give all characters something in common, which its router takes for "
    "a bonus for the same few experts, while others fall idle. "
)
# Open controls stand beside the player where there is room, so that what they change is in sight;
# on a phone the progress of training is, at the lower edge.
STYLE = """<style>
@media (min-width: 1000px) {
  .st-key-stage:has(.st-key-controls details[open]) {
    display: grid; grid-template-columns: 21rem minmax(0, 1fr); align-items: start; }
  .st-key-stage:has(.st-key-controls details[open]) > :has(> .st-key-film) {
    position: sticky; top: 4rem; }
  .st-key-controls details[open] [data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
  .st-key-controls details[open] [data-testid="stColumn"] { flex: 1 1 8rem; min-width: 8rem; }
}
@media (max-width: 999px) {
  .st-key-film [data-testid="stProgress"] {
    position: fixed; left: 0; right: 0; bottom: 0; z-index: 9; padding: 0.5rem 1rem;
    backdrop-filter: blur(1rem); }
}
</style>"""


def show() -> None:
    """Show the page."""
    top = st.container()
    predict = st.toggle("Predict first: guess before you see the runs", key="predict", **BOUND)
    with top:
        hidden = predict and "guessed" not in st.session_state
        st.title(TO_GUESS if hidden else QUESTION)
        about, see = st.empty(), st.empty()
    st.html(STYLE)
    stage = st.container(key="stage")
    controls, film = stage.container(key="controls"), stage.container(key="film")
    try:
        with controls, st.expander("Change the runs"):
            settings = _settings()
            own_text = _own_text()
    except ValueError as error:
        with film:  # a closed expander would hide it
            show_problem(error)
        return
    about.markdown(setup_words(*settings, own_text=own_text is not None))
    with film:
        run_a, run_b = (
            parts.trained(side, f"Run {name}", st.empty(), own_text)
            for name, side in zip("AB", settings, strict=True)
        )
        if predict and not _revealed(run_a):
            return
        _play(run_a, run_b, own_text)
    comparison = compare(run_a, run_b)
    see.markdown(parts.to_see(f"{WHY if run_a.collapsed() else ''}{comparison.words}"))
    columns = [*st.columns(2), *st.columns(2), *st.columns(2)]
    for column, measure in zip(columns, charts.MEASURES, strict=False):
        with column:
            parts.show(charts.over_steps(run_a, run_b, measure), f"over_{measure}")
    with columns[-1]:
        st.markdown("##### At the end (means of the last 20 steps)")
        st.table(comparison.rows)
    share_box(
        "balance",
        share.code(run_a.settings, run_b.settings),
        "\n".join(sharing.train_command(run.settings) for run in (run_a, run_b)),
        lambda: share.document(run_a, run_b),
        lambda: charts.poster(run_a, run_b),
        f"{run_a.settings.steps} steps, seed {run_a.settings.seed}",
    )
    parts.next_step("balance", comparison.words)


def _own_text() -> bytes | None:
    """Return the text that the visitor uploads instead of the corpus, or None.

    Raises
    ------
    ValueError
        If nothing can be learnt from it.
    """
    uploaded = st.file_uploader(
        "Learn from your own text instead (2 MB at most; nothing is kept)", key="own",
        max_upload_size=2,
    )  # fmt: skip
    text = uploaded.getvalue() if uploaded else None
    if text is not None:
        from_bytes(text)
    return text


def _play(run_a: Run, run_b: Run, own_text: bytes | None) -> None:
    """Show both runs in the player; they are packed once for all visitors."""
    key = repr((run_a.settings, run_b.settings, hash(own_text)))
    titles = (f"A · {run_a.name()}", f"B · {run_b.name()}")
    packed = KEPT.of(("player", key), lambda: playback(run_a.records, run_b.records, titles=titles))
    run_player(packed, key="player")


def _settings() -> tuple[TrainSettings, TrainSettings]:
    """Controls of both runs; those of one side carry its letter in the address."""
    task_box, steps_box, experts_box, k_box, seed_box = st.columns(5)
    task = task_box.selectbox("Task", list(TASKS), key="task", **BOUND)
    steps = steps_box.slider("Steps", 50, 600, 300, 50, key="steps", **BOUND)
    experts = experts_box.slider("Experts", 4, 64, 16, key="experts", **BOUND)
    k = k_box.slider("Experts per token", 1, 8, 2, key="k", **BOUND)
    seed = seed_box.number_input("Seed", 0, 9999, 0, key="seed", **BOUND)
    with k_box:
        k = parts.at_most(k, experts)
    common = TrainSettings(task=task, steps=steps, n_experts=experts, k=k, seed=int(seed))
    left, right = st.columns(2)
    return _side(left, "a", common), _side(right, "b", common)


def _side(column: Any, name: str, common: TrainSettings) -> TrainSettings:
    with column:
        st.markdown(f"**Run {name.upper()}**")
        methods, routers = list(BALANCERS), list(ROUTERS)
        balance = st.selectbox(
            "Balancing", methods, methods.index(DEFAULTS[name]), key=f"balance_{name}", **BOUND
        )
        kind = BALANCERS[balance]
        st.caption(f"{kind.title}. {kind.source}")
        rate = None
        if kind.rate_name:
            rate = st.number_input(
                f"Its {kind.rate_name}", 0.0, 1.0, kind.short_run_rate, 0.001, format="%.4f",
                key=f"rate_{balance}_{name}", **BOUND,
            )  # fmt: skip
        router = st.selectbox("Router", routers, key=f"router_{name}", **BOUND)
        st.caption(f"{ROUTERS[router].title}. {ROUTERS[router].source}")
        drop = st.selectbox(
            "When an expert is full, drop by", DROP_POLICIES, key=f"drop_{name}", **BOUND
        )
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


def _revealed(run: Run) -> bool:
    """Ask for a guess; once there is one, show how far off it is and return True."""
    with st.form("guess"):
        guess = st.number_input(
            "Which share of the work will run A's busiest expert take, in percent? "
            f"The fair share is {run.summary().fair_share:.1%}.",
            0.0, 100.0, None, 1.0, key="guess", placeholder="a number from 0 to 100",
        )  # fmt: skip
        submitted = st.form_submit_button("Reveal")
    if submitted and guess is None:
        st.error("Type a number first.")
    elif submitted:
        st.session_state["guessed"] = guess
        st.rerun()  # now the title above may give the answer away
    if "guessed" not in st.session_state:
        return False
    answer = judge_guess(st.session_state["guessed"], run.summary())
    left, right = st.columns(2)
    left.metric("Your guess", f"{answer.guess:.0%}")
    right.metric("It took", f"{answer.truth:.1%}", f"{answer.gap:+.1f} points", delta_color="off")
    st.markdown(f"**{answer.verdict}**")
    return True
