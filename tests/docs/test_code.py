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
from moe.capacity import DROP_POLICIES
from moe.checkpoints.families import LOADABLE
from moe.gates.bugs import GATE_BUGS

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)


PAGES = [
    "README.md",
    "docs/check-gate.md",
    "docs/golden.md",
    "docs/own-weights.md",
    "docs/how-fast.md",
    "docs/teach.md",
]


@pytest.mark.parametrize("name", PAGES)
def test_code_prints_what_the_page_shows(name: str) -> None:
    run_page(name)


def run_page(name: str) -> None:
    """Run the code of a page, in order, and hold what it prints against what is shown."""
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


WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty",
)  # fmt: skip
COUNTS = {
    "routers": len(moe.ROUTERS),
    "balancers": len(moe.BALANCERS),
    "families": len(LOADABLE),
    "drop policies": len(DROP_POLICIES),
    "bugs": len(GATE_BUGS),
    "known bugs": len(GATE_BUGS),
    "models of our table": len(moe.MODELS),
}
COUNTED = re.compile(rf"\b(\d+|{'|'.join(WORDS)}) ({'|'.join(COUNTS)})\b", re.IGNORECASE)
A_FEW = 4  # 'two routers' are any two


def test_every_number_of_things_that_a_text_gives_is_that_of_the_registry() -> None:
    assert COUNTED.findall("With nineteen routers, 7 known bugs") == [
        ("nineteen", "routers"), ("7", "known bugs"),
    ]  # fmt: skip
    found = []
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("**/*.md")]:
        for said, things in COUNTED.findall(page.read_text("utf-8")):
            number = int(said) if said.isdigit() else WORDS.index(said.lower())
            if number > A_FEW:
                found.append(things)
                assert number == COUNTS[things.lower()], f"{page.name}: {said} {things}"
    assert {"routers", "balancers", "families", "bugs"} <= set(found)


def test_command_lines_of_the_readme_are_understood(run_moe: Callable[..., Any]) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    commands = re.findall(r"^(moe [^#\n]*)", text, re.MULTILINE)
    assert len(commands) == 23
    for command in commands:
        words = shlex.split(command)[1:]
        name = words[:2] if words[0] == "lm" else words[:1]
        said = run_moe(*name, "--help", code=0).stdout
        for option in (word for word in words if word.startswith("--")):
            assert option in said


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
