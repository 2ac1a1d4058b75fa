"""The page Code and docs: what this server has to read."""

from __future__ import annotations

import streamlit as st

from ..shared import parts
from ..shared.documents import documents
from ..shared.outside import plain
from ..shared.parts import BOUND
from . import story

DOCUMENTS, SOURCE = "Documentation", "Source"


def show() -> None:
    """Show the page."""
    st.title("Where can I read more?")
    kinds = [DOCUMENTS, SOURCE] if documents() else [SOURCE]
    kind = st.segmented_control(
        "What", kinds, default=kinds[0], required=True, key="show",
        label_visibility="collapsed", **BOUND,
    )  # fmt: skip
    if kind == DOCUMENTS:
        title = st.selectbox("Document", list(documents()), key="document", **BOUND)
        st.header(plain(title), anchor=False)
        for piece in story.pieces(title):
            if piece.picture is None:
                st.markdown(piece.text)
            else:
                st.html(piece.image())
    else:
        files = story.source_files()
        path = st.selectbox("File", files, files.index("moe/layer.py"), key="file", **BOUND)
        st.code(story.source(path), language=None, wrap_lines=True)
    parts.next_step("reading")
