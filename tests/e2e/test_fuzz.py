"""Strangers' addresses and control values at a public server: nothing breaks, nothing is live.

A client may send what no browser would, and Streamlit then fails inside its own widgets: that run
of the page ends with a word that something failed, for that client alone, and the log names kind
and place.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState

from benchmarks.crowd.client import Control, Visitor
from moe.app.shared.path import STOPS
from tests.app.server.asgi import run
from tests.e2e.conftest import ROOT, free_port

PAGES = [stop.address for stop in STOPS]
# Names that pages bind to the address, and some that none does.
NAMES = (
    "text", "seed", "experts", "k", "steps", "task", "balance_a", "balance_b", "router_a", "drop_b",
    "room_a", "rate", "skew", "predict", "live", "linear", "nodes", "limit", "copies", "placed",
    "tokens", "wire", "gpu", "sample", "layer", "of", "page", "focus", "closer", "model", "width",
    "shared", "run", "guess", "ask", "options", "locked", "next", "machines", "chips", "balance",
    "own", "embed", "embed_options", "__proto__", "%00", "k_own", "token", "plane", "lesson",
    "student", "answers", "lock",
)  # fmt: skip
MARK = "evil.example"
HOSTILE = (
    "", "0", "-1", "1e308", "inf", "-inf", "nan", "1.5", "٣", "9" * 400, "true", "null", "[]", "{}",
    "\x00", "\u202egnp", "a" * 3000, "../../etc/passwd", "%s%n", "${7*7}", "{{7*7}}", "'; drop",
    f"<img src=//{MARK}/x onerror=alert(1)>", f"![p](http://{MARK}/p.png)", f"[a](http://{MARK})",
    f"<script src=//{MARK}></script>", f"</style><script>fetch('//{MARK}')</script>",
    "text", "none", "topk", "8-0_5b", "8-0_99999boff", "64-1_10x0.1.2", "2..3", "7,8", "4", "16",
    "letters", "7_3~2", "shown", "hidden",
)  # fmt: skip
LIVE = re.compile(
    rf"(?<!\\)(<(img|script) src=//{re.escape(MARK)}|\]\(http://{re.escape(MARK)}"
    rf"|<script>fetch\('//{re.escape(MARK)})"
)
CHEAP = {"balance": {"steps": "50", "experts": "4"}}  # pages that train whatever they are asked


def addresses(seed: int) -> Iterator[str]:
    """Pages with one to six parameters, without end."""
    rng = random.Random(seed)
    while True:
        page = rng.choice([*PAGES, "", "nowhere"])
        query = {rng.choice(NAMES): rng.choice(HOSTILE) for _ in range(rng.randint(1, 6))}
        yield f"{page}?{urlencode({**query, **CHEAP.get(page, {})})}"


def live(visitor: Visitor) -> list[str]:
    """Texts of the page in which something of a stranger's would be more than text.

    With a backslash before it, Markdown shows it letter for letter.
    """
    return [text for text in visitor.texts if LIVE.search(text)]


async def opened(host: str, address: str) -> list[str]:
    """What went wrong with an address."""
    async with Visitor(host, address) as visitor:
        answer = await asyncio.wait_for(visitor.open(), 120)
        return answer.errors + live(visitor)


def odd_states(control: Control, rng: random.Random) -> WidgetState:
    """A state that no browser would send: a wrong kind of value, or one out of bounds."""
    state = WidgetState(id=control.proto.id)
    number = rng.choice([float("nan"), float("inf"), -1e308, 1e9, -3, 0.5, 2**40])
    kind = rng.randrange(5)
    if kind == 0:
        state.double_value = number
    elif kind == 1:
        state.double_array_value.data.extend([number] * rng.randrange(4))
    elif kind == 2:
        state.string_value = rng.choice(HOSTILE)
    elif kind == 3:
        state.string_array_value.data.extend(rng.choices(HOSTILE, k=rng.randrange(4)))
    else:
        state.json_value = rng.choice(HOSTILE)
    return state


async def changed(host: str, page: str, rng: random.Random, times: int) -> list[str]:
    """What went wrong with odd values of a page's controls; the next visitor meets no trace."""
    found: list[str] = []
    query = urlencode(CHEAP.get(page, {}))
    for _ in range(times):
        async with Visitor(host, f"{page}?{query}") as visitor:
            await asyncio.wait_for(visitor.open(), 120)
            every = list(visitor.controls.values())
            # A page that asks first may have buttons only.
            control = rng.choice([c for c in every if c.kind != "button"] or every)
            await asyncio.wait_for(visitor.send(odd_states(control, rng), control.fragment), 120)
            found += live(visitor)
    async with Visitor(host, f"{page}?{query}") as visitor:
        found += (await asyncio.wait_for(visitor.open(), 120)).errors
    return found


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app with the log of a public server, which is read in the end."""
    log, port = tmp_path_factory.mktemp("public") / "log", free_port()
    command = [sys.executable, "-m", "moe", "app", "--port", str(port), "--no-browser"]
    environment = os.environ | {"MOE_APP_LOG": "json", "PYTHONWARNINGS": "ignore"}
    with log.open("w") as said:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, env=environment
        )
    try:
        end = time.monotonic() + 180
        while not ready(f"http://127.0.0.1:{port}"):
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"started", "tab opened", "tab closed"} <= {line["event"] for line in lines}
    assert not [line for line in lines if MARK in str(line) or "Traceback" in str(line)]


def ready(url: str) -> bool:
    with contextlib.suppress(OSError):
        health = json.load(urllib.request.urlopen(url + "/healthz", timeout=5))
        return bool(health["kernels"] == health["first_page"] == "ready")
    return False


def check_addresses(server: str, seed: int, n: int) -> None:
    host = server.removeprefix("http://")
    for _, address in zip(range(n), addresses(seed), strict=False):
        assert not run(opened(host, address)), address


def check_values(server: str, seed: int, times: int) -> None:
    rng, host = random.Random(seed), server.removeprefix("http://")
    for page in PAGES:
        if page not in ("play", "gate", "learn"):  # whose controls are components' and texts
            assert not run(changed(host, page, rng, times)), page


def test_addresses_of_strangers(public: str) -> None:
    check_addresses(public, 1, 20)


def test_values_that_no_control_has(public: str) -> None:
    check_values(public, 1, 2)


@pytest.mark.soak
def test_many_addresses_of_strangers(public: str) -> None:
    check_addresses(public, 2, 500)


@pytest.mark.soak
def test_many_values_that_no_control_has(public: str) -> None:
    check_values(public, 2, 25)
