"""Adding a model type is one row and one command: done by CONTRIBUTING's own words."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import moe
from moe.checkpoints import other_families
from moe.checkpoints.families import FAMILIES

ROOT = Path(__file__).resolve().parent.parent
SECTION = (ROOT / "CONTRIBUTING.md").read_text().split("## A model type in ten minutes")[1]
(ROW,) = re.findall(r'```python\n(    "mellum": .*?)```', SECTION, re.S)


def test_the_row_is_the_one_of_the_table() -> None:
    assert ROW in Path(other_families.__file__).read_text()
    family = eval(f"{{{ROW}}}", dict(vars(other_families)))["mellum"]
    same = [f.name for f in fields(family) if f.name != "is_moe"]  # a function made anew
    assert all(getattr(family, name) == getattr(FAMILIES["mellum"], name) for name in same)


def test_what_it_says_of_options_is_true_of_every_case_made_so() -> None:
    """Every option that a row reads has another value than its default in the type's case."""
    from .parity.settings import tiny

    explicit = ROOT / "tests" / "parity" / "generate.py"
    for case in sorted((ROOT / "tests" / "parity").glob("*/config.json")):
        name = case.parent.name
        if name not in FAMILIES or f'"{name}": ' in explicit.read_text():
            continue  # larger models, and those whose settings are written out
        family, settings = FAMILIES[name], tiny(name)
        keys = [key.name for key in family.options.values() if hasattr(key, "name")]
        usual = [key for key in keys if settings[key] == family.defaults[key]]
        assert set(usual) <= {"topk_group"}, name  # one of two groups: the number differs
        assert moe.load_layer(case.parent, 1).router.options()["k"] == settings[family.k]


@pytest.mark.parity
def test_the_command_makes_the_case_that_is_committed(tmp_path: Path) -> None:
    copy = tmp_path / "project"
    for name in ("moe", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    table = copy / "moe" / "checkpoints" / "other_families.py"
    text = table.read_text()
    case = copy / "tests" / "parity" / "mellum"
    committed = {path.name: path.read_bytes() for path in case.iterdir()}
    shutil.rmtree(case)
    table.write_text(text.replace(ROW, ""))
    assert "mellum" not in run(
        copy, "-c", "from moe.checkpoints.families import *; print(LOADABLE)"
    )
    table.write_text(text)
    (command,) = re.findall(r"`\.venv/bin/python (-m tests\.parity\.generate mellum)`", SECTION)
    run(copy, *command.split())
    assert {path.name for path in case.iterdir()} == set(committed)
    assert (case / "model.safetensors").read_bytes() == committed["model.safetensors"]
    assert "passed" in run(copy, "-m", "pytest", "-q", "tests/test_parity.py", "-k", "mellum")


def run(copy: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, capture_output=True, text=True, timeout=300,
        env=os.environ | {"MOE_BACKEND": "numpy", "PYTHONPATH": str(copy)},  # nothing to compile
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
