"""The documentation in a browser: no barrier, no outside request, nothing wider than a phone."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from mkdocs.__main__ import cli
from playwright.sync_api import Browser, Page

from tests.e2e.conftest import ROOT
from tests.e2e.test_app import accessible

pytestmark = pytest.mark.e2e
WIDTHS = (1280, 390)
BRIEFLY = ("index.html", "methods/routers/topk.html")
BROKEN = "all => all.filter(one => !one.complete || !one.naturalWidth).map(one => one.src)"
UNNAMED = "all => all.filter(one => !one.alt).map(one => one.src)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it, in this process: it has the lessons' runs."""
    made = tmp_path_factory.mktemp("site") / "site"
    words = ["build", "--strict", "--quiet", "-f", str(ROOT / "mkdocs.yml"), "-d", str(made)]
    with patch.dict(os.environ, {"NO_MKDOCS_2_WARNING": "1"}):
        done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    return made


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    """Address of the site below a path of its own, as on a project's page."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder.parent))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
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
def test_every_page_is_accessible_and_asks_nobody(reader: Page, site: str, folder: Path) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))
    assert len(names) > 60
    found = []
    for name in names:
        if name != "404.html":
            try:
                holds(reader, f"{site}/{name}")
            except AssertionError as error:
                found.append(f"{name}: {error}")
    assert not found, "\n".join(found)
