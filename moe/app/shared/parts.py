"""What pages share: charts with alt text, downloads, and the code behind a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from string import Template
from typing import Any

import pyarrow as pa
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ...pictures.figure import Figure, Rows
from ...pictures.palette import INK, PAPER_INK
from ...training import TrainSettings
from ...training.runs import Run
from . import glossary, path
from .ask import locked
from .first_model import DEFAULT_SENTENCE, MAX_SENTENCE, shown_sentence
from .outside import show_problem
from .run_slots import Progress, TooLongError, run_slot
from .visitor import still_here


def bound(disabled: bool = False) -> dict[str, Any]:
    """For every control: its value stands in the address, so that a link shows the same page."""
    return {"bind": "query-params", "disabled": disabled or locked()}


class _Bound(Mapping[str, Any]):
    """Options of most controls; looked up at each use, as a teacher's link may lock them."""

    def __getitem__(self, name: str) -> Any:
        return bound()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("bind", "disabled"))

    def __len__(self) -> int:
        return 2


BOUND = _Bound()

# Room for slanted letters, and a smaller size on a phone: what scrolls could not be reached by key.
FORMULA_STYLE = """<style>
.katex-display { padding: 4px; }
@media (max-width: 640px) { .katex-display { font-size: min(1em, 2.8vw); } }
</style>"""

BESIDE = Template("""<style>
@media (min-width: 1000px) {
  .st-key-$stage { display: grid; grid-template: auto 1fr / 18rem minmax(0, 1fr);
    align-items: start; column-gap: 2rem; }
  .st-key-$stage > :has(> .st-key-$picture) {
    grid-area: 1 / 2 / span 2; position: sticky; top: 4rem; }
  .st-key-$stage > :has(> .st-key-$controls) { grid-area: 2 / 1; }
}
</style>""")

# A title like those of Markdown, which take the browser longer; words for screen readers only,
# which leave no gap where they stand alone; a word beside the sign that opens a phone's menu.
FIGURE_STYLE = """<style>
.stHtml h5.moe-title { margin: 0; padding: 0.375rem 0 0; font-size: 1.25rem; font-weight: 600;
  line-height: 1.2; }
.stHtml pre.moe-lines { font-size: 0.875rem; line-height: 1.5; margin: 0; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.moe-words { font-size: 1.25rem; font-weight: 600; line-height: 1.4; margin: 0; }
.moe-spoken, [data-testid="stElementContainer"]:has(.moe-spoken:only-child, .moe-unseen) {
  position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden;
  clip-path: inset(50%); }
</style>"""


def ink() -> str:
    """Colour of texts and lines in the visitor's theme."""
    return INK.get(st.context.theme.type or "light", PAPER_INK)


def heading(question: str, sentence: str, see: str = "") -> None:
    """Show a page's question, one sentence about it, and what to look for if it is known yet."""
    st.title(question)
    explained(sentence)
    if see:
        st.markdown(to_see(see))


def explained(text: str) -> None:
    """Show Markdown of ours in which the words of the glossary can be asked for their meaning."""
    st.markdown(glossary.marked(text), unsafe_allow_html=True)


def to_see(words: str) -> str:
    """Words on what to look for on a page."""
    return f"**What you should see:** {words}"


def sentence() -> str:
    """Ask for a sentence; one that cannot be shown is replaced, with a warning that says why."""
    typed = st.text_input("Your own sentence", DEFAULT_SENTENCE, MAX_SENTENCE, key="text", **BOUND)
    shown, words = shown_sentence(typed)
    if words:
        st.warning(words)
    return shown


def beside(page: str) -> tuple[DeltaGenerator, DeltaGenerator, DeltaGenerator]:
    """Lay out a question, a picture and controls.

    Where there is room, question and controls stand in a narrow column beside the picture, which
    stays in view; on a phone one stands below the other.

    Returns
    -------
    tuple
        Containers of the question, the picture and the controls.
    """
    question, picture, controls = (f"{page}_{name}" for name in ("side", "picture", "controls"))
    st.html(
        BESIDE.substitute(stage=f"{page}_stage", picture=picture, controls=controls),
    )
    stage = st.container(key=f"{page}_stage")
    return (
        stage.container(key=question), stage.container(key=picture), stage.container(key=controls),
    )  # fmt: skip


