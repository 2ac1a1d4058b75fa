"""The site: Streamlit's pages with this server's own addresses and limits around them."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.runtime import Runtime
from streamlit.starlette import App

from ..shared.kept import KEPT
from ..shared.run_slots import RunSlot
from . import logs, metrics
from .assets import Assets
from .headers import SecurityHeaders
from .limits import Limits
from .memory import give_back
from .options import ServerOptions
from .wakeups import wake_seldom

SWEEP = 10.0  # seconds between two looks at who has left


class Visits:
    """ASGI middleware that logs when a tab opens and closes, and errors; of whom, it does not say.

    Attributes
    ----------
    tabs
        How many are open.
    left
        How many have been closed so far.
    """

    tabs = 0
    left = 0

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        start = time.monotonic()
        Visits.tabs += 1
        logs.event("tab opened", tabs=Visits.tabs)
        try:
            await self._app(scope, receive, send)
        finally:
            Visits.tabs -= 1
            Visits.left += 1
            logs.event("tab closed", tabs=Visits.tabs, seconds=round(time.monotonic() - start, 1))


def site(script: Path, options: ServerOptions, started: Callable[[], object]) -> App:
    """Put the pages together with what stands around them.

    Parameters
    ----------
    script
        `app.py`.
    started
        Called once the server is up.
    """

    @asynccontextmanager
    async def lifespan(_: App) -> AsyncIterator[None]:
        wake_seldom(asyncio.get_running_loop())
        sweeper = asyncio.create_task(_sweep())
        started()
        try:
            yield
        finally:
            sweeper.cancel()

    return App(
        script,
        lifespan=lifespan,
        routes=metrics.routes(lambda: Visits.tabs),
        middleware=[
            Middleware(SecurityHeaders, frame_ancestors=options.frame_ancestors),
            Middleware(metrics.Guard, token=options.metrics_token),
            Middleware(Limits, options=options),
            Middleware(Visits),
            Middleware(Assets),
        ],
        on_script_error=_log_error,
    )


def _log_error(error: Exception) -> None:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    logs.event("page failed", error=type(error).__name__, at=place)


async def _sweep() -> None:
    """Forget sessions whose time is over, now and then.

    Streamlit keeps those of visitors who left for `disconnectedSessionTTL`, and drops them only
    when the next one leaves: the last ones would stay, with all that they hold.
    """
    swept = 0
    while True:
        await asyncio.sleep(SWEEP)
        if expire_sessions() or swept != Visits.left:
            swept = Visits.left
            await asyncio.to_thread(give_back)


def expire_sessions() -> int:
    """Drop sessions that nobody can come back to any more, and return how many those were."""
    with suppress(RuntimeError, AttributeError):  # no runtime, or another Streamlit
        storage = Runtime.instance()._session_mgr._session_storage  # type: ignore[attr-defined]
        expired = storage._cache.expire()
        for _, info in expired:
            info.session.shutdown()
        return len(expired)
    return 0


def keep_within(options: ServerOptions) -> None:
    """Bound what is kept for all visitors."""
    KEPT.max_bytes = options.cache * 2**20
    RunSlot.longest = float(options.run_seconds)
