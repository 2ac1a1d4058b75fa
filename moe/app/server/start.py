"""Start the server, from a checkout or from an installed wheel."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from streamlit.cli_util import open_browser

from ...version import __version__
from . import logs, warming
from .colours import keep_colours
from .memory import few_arenas
from .options import ServerOptions, use
from .site import keep_within, site

Say = Callable[[str], object]


def app_file() -> Path:
    """Return the app's script: in the checkout beside the package, or inside the wheel.

    Raises
    ------
    ValueError
        If neither is there.
    """
    package = Path(__file__).parent.parent.parent
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


def serve(
    script: Path, port: int, browser: bool, address: str, options: ServerOptions, say: Say
) -> None:
    """Serve the pages until the process is stopped.

    Parameters
    ----------
    browser
        Whether to open the first page in a browser.
    say
        Gets what the operator should know, in a sentence.
    """
    use(options)
    logs.set_up(options.log)
    keep_within(options)
    few_arenas()
    keep_colours()

    def tell(words: str) -> None:
        logs.event(words)
        if options.log != "json":  # then each line is JSON, wherever the lines are collected
            say(words)

    warming.begin(tell)

    def started() -> None:
        logs.event("started", version=__version__)
        if browser:
            threading.Thread(target=open_browser, args=(url(address, port),), daemon=True).start()

    sys.argv = [str(script)]  # beside it Streamlit looks for its settings
    site(script, options, started).run(
        config={
            "server.port": port,
            "server.address": address,
            "server.headless": not browser,
            "logger.hideWelcomeMessage": options.log == "json",
            "logger.enableRich": False,  # its tracebacks go around the log, with visitors' texts
        }
    )


def url(address: str, port: int) -> str:
    """Where this machine's browser finds the pages."""
    own = address in ("0.0.0.0", "::", "127.0.0.1")
    host = "localhost" if own else f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}"
