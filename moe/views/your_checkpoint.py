"""A checkpoint on the page Your model: its sizes, and one layer at work on random inputs."""

from __future__ import annotations

import streamlit as st

from ..charts import your_model as charts
from ..lab import your_checkpoint as lab
from . import parts


def show_checkpoint(raw: bytes) -> None:
    """Show a checkpoint file, or what is wrong with it."""
    try:
        contents = lab.look_into(raw)
        st.subheader("What the file holds")
        st.markdown(contents.words)
        if contents.tensors:
            st.dataframe(contents.tensors, hide_index=True)
        if not contents.layers:
            return
        layer = contents.layers[0]
        if len(contents.layers) > 1:
            layer = st.select_slider("Layer", contents.layers, key="weights_of")
        look = lab.look_at(raw, layer)
    except ValueError as error:
        st.error(str(error))
        return
    st.table(look.sizes)
    st.warning(lab.NOT_TEXT)
    parts.show(charts.load_bars(look.title, look.loads, parts.ink()), "random_load")
    st.markdown(look.words)
