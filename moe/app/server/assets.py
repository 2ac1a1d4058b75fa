"""Streamlit's own files, compressed once: a first visit then takes a quarter of the bytes.

Streamlit sends them as they are and leaves compressing to a proxy, since it would compress anew for
everybody. Their names change with their contents, so what was compressed once holds for good.
"""

from __future__ import annotations

import gzip
import re
from hashlib import sha256
from pathlib import Path

from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.file_util import get_static_dir

from ..shared.path import STOPS

KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
LEVEL = 6  # of 9: the best takes three times as long for a hundredth of the bytes
SMALLEST = 1000  # bytes; compressing less saves no packet
MAGIC = b"\x1f\x8b"  # the first bytes of what was compressed
FOREVER = "public, immutable, max-age=31536000"


# What a browser shows until the page is there: Streamlit's own page is empty until then, has an
# inline script (nothing asks for what it sets) that a content security policy would need an
# exception for, and recommends an interface for programs that is switched off here.
FIRST_PAINT = """<div id="root"><style>
.moe-first { font: 600 1.25rem/1.5 system-ui, sans-serif; margin: 4rem auto; max-width: 40rem;
  padding: 0 1rem; color: #1b1f24 }
@media (prefers-color-scheme: dark) { html { background: #0e1117 } .moe-first { color: #f0f3f6 } }
</style><p class="moe-first">MoEscope is on its way &hellip;</p></div>"""
NEEDS_SCRIPT = (
    "<noscript><p>MoEscope computes and draws in the browser: allow JavaScript.</p></noscript>"
)
ABOUT = (
    '<meta name="description" content="MoEscope: watch a mixture of experts learn, '
    'collapse and be repaired, and see what it costs.">'
)
PARTS = (
    (r"<!--.*?-->", ""),
    (r"<title>.*?</title>", f"<title>MoEscope</title>{ABOUT}"),
    (r"<script>.*?</script>", ""),
    (r'<link rel="service-desc"[^>]*>', ""),
    (r"<noscript>.*?</noscript>", NEEDS_SCRIPT),
    (r'<div id="root"></div>', FIRST_PAINT),
)


def first_page(folder: Path) -> bytes:
    """Streamlit's page, with what a visitor sees until its scripts are there."""
    page = (folder / "index.html").read_text("utf-8")
    for pattern, new in PARTS:
        page = re.sub(pattern, lambda _, new=new: new, page, flags=re.DOTALL)  # type: ignore[misc]
    return re.sub(r"\n\s*", "\n", page).strip().encode()


def is_page(scope: Scope) -> bool:
    """Whether a browser asks for a page, rather than for a file or for how the server is."""
    first = scope["path"].strip("/").partition("/")[0]
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and first not in ("_stcore", "static", "media", "component", "healthz", "metrics")
        and "." not in scope["path"].rpartition("/")[2]
        and "text/html" in Headers(scope=scope).get("accept", "")
    )


class Assets:
    """ASGI middleware that answers for Streamlit's scripts and styles, and for its one page.

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
        page = first_page(self._folder)
        self._page, self._tag = (
            gzip.compress(page, LEVEL, mtime=0),
            f'"{sha256(page).hexdigest()[:16]}"',
        )
        self._packed: dict[str, bytes] = {}  # no more than there are files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a compressed file if there is one and the browser takes it."""
        response = None
        if scope["type"] == "http" and scope["method"] == "GET":
            headers = Headers(scope=scope)
            if _takes_gzip(headers):
                response = await self._answer(scope, headers)
        await (response or self._app)(scope, receive, send)

    async def _answer(self, scope: Scope, asked: Headers) -> Response | None:
        headers = {"Vary": "Accept-Encoding"}
        if is_page(scope) and scope["path"] == f"/{STOPS[0].address}":
            # Streamlit shows its first page at the server's own address only.
            query = scope["query_string"].decode("latin-1")
            return RedirectResponse(f"./?{query}" if query else "./")
        if is_page(scope) and scope["path"].count("/") == 1:
            headers |= {"Cache-Control": "no-cache", "ETag": self._tag}
            if self._tag in asked.get("if-none-match", ""):
                return Response(status_code=304, headers=headers)
            return Response(
                self._page,
                headers=headers | {"Content-Encoding": "gzip"},
                media_type="text/html; charset=utf-8",
            )
        path = self._files.get(scope["path"])
        if path is None:
            return None
        packed = self._packed.get(scope["path"])
        if packed is None:
            packed = self._packed[scope["path"]] = await run_sync(_pack, path)
        headers |= {"Cache-Control": FOREVER, "Content-Type": KINDS[path.suffix]}
        if packed[:2] == MAGIC:
            headers["Content-Encoding"] = "gzip"
        return Response(packed, headers=headers)


def _pack(path: Path) -> bytes:
    raw = path.read_bytes()
    return raw if len(raw) < SMALLEST else gzip.compress(raw, LEVEL, mtime=0)


def _takes_gzip(headers: Headers) -> bool:
    asked = headers.get("accept-encoding", "").lower()
    return re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", asked) is not None
