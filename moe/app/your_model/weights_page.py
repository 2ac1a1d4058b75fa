"""A checkpoint on the page Your model: its sizes, and one layer at work on random inputs."""

from __future__ import annotations

import streamlit as st

from ..shared import parts
from ..shared.outside import opened, plain, show_problem
from . import chart as charts
from . import opening
from .weights import NOT_TEXT


def show_checkpoint(file: str, raw: bytes) -> None:
    """Show what a checkpoint file holds, or what is wrong with it; `file` is its id."""
    try:
        contents = opened("contents", file, lambda tick: opening.open_contents(raw, tick))
        st.subheader("What the file holds")
        st.markdown(plain(contents.words))
        if contents.tensors:
            st.dataframe(contents.tensors, hide_index=True)
        if not contents.layers:
            return
        layer = contents.layers[0]
        if len(contents.layers) > 1:
            layer = st.select_slider("Layer", contents.layers, key="weights_of")
        run = opened("layer", (file, layer), lambda tick: opening.open_layer(raw, layer, tick))
    except ValueError as error:
        show_problem(error)
        return
    st.table(run.sizes)
    st.warning(NOT_TEXT)
    parts.show(charts.load_bars(run.title, run.loads, parts.ink()), "random_load")
    st.markdown(run.words)
