"""The walk of one token, as docs/architecture.md lists it, is the order of the calls.

`python -m tests.test_walk train` (or `balance`) prints every call, to write the list from.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest.mock import patch

import pytest
from streamlit.testing.v1 import AppTest

from moe.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def listed(name: str) -> list[str]:
    """The page's list of file:function."""
    part = PAGE.partition(f"<!-- walk: {name} -->")[2].partition("<!-- end of walk -->")[0]
    return re.findall(r"^\d+\. `(\S+\.py:\w+)`", part, re.M)


def traced(run: Callable[[], Any]) -> list[str]:
    """File and function of each call and, after an arrow, of each return, in their order."""
    calls: list[str] = []

    own: dict[CodeType, str] = {}  # names are made once: calls are many

    def name_of(code: CodeType) -> str:
        path = code.co_filename
        inside = path.startswith(f"{ROOT}/moe/")
        return f"{path.removeprefix(f'{ROOT}/')}:{code.co_name}" if inside else ""

    def note(frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        step = own.get(code)
        if step is None:
            step = own[code] = name_of(code)
        if not step:
            return None
        if event in ("call", "return"):
            calls.append(step if event == "call" else f"< {step}")
        frame.f_trace_lines = False
        return note

    before = sys.gettrace(), threading.gettrace()
    # Not setprofile, which tells of calls of compiled functions, too.
    threading.settrace(note)
    sys.settrace(note)
    try:
        run()
    finally:
        sys.settrace(before[0])
        threading.settrace(before[1])  # type: ignore[arg-type]
    return calls


def train() -> None:
    """One step of the smallest training on the command line."""
    words = ["moe", "train", "--steps", "1", "--batch", "16"]
    with patch.object(sys, "argv", words), pytest.raises(SystemExit):
        main()


def balance() -> None:
    """The page *Balance* with two short runs."""
    page = AppTest.from_string(
        "from moe.app.balance import page\npage.show()\n", default_timeout=120
    )
    # An unusual seed, so that no run is kept from before.
    page.query_params |= {"guess": "skip", "steps": "50", "experts": "4", "seed": "11"}
    page.run()
    assert not page.exception


WALKS = {"train": train, "balance": balance}


@pytest.mark.parametrize("name", WALKS)
def test_the_walk_is_the_order_of_calls(name: str) -> None:
    steps = listed(name)
    assert len(steps) > 15
    calls = iter(traced(WALKS[name]))
    for step in steps:
        assert any(call == step for call in calls), f"{step} is not called after the one before"


if __name__ == "__main__":
    depth = 0
    for call in traced(WALKS[sys.argv[1]]):
        depth -= call.startswith("< ")
        if not call.startswith("< "):
            print("  " * depth + call)
            depth += 1
