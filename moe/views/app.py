"""The app's frame: its pages."""

from __future__ import annotations

import streamlit as st


def main() -> None:
    """Show the page that the address names."""
    from . import balance, cure, models, money, routers, savings, start, your_model

    st.set_page_config(page_title="MoEscope", page_icon="🔬", layout="wide")
    page = st.navigation(
        [
            st.Page(start.show, title="Start", url_path="start", default=True),
            st.Page(routers.show, title="Routers", url_path="routers"),
            st.Page(balance.show, title="Balance", url_path="balance"),
            st.Page(cure.show, title="Cure", url_path="cure"),
            st.Page(savings.show, title="Savings", url_path="savings"),
            st.Page(your_model.show, title="Your model", url_path="your-model"),
            st.Page(money.show, title="The $5M question", url_path="five-million"),
            st.Page(models.show, title="Real models", url_path="real-models"),
        ],
        position="top",
    )
    page.run()
