"""The documentation in a browser: no barrier, no outside request, nothing wider than a phone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.conftest import ROOT
from tests.e2e.test_app import accessible

pytestmark = pytest.mark.e2e
WIDTHS = (1280, 390)
PARTS = 4  # of all pages, so that no test takes more than two minutes
BRIEFLY = ("index.html", "methods/routers/topk.html")
BROKEN = "all => all.filter(one => !one.complete || !one.naturalWidth).map(one => one.src)"
UNNAMED = "all => all.filter(one => !one.alt).map(one => one.src)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    made = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(made)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(command, cwd=ROOT, check=True, env=environment)
    return made


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a line for each."""

    def log_message(self, *said: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    """Address of the site below a path of its own, as on a project's page."""
    handler = partial(Quiet, directory=str(folder.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{host.server_port}/{folder.name}"
        host.shutdown()


@pytest.fixture
def reader(browser: Browser) -> Iterator[Page]:
    """A page whose console and requests are watched."""
    problems: list[str] = []
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": 800})
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on(
        "request",
        lambda r: (
            None
            if r.url.startswith(("http://127.0.0.1:", "data:", "blob:"))
            else problems.append(f"outside: {r.url}")
        ),
    )
    yield page
    page.close()
    assert not problems, problems


def holds(page: Page, address: str) -> None:
    """Hold a page against what every page keeps, at both widths."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(address)
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= width, f"{address} is {wide} pixels wide"
        images = page.locator("article img")
        for image in images.all():
            image.scroll_into_view_if_needed()
        assert not images.evaluate_all(BROKEN) and not images.evaluate_all(UNNAMED)
        accessible(page)


@pytest.mark.parametrize("name", BRIEFLY)
def test_a_page_of_each_kind_is_accessible_and_asks_nobody(
    reader: Page, site: str, name: str
) -> None:
    holds(reader, f"{site}/{name}")


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_is_accessible_and_asks_nobody(
    reader: Page, site: str, folder: Path, part: int
) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))
    assert len(names) > 60
    found = []
    for name in names[part::PARTS]:
        if name != "404.html":
            try:
                holds(reader, f"{site}/{name}")
            except AssertionError as error:
                found.append(f"{name}: {error}")
    assert not found, "\n".join(found)
