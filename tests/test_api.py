"""The public names and signatures are a promise: a change here is a change for users."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import moe

SNAPSHOT = Path(__file__).with_name("api_snapshot.txt")


def describe() -> str:
    """Every public name with its signature and, for classes, those of its public methods."""
    lines = []
    for name in sorted(moe.__all__):
        value = getattr(moe, name)
        if inspect.ismodule(value):
            lines += [
                f"{name}.{member}{_signature(what)}"
                for member, what in sorted(vars(value).items())
                if getattr(what, "__module__", "") == value.__name__ and member[0] != "_"
            ]
            continue
        if inspect.isclass(value):
            lines.append(f"class {name}{_signature(value)}")
            for member, what in sorted(vars(value).items()):
                if member.startswith("_") and member != "__call__":
                    continue
                raw = what.__func__ if isinstance(what, classmethod | staticmethod) else what
                if inspect.isfunction(raw):
                    lines.append(f"    {member}{_signature(raw)}")
                elif isinstance(what, property):
                    lines.append(f"    {member}: property")
        elif callable(value):
            lines.append(f"{name}{_signature(value)}")
        elif isinstance(value, dict):
            lines.append(f"{name}: {', '.join(value)}")
        else:
            lines.append(f"{name}: {type(value).__name__}")
    return "\n".join(lines) + "\n"


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
