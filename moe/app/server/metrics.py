"""How the server is: `/healthz` for whoever starts it, `/metrics` for whoever watches it."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ...speed.turns import TURNS
from ...version import __version__
from ..shared.kept import KEPT
from ..shared.tally import TALLY
from . import limits
from .memory import resident
from .warming import READY

HERE = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
GUARDED = ("/metrics", "/_stcore/metrics")
STARTED = time.monotonic()
TEXT = "text/plain; version=0.0.4; charset=utf-8"


def health() -> dict[str, object]:
    """What `/healthz` says: the version, and what is ready."""
    return {
        "status": "ok",
        "version": __version__,
        "kernels": "ready" if READY.kernels else "compiling",
        "first_page": "ready" if READY.first_page else "training",
    }


def figures(tabs: int) -> Iterable[tuple[str, str, str, float]]:
    """Name, kind, explanation and value of each figure in `/metrics`."""
    long, short = TURNS.waiting()
    yield "moe_visitors", "gauge", "Open tabs.", tabs
    yield "moe_refused_total", "counter", "Visitors and files turned away.", limits.REFUSED.total()
    yield "moe_queue_long", "gauge", "Trainings, files and measurements that wait.", long
    yield "moe_queue_short", "gauge", "Live runs that wait for their next steps.", short
    yield "moe_turns_long_total", "counter", "Long turns that ended.", TURNS.served["long"]
    yield "moe_turns_short_total", "counter", "Short turns that ended.", TURNS.served["short"]
    yield "moe_runs_total", "counter", "Training runs that were finished.", TALLY["runs"]
    yield "moe_steps_total", "counter", "Training steps.", TALLY["steps"]
    yield "moe_resident_bytes", "gauge", "Memory of this process.", resident()
    yield "moe_kept_bytes", "gauge", "Results kept for all visitors.", KEPT.n_bytes
    yield "moe_kept_results", "gauge", "How many those are.", len(KEPT)
    yield "moe_kernels_ready", "gauge", "1 once kernels do the work.", READY.kernels
    yield "moe_uptime_seconds", "counter", "Since the start.", time.monotonic() - STARTED


def prometheus(tabs: int) -> str:
    """All figures in Prometheus' text format."""
    lines = []
    for name, kind, about, value in figures(tabs):
        lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}", f"{name} {float(value):.10g}"]
    return "\n".join(lines) + "\n"


def routes(tabs: Callable[[], int]) -> list[Route]:
    """Both addresses; `tabs` counts the open ones."""

    async def healthz(request: Request) -> Response:
        return JSONResponse(health(), headers={"Cache-Control": "no-store"})

    async def metrics(request: Request) -> Response:
        return Response(prometheus(tabs()), headers={"Content-Type": TEXT})

    return [Route("/healthz", healthz), Route("/metrics", metrics)]


class Guard:
    """ASGI middleware that shows figures to this machine, and to who knows the word."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, or refuse."""
        guarded = scope["type"] == "http" and scope["path"].rstrip("/") in GUARDED
        if guarded and not self._allowed(scope):
            await PlainTextResponse("Not for you.", 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _allowed(self, scope: Scope) -> bool:
        asked = Headers(scope=scope).get("authorization", "")
        if self._token and hmac.compare_digest(asked.encode(), f"Bearer {self._token}".encode()):
            return True
        # A proxy on this machine that does not name its visitor would let everybody in.
        forwarded = any(name in Headers(scope=scope) for name in ("x-forwarded-for", "forwarded"))
        return limits.address_of(scope) in HERE and not forwarded
