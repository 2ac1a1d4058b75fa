"""Headers of every answer: what a page may load, and who may show it in a frame."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# No other host is ever asked for anything. What is allowed beyond this server's own files:
# - blob: scripts, since Streamlit loads a component's JavaScript from one;
# - styles in the page, which Streamlit and every chart write;
# - data: and blob: images, which are pictures that a page made itself.
POLICY = {
    "default-src": "'self'",
    "script-src": "'self' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "worker-src": "'self' blob:",
    "frame-src": "'none'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
}
YEAR = 365 * 24 * 3600


def policy(frame_ancestors: str) -> str:
    """The content security policy, with who may show a page in a frame."""
    named = "'none'" if frame_ancestors == "none" else frame_ancestors
    return "; ".join(
        f"{name} {value}" for name, value in {**POLICY, "frame-ancestors": named}.items()
    )


class SecurityHeaders:
    """ASGI middleware that adds the headers to every answer over HTTP."""

    def __init__(self, app: ASGIApp, frame_ancestors: str) -> None:
        self._app = app
        self._headers = {
            "Content-Security-Policy": policy(frame_ancestors),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, with the headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                if scope["scheme"] == "https":  # of a proxy, too, that this server trusts
                    headers["Strict-Transport-Security"] = f"max-age={YEAR}"
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
