"""The documents' code runs, in order, and prints what they show."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import moe

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)


PAGES = [
    "README.md", "docs/tutorial.md", "docs/check-gate.md", "docs/own-weights.md",
    "docs/how-fast.md",
]  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_code_prints_what_the_page_shows(name: str) -> None:
    blocks = BLOCK.findall((ROOT / name).read_text("utf-8"))
    assert [kind for kind, _ in blocks].count("python") >= 1
    names: dict[str, object] = {}
    printed = ""
    for kind, body in blocks:
        if kind == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(body, name, "exec"), names)
            printed = out.getvalue()
        else:
            assert printed.strip() == body.strip()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("README.md", r"moe routers +# (\d+), with"),
        ("CHANGELOG.md", r"\*\*Routers\*\*: (\d+), each"),
    ],
)
def test_the_number_of_routers_is_right(name: str, words: str) -> None:
    found = re.findall(words, (ROOT / name).read_text("utf-8"))
    assert found == [str(len(moe.ROUTERS))]


def test_command_lines_of_the_readme_are_understood(run_moe: Callable[..., Any]) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    commands = re.findall(r"^(moe [^#\n]*)", text, re.MULTILINE)
    assert len(commands) == 11
    for command in commands:
        words = shlex.split(command)[1:]
        said = run_moe(words[0], "--help", code=0).stdout
        for option in (word for word in words if word.startswith("--")):
            assert option in said


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
