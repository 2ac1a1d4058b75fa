"""Start the app's server, from a checkout or from an installed wheel."""

from __future__ import annotations

import gc
import sys
from pathlib import Path


def app_file() -> Path:
    """Return the app's script: in the checkout beside the package, or inside the wheel.

    Raises
    ------
    ValueError
        If neither is there.
    """
    package = Path(__file__).parent.parent
    for candidate in (package.parent / "app.py", package / "_app" / "app.py"):
        if candidate.is_file() and (candidate.parent / ".streamlit" / "config.toml").is_file():
            return candidate
    raise ValueError("app: got an installation without app.py, allowed is a complete one")


def make_ready() -> None:
    """Import and train what the first page needs, so that the first visitor need not wait."""
    from ..charts import start  # noqa: F401
    from ..lab.token import ready_model

    ready_model()
    gc.collect()
    gc.freeze()  # what is loaded by now stays: later collections need not look at it


def serve(script: Path, port: int, browser: bool, address: str) -> None:
    """Run Streamlit in this process until it is stopped."""
    from streamlit.web import cli as streamlit_cli

    make_ready()
    # The browser draws an answer once if it comes in one piece, and anew with every piece else.
    sys.setswitchinterval(0.02)
    headless = "false" if browser else "true"
    sys.argv = [
        "streamlit", "run", str(script), "--server.port", str(port), "--server.headless", headless,
        "--server.address", address,
    ]  # fmt: skip
    streamlit_cli.main()
