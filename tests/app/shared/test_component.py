"""Parts of a page that the browser draws, made of the files of their modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from moe.app.gate import board
from moe.app.shared.component import SHARED, component
from tests.app.visit import open_page

APP = Path(board.__file__).parents[1]
ELSEWHERE = {"static", "server"}  # sent by other ways


def test_a_part_is_its_files_after_what_all_share() -> None:
    parts = [one.proto for one in open_page("gate").get("bidi_component")]  # type: ignore[attr-defined]
    (proto,) = (one for one in parts if one.component_name == "moe_gate")
    assert 'class="gate moe-part"' in proto.html_content
    own = (APP / "gate/board.css").read_text("utf-8")
    assert proto.css_content == f"{SHARED.read_text('utf-8')}\n{own}"
    assert proto.js_content == (APP / "gate/board.js").read_text("utf-8")


def test_a_file_that_is_not_there_is_named() -> None:
    show = component("test_nothing", __file__, "<p></p>", "nothing.js")
    with pytest.raises(FileNotFoundError, match=r"nothing\.js"):
        show(key="nothing")


def test_every_script_and_style_sheet_is_used() -> None:
    files = [path for path in APP.rglob("*") if path.suffix in (".js", ".css")]
    files = [path for path in files if path.parent.name not in ELSEWHERE and path != SHARED]
    assert len(files) > 20
    for path in files:
        sources = "".join(one.read_text("utf-8") for one in path.parent.glob("*.py"))
        assert f'"{path.name}"' in sources, path
