"""Who is let in, and what is said to the others."""

from __future__ import annotations

import asyncio

import pytest

from moe.app.server import limits
from moe.app.server.limits import Limits
from moe.app.server.options import ServerOptions
from tests.app.server.asgi import Answer, ask, asked, hello, run, scope, statuses

PAGE = {"accept": "text/html,*/*"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "resident", lambda: 300 * 2**20)


def visits(guard: Limits, addresses: str, protocols: str = "streamlit, x") -> list[Answer]:
    """Let tabs of these addresses (a letter each) come and stay; then all leave."""

    async def all_of_them() -> list[Answer]:
        left = asyncio.Event()
        tabs = []
        for address in addresses:
            tab = scope("/_stcore/stream", "websocket", address=address)
            tab["headers"] = [(b"sec-websocket-protocol", protocols.encode())]
            tabs.append(asyncio.create_task(asked(guard, tab, left)))
            await asyncio.sleep(0)
        left.set()
        return await asyncio.gather(*tabs)

    return run(all_of_them())


def test_as_many_tabs_as_allowed_are_served_and_leave_no_trace() -> None:
    guard = Limits(hello, ServerOptions(max_visitors=3, per_address=2))
    assert statuses(visits(guard, "abcd")) == [101, 101, 101, 1013]
    assert statuses(visits(guard, "aaab")) == [101, 101, 1013, 101]
    assert not guard.tabs


def test_a_tab_that_comes_back_after_a_break_finds_room_but_not_beyond_its_address() -> None:
    guard = Limits(hello, ServerOptions(max_visitors=1, per_address=2))
    again = "streamlit, x, 0f9d"
    assert statuses(visits(guard, "ab", again)) == [101, 101]
    assert statuses(visits(guard, "aaa", again)) == [101, 101, 1013]


@pytest.mark.parametrize(
    ("options", "memory", "words"),
    [
        ({"max_visitors": 1}, 300, "As many people"),
        ({"per_address": 1}, 300, "From your network"),
        ({"max_memory": 400}, 401, "all memory"),
    ],
)
def test_a_page_says_why_there_is_no_room(
    options: dict[str, int], memory: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "resident", lambda: memory * 2**20)
    guard = Limits(hello, ServerOptions(**options))  # type: ignore[arg-type]
    guard.tabs["198.51.100.7"] = 1
    answer = ask(guard, "/balance", **PAGE)
    assert answer.status == 503 and words in answer.body.decode()
    assert answer.headers["retry-after"] == "30" and 'content="30"' in answer.body.decode()
    for path in ("/static/js/a.js", "/healthz", "/_stcore/health"):  # of those who are in
        assert ask(guard, path, **PAGE).status == 200
    guard.tabs.clear()
    monkeypatch.setattr(limits, "resident", lambda: 0)  # not known, as on other systems
    assert ask(guard, "/balance", **PAGE).body == b"hello"


def test_files_of_one_address_are_counted_in_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: now[0])
    guard = Limits(hello, ServerOptions(uploads_per_minute=2))
    place = "/_stcore/upload_file/session/file"

    def send(address: str = "a", method: str = "PUT") -> int:
        return ask(guard, place, method=method, address=address).status

    assert [send(), send(), send(), send("b"), send(method="DELETE")] == [200, 200, 429, 200, 200]
    now[0] += 59
    assert send() == 429
    now[0] += 2
    assert send() == 200 and set(guard._uploads) == {"a"}
