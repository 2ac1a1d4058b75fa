"""The page Your model: what the router of a real model did, from a file."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ...cluster import homes
from ...traces import samples
from ..shared import parts
from ..shared.kept import KEPT
from ..shared.outside import forget, opened, plain, plain_rows, show_problem
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import closer, opening, share, text, upload
from .story import YourModel
from .tinted_text import tinted_text
from .weights_page import show_checkpoint


def sample(name: str) -> YourModel:
    """Read a sample file once for all visitors."""
    return KEPT.in_turn(("sample", name), lambda: YourModel.of(upload.TITLES[name].load()))


def show() -> None:
    """Show the page."""
    parts.heading(
        "How does your own model share its work?",
        "Open a file in which your model's router wrote down its choices. At first you see a small "
        "model that was trained for this.",
    )
    picture, controls = st.columns([3, 1])
    with controls:
        name = st.selectbox("Look at", list(upload.TITLES), key="sample", **BOUND)
        uploaded = st.file_uploader(
            f"Or your own file ({upload.MAX_MB} MB at most)", key="own_model",
            max_upload_size=upload.MAX_MB,
        )  # fmt: skip
        st.caption(
            "Nothing is kept: your file stays in memory while you look at it, is shown to nobody "
            "else, and is forgotten when you remove it or leave."
        )
        _what_can_be_opened(name)
    if uploaded and upload.is_checkpoint(uploaded.name):
        with picture:
            show_checkpoint(uploaded.file_id, uploaded.getvalue())
        return
    if not uploaded:
        forget("own", "contents", "layer")
    with controls:
        more = st.container()
    with picture:
        model = _opened(uploaded, "own", more) if uploaded else sample(name)
    if model:
        _show_trace(model, name, uploaded.name if uploaded else None, picture, more)


def _what_can_be_opened(name: str) -> None:
    """Say which files may be opened, and give one of each as an example."""
    with st.expander("Which files can I open?"):
        st.markdown(
            "- **A trace** (.npz or .parquet): the choices of every layer. This writes one of your "
            "own model:"
        )
        st.code(upload.TRACE_COMMAND, language=None, wrap_lines=True)
        st.markdown(
            "- **Ratings of a router** (.csv): a row for each token, and columns logit_0, logit_1 "
            "and so on. The columns layer, token_id, token, sequence and domain may stand beside "
            "them.\n"
            "- **A small checkpoint** (.safetensors, or its folder as .zip): weights hold no text, "
            "so you see sizes, and one layer at work on random inputs."
        )
        with st.container(horizontal=True):
            st.download_button(
                "This sample as a trace", upload.TITLES[name].path.read_bytes, "sample.npz",
                on_click="ignore", key="sample_npz",
            )  # fmt: skip
            st.download_button(
                "Sample ratings as CSV", samples.CSV.read_bytes, "router-logits.csv", "text/csv",
                on_click="ignore", key="sample_csv",
            )  # fmt: skip


def _opened(uploaded: Any, place: str, controls: Any) -> YourModel | None:
    """Read a file once per visitor; None after saying what is wrong with it."""
    k = 2
    if upload.is_ratings(uploaded.name):
        k = controls.slider("Experts per token", 1, 16, 2, key=f"k_{place}", **BOUND)
    name, raw = uploaded.name, uploaded.getvalue()
    try:
        return opened(
            place, (uploaded.file_id, k), lambda tick: opening.open_trace(name, raw, k, tick)
        )
    except ValueError as error:
        show_problem(error)
        return None


def _show_trace(model: YourModel, name: str, file: str | None, picture: Any, more: Any) -> None:
    """Show what a trace holds: a sample's by its title, or that of a visitor's file."""
    trace = model.trace
    at = 0
    if trace.n_layers > 1:
        layer = more.select_slider(
            "Layer", trace.layers, trace.layers[model.first_shown], key="layer", **BOUND
        )
        at = trace.layer_index(layer)
    verdict = model.verdict()
    with picture:
        st.markdown(f"**{verdict.words}**")
        parts.show(charts.load_bars(model.layer_name(at), model.loads(at), parts.ink()), "load")
        st.markdown("\n".join(f"- {line}" for line in verdict.advice))
    st.caption(plain(model.about))
    parts.metrics(model.figures(at))
    st.markdown(model.load_words(at))
    _text(model, at)
    _beliefs(model)
    st.subheader("Look closer")
    section = st.segmented_control(
        "Look closer", list(SECTIONS), default=next(iter(SECTIONS)), required=True, key="closer",
        label_visibility="collapsed", **BOUND,
    )  # fmt: skip
    SECTIONS[section](model, at, None if file else upload.earlier_of(name))
    with st.expander("All layers in numbers"):
        st.dataframe(model.report.rows(), hide_index=True)
    share_box(
        "your-model",
        share.own_file_code(file, model.trace.k, at, model.is_part)
        if file
        else share.sample_code(name, at),
        None,
        lambda: share.document(model),
        lambda: charts.poster(model.layer_name(at), [model.loads(at), model.all_loads()]),
    )
    parts.next_step("your-model", verdict.words)


def _beliefs(model: YourModel) -> None:
    """Two common beliefs, measured."""
    for column, check in zip(st.columns(2), model.myths, strict=True):
        with column.container(border=True):
            st.markdown(f"##### “{check.claim}”")
            st.markdown(check.answer)
            if check.note:
                st.caption(check.note)


def _text(model: YourModel, at: int) -> None:
    """The text, with the expert of every token below it."""
    trace = model.trace
    st.subheader("Which expert takes which token?")
    of_box, page_box, focus_box = st.columns(3)
    of = of_box.selectbox("Text of", text.texts(trace), key="of", **BOUND)
    pages = text.n_pages(trace, of)
    page = 1
    if pages > 1:
        page = page_box.number_input("Page", 1, pages, 1, key="page", **BOUND)
    experts = ["all experts", *map(str, range(trace.n_experts))]
    focus = focus_box.selectbox("Show", experts, key="focus", **BOUND)
    shown = text.text_page(trace, at, of, int(page), None if focus == experts[0] else int(focus))
    parts.explained(shown.words)
    st.html(tinted_text(shown.tokens, shown.words, model.ratio(at)))


def _layers(model: YourModel, at: int, earlier: str | None) -> None:
    if model.trace.n_layers > 1:
        title = "Load in every layer"
        loads = model.all_loads()
        parts.show(charts.cells("layers", title, loads, "experts, busiest first"), "layers")
        st.markdown(loads.words)
        left, right = st.columns(2)
        with left:
            title = "MaxVio: the busiest above its fair share"
            max_vio = closer.line(model, "MaxVio", "max_vio")
            parts.show(charts.over_layers("max_vio", title, [max_vio], False), "max_vio")
        with right:
            idle = closer.line(model, "Experts without work", "dead_share")
            parts.show(charts.over_layers("dead", idle.title, [idle]), "dead")
    else:
        st.markdown("This file holds one layer; of a file with more, all are compared here.")
    information = closer.line(model, "Mutual information", "router_information")
    if not information.layers:
        st.markdown("The file holds no ratings, so mutual information is not known.")
        return
    title = "How much a token decides who takes it (mutual information, in nats)"
    parts.show(
        charts.over_layers("information", title, [information], False, parts.ink()), "information"
    )
    st.markdown(closer.information_words(model))


def _topics(model: YourModel, at: int, earlier: str | None) -> None:
    domains = closer.domains(model, at)
    if domains:
        title = "Each kind of text: which experts take it"
        parts.show(charts.cells("domains", title, domains, "experts"), "domains")
        st.markdown(plain(domains.words))
    else:
        st.markdown("The file names no kinds of text (domains), so topics cannot be told apart.")


def _vocabulary(model: YourModel, at: int, earlier: str | None) -> None:
    vocabulary = closer.vocabulary(model, at)
    st.markdown(plain(vocabulary.words))
    if vocabulary.rows:
        st.table(plain_rows(vocabulary.rows))


def _neighbours(model: YourModel, at: int, earlier: str | None) -> None:
    lines = closer.repetition(model)
    if not lines:
        st.markdown("No two neighbouring tokens have experts, so there is nothing to repeat.")
        return
    title = "The next token goes to the same expert"
    parts.show(charts.over_layers("repetition", title, lines, ink=parts.ink()), "repetition")
    for line in lines:
        st.markdown(line.words())
    rows = closer.repetition_rows(model)
    if rows:
        st.markdown("First choices that repeat, by kind of text:")
        st.table(plain_rows(rows))


def _pairs(model: YourModel, at: int, earlier: str | None) -> None:
    if model.trace.k == 1:
        st.markdown("Each token has one expert only, so there are no pairs.")
        return
    adjacent = st.toggle(
        "Count neighbours in rank only, as the published script does", key="adjacent", **BOUND
    )
    drawn = closer.pairs(model, at, adjacent)
    parts.show(charts.pairs("Which experts work together", drawn), "pairs")
    st.markdown(drawn.words)


def _devices(model: YourModel, at: int, earlier: str | None) -> None:
    kind_box, devices_box = st.columns(2)
    kinds = [*homes.PLACEMENTS, homes.WRITTEN]
    kind = kind_box.selectbox("Experts live", kinds, key="placed", **BOUND)
    most = min(model.trace.n_experts, homes.MAX_DEVICES)
    if kind == homes.WRITTEN:
        written = st.text_input(
            "Device of each expert, from 0", homes.example(model.trace.n_experts),
            key="device_of", **BOUND,
        )  # fmt: skip
    else:
        written = ""
    n_devices = devices_box.slider(
        "Devices", 1, max(most, 2), min(4, most), key="devices",
        **parts.bound(disabled=kind == homes.WRITTEN),
    )  # fmt: skip
    try:
        drawn = closer.devices(model, at, kind, min(n_devices, most), written)
    except ValueError as error:
        show_problem(error)
        return
    parts.show(charts.devices(drawn, parts.ink()), "devices")
    st.markdown(drawn.words)


def _little_memory(model: YourModel, at: int, earlier: str | None) -> None:
    found = closer.little_memory(model)
    st.markdown(found.words)
    if found.rows:
        st.table(found.rows)


def _early_and_late(model: YourModel, at: int, earlier: str | None) -> None:
    st.markdown(
        "Router saturation: of the experts that a token has in this trace, which share did it "
        "have in another trace of the same text, for example early in training?"
    )
    uploaded = st.file_uploader(
        "The other trace of the same text (.npz or .parquet)", key="other_model",
        max_upload_size=upload.MAX_MB,
    )  # fmt: skip
    if uploaded:
        other = _opened(uploaded, "other", st)
    else:
        forget("other")
        other = sample(earlier) if earlier else None
    if not other:
        return
    try:
        line = closer.saturation(model, other)
    except ValueError as error:
        show_problem(error)
        return
    title = "Experts already chosen before"
    parts.show(charts.over_layers("saturation", title, [line], ink=parts.ink()), "saturation")
    st.markdown(line.words())


SECTIONS = {
    "Layers": _layers,
    "Topics": _topics,
    "Words": _vocabulary,
    "Neighbours": _neighbours,
    "Pairs": _pairs,
    "Devices": _devices,
    "Little memory": _little_memory,
    "Early and late": _early_and_late,
}
