"""Asks an ASGI application without a server between."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """What came back: of a websocket, the code that it was closed with."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """An application that lets everybody in."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def scope(
    path: str, kind: str = "http", method: str = "GET", address: str = "198.51.100.7",
    scheme: str = "http", **headers: str,
) -> dict[str, Any]:  # fmt: skip
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "type": kind, "path": path, "method": method, "scheme": scheme, "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": (address, 1234),
    }  # fmt: skip


async def asked(app: Any, asked_for: dict[str, Any], left: asyncio.Event | None = None) -> Answer:
    """Ask for one thing; a websocket stays open until `left`."""
    answer = Answer()

    async def receive() -> dict[str, Any]:
        if asked_for["type"] == "websocket" and left is not None:
            await left.wait()
        return {"type": "websocket.disconnect" if left else "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.close":
            answer.status = message["code"]
        if message["type"] == "websocket.accept":
            answer.status = 101
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        answer.body += message.get("body", b"")

    await app(asked_for, receive, send)
    return answer


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end in a thread of its own: browser tests leave a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def ask(app: Any, path: str, **options: Any) -> Answer:
    """Ask for one thing, in an event loop of its own."""
    return run(asked(app, scope(path, **options)))


def statuses(answers: Iterable[Answer]) -> list[int]:
    return [answer.status for answer in answers]
