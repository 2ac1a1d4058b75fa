"""Streamlit's own files, compressed once: a first visit then takes a quarter of the bytes.

Streamlit sends them as they are and leaves compressing to a proxy, since it would compress anew for
everybody. Their names change with their contents, so what was compressed once holds for good.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.file_util import get_static_dir

KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
SMALLEST = 1000  # bytes; compressing less saves no packet
FOREVER = "public, immutable, max-age=31536000"


class Assets:
    """ASGI middleware that answers for Streamlit's scripts and styles.

    Parameters
    ----------
    folder
        Where they are.
    """

    def __init__(self, app: ASGIApp, folder: Path | None = None) -> None:
        self._app = app
        self._folder = Path(folder or get_static_dir())
        files = [path for path in self._folder.glob("static/**/*") if path.suffix in KINDS]
        self._files = {f"/{path.relative_to(self._folder).as_posix()}": path for path in files}
        self._packed: dict[str, bytes] = {}  # no more than there are files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a compressed file if there is one and the browser takes it."""
        path = self._files.get(scope.get("path", "")) if scope["type"] == "http" else None
        if path is None or scope["method"] != "GET" or not _takes_gzip(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        packed = self._packed.get(scope["path"])
        if packed is None:
            packed = self._packed[scope["path"]] = await run_sync(_pack, path)
        headers = {
            "Cache-Control": FOREVER,
            "Content-Type": KINDS[path.suffix],
            "Vary": "Accept-Encoding",
        }
        if packed[:2] == b"\x1f\x8b":
            headers["Content-Encoding"] = "gzip"
        await Response(packed, headers=headers)(scope, receive, send)


def _pack(path: Path) -> bytes:
    raw = path.read_bytes()
    return raw if len(raw) < SMALLEST else gzip.compress(raw, 9, mtime=0)


def _takes_gzip(headers: Headers) -> bool:
    asked = headers.get("accept-encoding", "").lower()
    return re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", asked) is not None
