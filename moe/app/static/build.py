"""Write the static edition: a folder of pages, scripts and data."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import vl_convert
from streamlit.testing.v1 import AppTest

from ...pictures.palette import INK, MUTED, PAPER
from ...version import __version__
from ..frame import CLAIM, logo
from ..server.start import app_file
from ..shared.path import STOPS
from .elements import Written, written
from .recorded import STEPS, recordings

HERE = Path(__file__).parent
# Pages that tell their story without a server, and how each is opened.
PAGES: dict[str, dict[str, str]] = {
    "start": {},
    "play": {},
    "balance": {"guess": "skip"},
    "savings": {"guess": "skip"},
    "five-million": {"guess": "skip"},
}
TIMEOUT = 300  # seconds for a page that trains
MARK = ".moescope-static"  # in a folder that may be written anew


def build(folder: Path, steps: int = STEPS) -> Iterator[Path]:
    """Write the pages into a folder, and yield each once it is there.

    Parameters
    ----------
    folder
        New, empty, or of an earlier static edition, which is replaced.
    steps
        Of each recorded run of Play.

    Raises
    ------
    ValueError
        If the folder holds something else.
    """
    if folder.exists() and not (folder / MARK).exists() and any(folder.iterdir()):
        raise ValueError(f"folder: got {str(folder)!r} with other files, allowed is an empty one")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).write_text(__version__, encoding="utf-8")
    assets = folder / "assets"
    assets.mkdir()
    snippet = "window.vegaEmbed = vegaEmbed;"
    (assets / "vega.js").write_text(vl_convert.javascript_bundle(snippet), encoding="utf-8")
    for name in ("host.js", "static.css"):
        shutil.copy(HERE / name, assets / name)
    with (assets / "theme.css").open("w", encoding="utf-8") as file:
        file.write(theme())
    for address in PAGES:
        page = written(_opened(address), frozenset(PAGES))
        _write(folder, address, page)
        if address == "play":
            (folder / address / "recorded.json").write_text(
                json.dumps(recordings(steps)), encoding="utf-8"
            )
        yield folder / address / "index.html"
    first = next(iter(PAGES))
    (folder / "index.html").write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>MoEscope</title>'
        f'<meta http-equiv="refresh" content="0; url={first}/"><a href="{first}/">MoEscope</a>',
        encoding="utf-8",
    )


def _opened(address: str) -> Any:
    """The elements of a page as its visitor first sees them."""
    name = address.replace("-", "_")
    page = AppTest.from_string(
        f"from moe.app.{name} import page\npage.show()\n", default_timeout=TIMEOUT
    )
    for key, value in PAGES[address].items():
        page.query_params[key] = value
    page.run()
    if page.exception:
        raise ValueError(f"page: got an error on {address}: {page.exception[0].value}")
    return page.main


def _write(folder: Path, address: str, page: Written) -> None:
    """Write one page with its data, and the components that it needs."""
    here = folder / address
    here.mkdir()
    for name, files in page.components.items():
        (folder / "assets" / f"{name}.js").write_text(files["js"], encoding="utf-8")
        (folder / "assets" / f"{name}.json").write_text(
            json.dumps({"html": files["html"], "css": files["css"]}), encoding="utf-8"
        )
    (here / "data.json").write_text(
        json.dumps({"places": page.places, "inks": _inks()}), encoding="utf-8"
    )
    (here / "index.html").write_text(_document(address, page), encoding="utf-8")


def _inks() -> dict[str, str]:
    """Colours of the light theme in charts, and what they become in the dark one."""
    light, dark = INK["light"], INK["dark"]
    pairs = {light: dark, MUTED[light]: MUTED[dark], PAPER[light]: PAPER[dark]}
    return {one.lower(): other for one, other in pairs.items()}


def _document(address: str, page: Written) -> str:
    titles = {stop.address: stop.title for stop in STOPS}
    links = "".join(
        f'<a href="../{one}/"{" aria-current=page" if one == address else ""}>'
        f"{escape(titles[one])}</a>"
        for one in PAGES
    )
    return (HERE / "page.html").read_text(encoding="utf-8").format(
        title=escape(titles[address]), claim=escape(CLAIM), links=links, body=page.html(),
        logo=logo("currentColor"), version=__version__, address=address,
    )  # fmt: skip


def theme() -> str:
    """The app's colours, under the names that components know, for both themes."""
    config = tomllib.loads((app_file().parent / ".streamlit/config.toml").read_text("utf-8"))
    names = {
        "primaryColor": "primary-color", "backgroundColor": "background-color",
        "secondaryBackgroundColor": "secondary-background-color", "textColor": "text-color",
        "linkColor": "link-color", "borderColor": "border-color",
    }  # fmt: skip

    def rules(kind: str) -> str:
        colours = config["theme"][kind]
        return "".join(f"--st-{name}: {colours[key]}; " for key, name in names.items())

    return (
        f":root {{ {rules('light')} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {rules('dark')} }} }}\n"
    )
