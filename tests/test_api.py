"""The public names and signatures are a promise: a change here is a change for users."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import moe

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOT = Path(__file__).with_name("api_snapshot.txt")
PAGES = ROOT / "tests" / "golden" / "pages.json"  # with the code that each page offers


def describe() -> str:
    """Every public name, also of a package, and what the documentation or a page's code imports."""
    lines = []
    for name in sorted(moe.__all__):
        value = getattr(moe, name)
        if inspect.ismodule(value):
            lines += [
                f"{name}.{member}{_signature(what)}"
                for member, what in sorted(vars(value).items())
                if getattr(what, "__module__", "") == value.__name__ and member[0] != "_"
            ]
        else:
            lines += _described(name, value)
    packages = {("moe.lm", name) for name in moe.lm.__all__}
    for module, name in sorted(imported_names() | packages):
        lines += _described(f"{module}.{name}", getattr(importlib.import_module(module), name))
    return "\n".join(lines) + "\n"


def imported_names() -> set[tuple[str, str]]:
    """Module and name of what is imported where users copy from: pages, lessons, code shown."""
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("moe/lessons/**/*.md")]
    texts = [path.read_text("utf-8") for path in pages]
    codes = [code for text in texts for code in re.findall(r"```python\n(.*?)```", text, re.S)]
    codes += re.findall(r'"codeText": ("import .*|"from .*)', PAGES.read_text("utf-8"))
    found = set()
    for code in codes:
        tree = ast.parse(json.loads(code.rstrip(",")) if code[0] == '"' else code)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("moe"):
                found |= {(node.module or "", alias.name) for alias in node.names}
    return {(module, name) for module, name in found if module != "moe"}


def _described(name: str, value: object) -> list[str]:
    """Return a name with its signature and, for a class, those of its public methods."""
    if inspect.isclass(value):
        lines = [f"class {name}{_signature(value)}"]
        for member, what in sorted(vars(value).items()):
            if member.startswith("_") and member != "__call__":
                continue
            raw = what.__func__ if isinstance(what, classmethod | staticmethod) else what
            if inspect.isfunction(raw):
                lines.append(f"    {member}{_signature(raw)}")
            elif isinstance(what, property):
                lines.append(f"    {member}: property")
        return lines
    if callable(value):
        return [f"{name}{_signature(value)}"]
    if isinstance(value, dict):
        return [f"{name}: {', '.join(value)}"]
    return [f"{name}: {type(value).__name__}"]


def _signature(value: object) -> str:
    try:
        return str(inspect.signature(value))  # type: ignore[arg-type]
    except ValueError:
        return ""


def test_public_api_is_as_recorded() -> None:
    """To accept a change: `python tests/test_api.py`, and say so in the changelog."""
    assert describe() == SNAPSHOT.read_text()


def test_import_is_light() -> None:
    heavy = ["streamlit", "altair", "pandas", "numba", "scipy", "typer", "rich"]
    code = f"import sys, moe; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_name_is_an_attribute_error() -> None:
    try:
        moe.nothing  # noqa: B018
    except AttributeError as error:
        assert "nothing" in str(error)
    else:
        raise AssertionError("no error")
    assert set(moe.__all__) <= set(dir(moe))


if __name__ == "__main__":
    SNAPSHOT.write_text(describe())