def named(
    label: str, titles: Mapping[str, str], key: str, default: str, disabled: bool = False
) -> str:
    """Show a menu of titles, and keep the name of the chosen one in the address.

    Parameters
    ----------
    titles
        What is shown, by the name that stands in the address.
    key
        Of the widget, and of the name in the address.
    """
    asked = st.query_params.get(key, default)
    if key not in st.session_state:
        st.session_state[key] = asked if asked in titles else default
    name = st.selectbox(
        label,
        list(titles),
        format_func=titles.__getitem__,
        key=key,
        disabled=disabled or locked(),
    )
    shown = None if name == default else name
    if shown != st.query_params.get(key):
        if shown is None:
            del st.query_params[key]
        else:
            st.query_params[key] = shown
    return name


def metrics(rows: Iterable[tuple[str, str, str]]) -> None:
    """Show up to four figures beside one another: label, value and explanation of each."""
    for column, (label, value, about) in zip(st.columns(4), rows, strict=True):
        column.metric(label, value, help=about)


def at_most(k: int, n_experts: int) -> int:
    """Cap the experts per token at the number of experts, with a caption if that changes them."""
    if k > n_experts:
        st.caption(f"There are only {n_experts} experts, so a token uses at most {n_experts}.")
    return min(k, n_experts)


def trained(settings: TrainSettings, label: str, place: Any, own_text: bytes | None = None) -> Run:
    """Return the run of these settings; while it is trained, `place` shows the progress."""
    try:
        shown: Progress | None = None
        for state in run_slot(settings, own_text).progress():
            if state.run is not None:
                place.empty()
                return state.run
            if state == shown:  # nothing new to send; only look whether the visitor has left
                still_here()
            else:
                place.progress(state.done, f"{label}: {state.words}")
            shown = state
    except TooLongError as error:
        with place:
            show_problem(error)
        st.stop()
    raise AssertionError("a training ends with its run")


def show(
    figure: Figure,
    key: str,
    titled: bool = True,
    spec: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Draw a figure with its title, and its numbers in words for screen readers.

    The words stand beside the chart: a browser keeps a chart that stays the same but for its
    data, and draws it anew, which takes far longer, if its alt text changes. `spec` is how
    to draw it if not as the figure says itself.
    """
    title = f'<h5 class="moe-title">{escape(figure.title)}</h5>' if titled else ""
    st.html(f'{title}<p class="moe-spoken">{escape(figure.alt)}</p>')
    return draw_chart(figure, spec or figure.themed(ink()), key, **options)


def draw_chart(figure: Figure, spec: dict[str, Any], key: str, **options: Any) -> Any:
    """Draw a specification with the rows of its figure; its title and its words stand above."""
    data = {name: _table(rows) for name, rows in figure.data.items()}
    words = f"{figure.name or figure.title}; described in words above"
    return st.vega_lite_chart(
        {**spec, "datasets": data}, width="stretch", key=key, alt=words, **options
    )


def _table(rows: Rows) -> pa.Table:
    """Rows as an Arrow table, which the browser gets; through pandas it would take far longer."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def next_step(address: str, learnt: str = "", **along: Any) -> None:
    """End a page: one sentence of what was learnt on it, and the way to the next page.

    The frame adds it to a page that ended early, so that no page is a dead end.

    Parameters
    ----------
    address
        The page's own.
    learnt
        Markdown of which the first sentence is shown, worked out from the page's result where it
        is about one.
    **along
        What the next page gets besides the controls of this one.
    """
    kept = st.session_state.setdefault(path.ALONG, {})
    kept.update({name: st.session_state[name] for name in path.CARRIED if name in st.session_state})
    kept.update(along)
    st.session_state[path.ENDED] = True
    following, part = path.after(address), path.part_of_story(address)
    with st.container(key="next_step"):
        if part:
            st.html(path.dots(part))
        if learnt:
            st.markdown(f"**What you have seen:** {path.first_sentence(learnt)}")
        to_page(following, f"{following.invitation} →", path.carried(kept, following))


def to_page(stop: path.Stop, label: str, query: Mapping[str, Any]) -> None:
    """Show a link to a page, with these values of its controls."""
    page = st.session_state.get(path.PAGES, {}).get(stop.address)
    if page is None:  # a page that runs without the frame has no pages beside it
        st.markdown(f"[{label}]({path.link(stop, query)})")
    else:
        st.page_link(page, label=label, query_params={**query, path.NEXT: "1"})


def formula(latex: str) -> None:
    """Show a method's formula, small enough for a phone; nothing if it has none."""
    if latex:
        st.html(FORMULA_STYLE)
        st.latex(latex)
