"""The documentation in a browser: no barrier, no outside request, nothing wider than a phone."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from mkdocs.__main__ import cli
from playwright.sync_api import Browser, Page, TimeoutError, expect

from docs.generator import slides
from tests.e2e.conftest import ROOT
from tests.e2e.test_app import accessible

pytestmark = pytest.mark.e2e
WIDTHS = (1280, 390)
PARTS = 4  # of all pages, so that no test takes more than two minutes
BRIEFLY = ("index.html", "methods/routers/topk.html")
FOUND = (
    ("softmax", "lessons/letters.html"), ("glossary", "glossary.html"),
    pytest.param("MaxVio", "lessons/collapse.html", marks=pytest.mark.soak),
    pytest.param("router", "glossary.html", marks=pytest.mark.soak),
)  # fmt: skip
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


# Letters of pictures in pixels on the screen: the smallest of an SVG, those that a PNG has.
SMALLEST = """async all => {
    const found = [];
    for (const one of all) {
        let letters = 10, width = one.naturalWidth / 2;
        if (one.src.includes(".svg")) {
            const text = await (await fetch(one.src)).text();
            const drawing = new DOMParser().parseFromString(text, "text/xml");
            letters = Math.min(...[...drawing.querySelectorAll("text")].map(
                text => parseFloat(text.getAttribute("font-size"))));
            width = parseFloat(drawing.documentElement.getAttribute("width"));
        }
        const box = one.closest(".figure");
        found.push({
            at: one.src, letters: letters * one.clientWidth / width,
            reached: box.scrollWidth <= box.clientWidth || box.tabIndex === 0,
        });
    }
    return found;
}"""


def legible(page: Page) -> None:
    """Letters of all pictures have 9 pixels, and a picture that is cut off can be scrolled to."""
    pictures = page.locator("article .figure img").evaluate_all(SMALLEST)
    assert len(pictures) == page.locator("article img").count()
    assert not [one for one in pictures if one["letters"] < 8.99 or not one["reached"]]


# Titles of slides of which something lies outside of a screen, or of a page on paper.
CUT_OFF = """all => all.filter(one => {
    const parts = [...one.children, ...one.querySelectorAll("img")];
    const box = one.getBoundingClientRect();
    return box.height > 721 || parts.map(part => part.getBoundingClientRect()).some(
        part => part.top < box.top || part.bottom > box.bottom || part.right > box.right);
}).map(one => one.innerText.slice(0, 40))"""


# A header that fades over to its next words has no contrast half way.
STILL = "*, *::before, *::after { transition: none !important; animation: none !important }"


def holds(page: Page, address: str) -> None:
    """Hold a page against what every page keeps, at both widths."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(address)
        page.add_style_tag(content=STILL)
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= width, f"{address} is {wide} pixels wide"
        images = page.locator("article img")
        for image in images.all():
            image.scroll_into_view_if_needed()
        assert not images.evaluate_all(BROKEN) and not images.evaluate_all(UNNAMED)
        legible(page)
        accessible(page)


@pytest.mark.parametrize("name", BRIEFLY)
def test_a_page_of_each_kind_is_accessible_and_asks_nobody(
    reader: Page, site: str, name: str
) -> None:
    holds(reader, f"{site}/{name}")


@pytest.mark.parametrize(("typed", "first"), FOUND)
def test_the_search_finds_a_word_first_where_it_is_explained(
    reader: Page, site: str, typed: str, first: str
) -> None:
    reader.goto(f"{site}/index.html")
    field = reader.get_by_role("textbox", name="Search")
    field.focus()
    expect(reader.locator(".md-search-result__meta")).to_have_text("Type to start searching")
    result = reader.locator(".md-search-result__item").first
    for _ in range(10):  # what is typed before the index is read is not looked up
        field.fill("")
        field.press_sequentially(typed)
        with suppress(TimeoutError):
            result.wait_for(timeout=3000)
            break
    expect(result).to_be_visible()
    address = result.get_by_role("link").first.get_attribute("href") or ""
    assert address.split("?")[0].split("#")[0].endswith(f"/{first}"), address


@pytest.mark.parametrize("name", slides.DECKS)
def test_slides_open_turn_and_are_printed_one_a_page(reader: Page, site: str, name: str) -> None:
    count = 1 + len(slides.deck(name).slides)
    for width in WIDTHS:
        reader.set_viewport_size({"width": width, "height": 720})
        reader.goto(f"{site}/{slides.FOLDER}/{name}.html")
        expect(reader.locator("section")).to_have_count(count)
        assert reader.evaluate("() => document.documentElement.scrollWidth") <= width
        assert not reader.locator("img").evaluate_all(BROKEN)
        narrow = reader.locator("img").evaluate_all(
            "all => all.filter(one => one.clientWidth < "
            "parseFloat(one.style.getPropertyValue('--least')) - 1).length"
        )
        assert narrow == 0
        accessible(reader)
    reader.keyboard.press("ArrowRight")
    expect(reader.locator("section").nth(1)).to_be_in_viewport(ratio=0.5)
    reader.set_viewport_size({"width": 1280, "height": 720})
    for media in ("screen", "print"):
        reader.emulate_media(media=media)  # type: ignore[arg-type]
        assert reader.locator("section").evaluate_all(CUT_OFF) == []
    pdf = reader.request.get(f"{site}/{slides.FOLDER}/{name}.pdf").body()
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == count
    assert len(pdf) < 500_000


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
