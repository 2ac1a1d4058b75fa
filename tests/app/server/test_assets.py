"""Streamlit's files, compressed once."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from streamlit.file_util import get_static_dir

from moe.app.server.assets import Assets, _takes_gzip, first_page
from tests.app.server.asgi import ask, hello

STATIC = Path(get_static_dir())
SCRIPT = next(path for path in STATIC.glob("static/js/index.*.js"))
PATH = f"/static/js/{SCRIPT.name}"


def test_a_script_is_sent_compressed_and_kept_for_good() -> None:
    app = Assets(hello)
    for _ in range(2):
        answer = ask(app, PATH, accept_encoding="gzip, deflate, br")
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(answer.body) == SCRIPT.read_bytes()
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["vary"] == "Accept-Encoding"
    assert len(answer.body) < SCRIPT.stat().st_size / 2
    assert list(app._packed) == [PATH]


def test_who_takes_no_gzip_and_asks_for_other_files_gets_what_streamlit_sends() -> None:
    app = Assets(hello)
    assert ask(app, PATH).body == ask(app, PATH, accept_encoding="br").body == b"hello"
    assert ask(app, PATH, accept_encoding="gzip", method="HEAD").body == b"hello"
    for path in ("/static/js/none.js", "/static/../x.js", "/favicon.png", "/_stcore/health"):
        assert ask(app, path, accept_encoding="gzip", accept="text/html").body == b"hello"


@pytest.mark.parametrize(
    ("header", "taken"),
    [("gzip", True), ("br, GZIP;q=0.5", True), ("gzip;q=0", False), ("gzip; q=0.0, br", False),
     ("gzip;q=0.1", True), ("xgzipx", False), ("", False)],
)  # fmt: skip
def test_what_a_browser_takes(header: str, taken: bool) -> None:
    from starlette.datastructures import Headers

    assert _takes_gzip(Headers({"accept-encoding": header})) is taken


def test_small_files_are_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.js").write_text("1")
    (tmp_path / "index.html").write_text("<title>x</title>")
    answer = ask(Assets(hello, tmp_path), "/static/a.js", accept_encoding="gzip")
    assert answer.body == b"1" and "content-encoding" not in answer.headers


def test_the_page_is_streamlit_s_without_inline_scripts_and_with_something_to_see() -> None:
    page = first_page(STATIC).decode()
    assert "<title>MoEscope</title>" in page and "MoEscope is on its way" in page
    assert not re.search(r"<script>|service-desc|agent", page)
    raw = (STATIC / "index.html").read_text("utf-8")
    loaded = re.compile(r'(?:src|href)="(\./static/[^"]+)"')
    assert loaded.findall(page) == loaded.findall(raw) and len(loaded.findall(page)) > 10
    assert re.search(r'<div id="root">.*</div>\s*</body>', page, re.DOTALL)


def test_the_page_is_sent_once_while_it_stays_the_same() -> None:
    app, asks = Assets(hello), {"accept_encoding": "gzip", "accept": "text/html"}
    for path in ("/", "/balance"):
        answer = ask(app, path, **asks)
        assert gzip.decompress(answer.body) == first_page(STATIC)
        assert answer.headers["cache-control"] == "no-cache"
        tag = answer.headers["etag"]
        again = ask(app, path, **asks, if_none_match=tag)
        assert again.status == 304 and again.body == b""
    for path in ("/balance/", "/a/b"):  # its scripts stand beside it, so only there
        assert ask(app, path, **asks).body == b"hello"


def test_the_first_page_s_own_address_leads_to_the_server_s() -> None:
    app, asks = Assets(hello), {"accept_encoding": "gzip", "accept": "text/html"}
    answer = ask(app, "/start", **asks)
    assert (answer.status, answer.headers["location"]) == (307, "./")
    assert ask(app, "/start/a", **asks).body == b"hello"
