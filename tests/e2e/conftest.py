"""A real server and a real browser; any console error or outside request fails the test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path_factory.mktemp("server") / "log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "moe", "app", "--port", str(port), "--no-browser"],
        cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + 120
    while True:
        if process.poll() is not None or time.monotonic() > end:
            log.seek(0)
            process.kill()
            pytest.fail(log.read())
        try:
            if urllib.request.urlopen(url + "/_stcore/health", timeout=1).status == 200:
                break
        except OSError:
            time.sleep(0.05)
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROME") or next(filter(None, map(shutil.which, names)), None)
    assert path, "no Chromium found: `make browser` installs one, or set CHROME to its path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        # Streamlit asks for its health below a page's own address first; that 404 is its own.
        lambda m: problems.append(m.text) if m.type == "error" and "404" not in m.text else None,
    )
    inside = (server, server.replace("http", "ws"), "data:", "blob:")
    page.on(
        "request",
        lambda r: None if r.url.startswith(inside) else problems.append(f"outside: {r.url}"),
    )
    yield page
    assert not problems, problems
    context.close()
