"""The walk of one token, as docs/architecture.md lists it, is the order of the calls.

`python -m tests.test_walk train` (or `balance`) prints every call, to write the list from.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
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

    def note(frame: FrameType, event: str, _: Any) -> None:
        path = frame.f_code.co_filename
        if event in ("call", "return") and path.startswith(f"{ROOT}/moe/"):
            step = f"{path.removeprefix(f'{ROOT}/')}:{frame.f_code.co_name}"
            calls.append(step if event == "call" else f"< {step}")

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
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
    page.query_params["guess"] = "skip"
    page.query_params["steps"] = "11"  # an unusual number, so that no run is kept from before
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
