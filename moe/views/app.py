"""The app's frame: its pages, and what is made ready once per server."""

from __future__ import annotations

import gc

import streamlit as st

from ..lab.token import FirstModel, prepare_first_model


@st.cache_resource(show_spinner="Training a tiny model on this computer, one second …")
def first_model() -> FirstModel:
    """Train the first page's model once for all visitors."""
    model = prepare_first_model()
    gc.collect()
    gc.freeze()  # what is loaded by now stays: later collections need not look at it
    return model


def main() -> None:
    """Show the page that the address names."""
    from . import balance, savings, start

    st.set_page_config(page_title="MoEscope", page_icon="🔬", layout="wide")
    page = st.navigation(
        [
            st.Page(start.show, title="Start", url_path="start", default=True),
            st.Page(balance.show, title="Balance", url_path="balance"),
            st.Page(savings.show, title="Savings", url_path="savings"),
        ],
        position="top",
    )
    page.run()
