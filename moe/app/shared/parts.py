"""What pages share: charts with alt text, downloads, and the code behind a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

import pyarrow as pa
import streamlit as st

from ...pictures.figure import Figure, Rows
from ...pictures.palette import INK, PAPER_INK
from ...training import TrainSettings
from ...training.runs import Run
from . import path
from .ask import locked
from .first_model import DEFAULT_SENTENCE, MAX_SENTENCE, shown_sentence
from .run_slots import run_slot


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

# A title like those of Markdown, which take the browser longer; words for screen readers only,
# which leave no gap where they stand alone; a word beside the sign that opens a phone's menu.
FIGURE_STYLE = """<style>
.stHtml h5.moe-title { margin: 0; padding: 0.375rem 0 0; font-size: 1.25rem; font-weight: 600;
  line-height: 1.2; }
.moe-words { font-size: 1.25rem; font-weight: 600; line-height: 1.4; margin: 0; }
.moe-spoken, [data-testid="stElementContainer"]:has(.moe-spoken:only-child, .moe-unseen) {
  position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden;
  clip-path: inset(50%); }
</style>"""

# A phone's menu covers the page, and Streamlit leaves it open when another page was chosen. Its
# groups stand in a list of which they are no items, which screen readers cannot read as a list.
CLOSE_MENU = """<span class="moe-unseen"></span><script>
/* a script runs anew when it differs: %s */
if (matchMedia("(max-width: 768px)").matches) document.querySelector(
  '[data-testid="stSidebar"] button[aria-controls="stSidebar"][aria-expanded="true"]'
)?.click();
if (!window.moeMenu) {
  const plain = () => document.querySelectorAll(
    '[data-testid="stSidebarNavItems"]:is(:not([role]), :has(li:not([role])))'
  ).forEach((list) => [list, ...list.querySelectorAll("li")].forEach(
    (node) => node.setAttribute("role", "presentation")));
  window.moeMenu = new MutationObserver(plain);
  window.moeMenu.observe(document.body, { childList: true, subtree: true });
  plain();
}
</script>"""


def close_menu(page: str) -> None:
    """Close the menu of a phone if another page was chosen in it."""
    st.html(CLOSE_MENU.replace("%s", page), unsafe_allow_javascript=True)


def ink() -> str:
    """Colour of texts and lines in the visitor's theme."""
    return INK.get(st.context.theme.type or "light", PAPER_INK)


def heading(question: str, sentence: str, see: str = "") -> None:
    """Show a page's question, one sentence about it, and what to look for if it is known yet."""
    st.title(question)
    st.markdown(sentence)
    if see:
        st.markdown(to_see(see))


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
    for state in run_slot(settings, own_text).progress():
        if state.run is not None:
            place.empty()
            return state.run
        place.progress(state.done, f"{label}: {state.words}")
    raise AssertionError("a training ends with its run")


def show(figure: Figure, key: str, titled: bool = True, **options: Any) -> Any:
    """Draw a figure with its title, and its numbers in words for screen readers.

    The words stand beside the chart: a browser keeps a chart that stays the same but for its
    data, and draws it anew, which takes far longer, if its alt text changes.
    """
    title = f'<h5 class="moe-title">{escape(figure.title)}</h5>' if titled else ""
    st.html(f'{title}<p class="moe-spoken">{escape(figure.alt)}</p>')
    return draw_chart(figure, figure.themed(ink()), key, **options)


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


def next_step(address: str, learnt: str = "") -> None:
    """End a page: one sentence of what was learnt on it, and the way to the next page.

    The frame adds it to a page that ended early, so that no page is a dead end.

    Parameters
    ----------
    address
        The page's own.
    learnt
        Markdown of which the first sentence is shown, worked out from the page's result where it
        is about one.
    """
    kept = st.session_state.setdefault(path.ALONG, {})
    kept.update({name: st.session_state[name] for name in path.CARRIED if name in st.session_state})
    st.session_state[path.ENDED] = True
    following, part = path.after(address), path.part_of_story(address)
    with st.container(key="next_step"):
        if part:
            st.html(path.dots(part))
        if learnt:
            st.markdown(f"**What you have seen:** {path.first_sentence(learnt)}")
        label, query = f"{following.invitation} →", path.carried(kept, following)
        page = st.session_state.get(path.PAGES, {}).get(following.address)
        if page is None:  # a page that runs without the frame has no pages beside it
            st.markdown(f"[{label}]({path.link(following, query)})")
        else:
            st.page_link(page, label=label, query_params={**query, path.NEXT: "1"})


def formula(latex: str) -> None:
    """Show a method's formula, small enough for a phone; nothing if it has none."""
    if latex:
        st.html(FORMULA_STYLE)
        st.latex(latex)
