"""A real server and a real browser; any console error or outside request fails the test."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

expect.set_options(timeout=30_000)  # on a busy machine; what is there at once costs nothing
ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--js-flags=--single-threaded",  # helpers of its own would wait for the server's core
]  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def started(log: Path, url: str, *command: str) -> subprocess.Popen[bytes] | None:
    """A server once it says its address and is ready; None if it ended, as on a port just taken.

    The log has to name the address: whoever took the port in between would answer, too.
    """
    with log.open("w") as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
    end = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            health = json.load(urllib.request.urlopen(url + "/healthz", timeout=5))
            ready = health["kernels"] == health["first_page"] == "ready"
            if ready and url in log.read_text():
                return process
        time.sleep(0.05)
    process.kill()
    process.wait()
    return None


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app, served as `moe app` serves it."""
    log = tmp_path_factory.mktemp("server") / "log"
    for _ in range(5):
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "moe", "app", "--port", str(port), "--no-browser"]
        if process := started(log, url, *command):
            break
    else:
        pytest.fail(log.read_text())
    yield url
    process.terminate()
    process.wait(10)
    said = log.read_text()
    assert "Traceback" not in said and "was created with a default value" not in said, said


@pytest.fixture(scope="session")
def static_edition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the static edition, served as any web host would."""
    folder = tmp_path_factory.mktemp("static") / "edition"
    subprocess.run(
        [sys.executable, "-m", "moe", "static", str(folder), "--steps", "160"], check=True, cwd=ROOT
    )
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{host.server_port}"
        host.shutdown()


@pytest.fixture(params=["live", pytest.param("static", marks=pytest.mark.soak)])
def edition(request: pytest.FixtureRequest) -> str:
    """Address of the app, and of its static edition, which is to do the same."""
    return str(
        request.getfixturevalue({"live": "server", "static": "static_edition"}[request.param])
    )


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROME") or next(filter(None, map(shutil.which, names)), None)
    assert path, "no Chromium found: `make browser` installs one, or set CHROME to its path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """Windows that share a cache: only the first loads and compiles Streamlit's scripts."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def page(visitor: BrowserContext, server: str) -> Iterator[Page]:
    page = visitor.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        # Streamlit asks for its health below a page's own address first; that 404 is its own.
        # What Vega has to say of a chart it says as a warning.
        lambda m: (
            problems.append(m.text)
            if (m.type == "error" and "404" not in m.text)
            or (m.type == "warning" and m.text.startswith("WARN"))
            else None
        ),
    )
    inside = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
    page.on(
        "request",
        lambda r: None if r.url.startswith(inside) else problems.append(f"outside: {r.url}"),
    )
    yield page
    page.evaluate("localStorage.clear(), sessionStorage.clear()")  # the next visitor is a new one
    page.close()
    visitor.clear_cookies()
    assert not problems, problems
