"""The app's frame: its pages."""

from __future__ import annotations

import gc
import sys
from functools import lru_cache

import streamlit as st
from altair.utils import schemapi


@lru_cache
def keep_loaded(n_modules: int) -> None:
    """Keep the garbage collector from visiting loaded modules, which would delay an answer."""
    gc.freeze()


def main() -> None:
    """Show the page that the address names."""
    from .balance import page as balance
    from .cure import page as cure
    from .five_million import page as five_million
    from .moving_data import page as moving_data
    from .real_models import page as real_models
    from .routers import page as routers
    from .savings import page as savings
    from .shared import finger, outside, parts
    from .start import page as start
    from .your_model import page as your_model

    keep_loaded(len(sys.modules))
    schemapi.disable_debug_mode()  # tests check every part of every chart; visitors need not wait
    st.set_page_config(page_title="MoEscope", page_icon="🔬", layout="wide")
    outside.clean_address()
    page = st.navigation(
        [
            st.Page(start.show, title="Start", url_path="start", default=True),
            st.Page(routers.show, title="Routers", url_path="routers"),
            st.Page(balance.show, title="Balance", url_path="balance"),
            st.Page(cure.show, title="Cure", url_path="cure"),
            st.Page(savings.show, title="Savings", url_path="savings"),
            st.Page(five_million.show, title="The $5M question", url_path="five-million"),
            st.Page(real_models.show, title="Real models", url_path="real-models"),
            st.Page(moving_data.show, title="Moving data", url_path="moving-data"),
            st.Page(your_model.show, title="Your model", url_path="your-model"),
        ],
        position="top",
    )
    st.html(parts.FIGURE_STYLE)
    st.html(finger.INPUT)
    parts.close_menu(page.url_path)
    page.run()
