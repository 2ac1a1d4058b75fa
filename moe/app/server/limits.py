"""Limits per visitor: who is let in, and how much one network address may ask for.

Addresses are kept in memory while somebody is connected or has just sent a file, and written
nowhere.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from html import escape
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from .assets import is_page
from .memory import resident
from .options import ServerOptions

MINUTE = 60.0
STREAM, UPLOAD = "/_stcore/stream", "/_stcore/upload_file/"
RETRY = 30  # seconds after which the page for those who wait tries again
REFUSED = Counter[str]()  # by reason

BUSY = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="{seconds}">
<title>MoEscope is full right now</title>
<style>body {{ font: 18px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto;
padding: 0 1rem; color: #1b1f24; background: #fff }}
@media (prefers-color-scheme: dark) {{ body {{ color: #f0f3f6; background: #0e1117 }} }}</style>
<main><h1>MoEscope is full right now</h1><p>{why} This page tries again by itself every {seconds}
seconds, and the address keeps your settings.</p></main></html>"""
WHY = {
    "visitors": "As many people are looking at it as this computer can serve.",
    "memory": "The people who are looking at it take all memory that this computer has for them.",
    "address": "From your network as many tabs are open as one network may have. Close one that "
    "you do not need.",
}


class Limits:
    """ASGI middleware that counts visitors, and turns away whom there is no room for.

    Parameters
    ----------
    options
        The limits.

    Attributes
    ----------
    tabs
        Open connections by network address.
    """

    def __init__(self, app: ASGIApp, options: ServerOptions) -> None:
        self._app, self._options = app, options
        self.tabs = Counter[str]()
        self._uploads: dict[str, deque[float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, or say in plain words why not."""
        if scope["type"] == "websocket":
            await self._connect(scope, receive, send)
        elif scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def full(self, address: str) -> str:
        """Say why one more visitor finds no room, by the key of `WHY`; nothing if there is."""
        if self.tabs[address] >= self._options.per_address:
            return "address"
        if self.tabs.total() >= self._options.max_visitors:
            return "visitors"
        return "memory" if resident() > self._options.max_memory * 2**20 else ""

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a tab, and count it meanwhile; one that comes back after a break is let in."""
        address = address_of(scope)
        why = self.full(address)
        if why == "address" or (why and not _comes_back(scope)):
            REFUSED[why] += 1
            await send({"type": "websocket.close", "code": 1013, "reason": WHY[why]})
            return
        self.tabs[address] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.tabs[address] -= 1
            if not self.tabs[address]:
                del self.tabs[address]

    def _refusal(self, scope: Scope) -> Any:
        """What is answered instead of the page, or None."""
        path = scope["path"]
        if path.startswith(UPLOAD):
            if scope["method"] in ("PUT", "POST") and not self._may_upload(address_of(scope)):
                REFUSED["upload"] += 1
                return PlainTextResponse(
                    "Too many files in one minute. Wait a moment and send it again.", 429,
                    {"Retry-After": "60"},
                )  # fmt: skip
            return None
        if not is_page(scope) or not (why := self.full(address_of(scope))):
            return None
        REFUSED[why] += 1
        words = BUSY.format(why=escape(WHY[why]), seconds=RETRY)
        return HTMLResponse(words, 503, {"Retry-After": f"{RETRY}", "Cache-Control": "no-store"})

    def _may_upload(self, address: str) -> bool:
        now = time.monotonic()
        self._uploads = {
            other: sent for other, sent in self._uploads.items() if now - sent[-1] < MINUTE
        }
        sent = self._uploads.setdefault(address, deque(maxlen=self._options.uploads_per_minute))
        if len(sent) == sent.maxlen and now - sent[0] < MINUTE:
            return False
        sent.append(now)
        return True


def address_of(scope: Scope) -> str:
    """Network address of who asks; that of a trusted proxy's visitor, if it names one."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _comes_back(scope: Scope) -> bool:
    """Whether a tab names a session that it had: Streamlit's third subprotocol."""
    return len(Headers(scope=scope).get("sec-websocket-protocol", "").split(",")) >= 3
