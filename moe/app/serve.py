"""Start the app's server, from a checkout or from an installed wheel."""

from __future__ import annotations

import errno
import gc
import os
import socket
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


def check_place(address: str, port: int) -> None:
    """Raise a ValueError unless the app could be served there."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as asked:
            if os.name == "posix":  # where this lets a port be used that was just closed
                asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            asked.bind(place)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no such name"
        if getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES):
            raise ValueError(
                f"port: got {port} ({why}), allowed is a free one; name another with --port"
            ) from error
        raise ValueError(
            f"address: got {address[:60]!r} ({why}), allowed is one of this machine, such as "
            "127.0.0.1, or 0.0.0.0 for all of them"
        ) from error


def make_ready() -> None:
    """Import the first page and train its model, so that the first visitor need not wait."""
    from .shared.first_model import ready_model
    from .start import chart  # noqa: F401

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
