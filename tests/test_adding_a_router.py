"""Adding a router is one file and one line: done here on a copy, by CONTRIBUTING's own words."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINE = '    "threshold",\n'


# The plain backend: a copy would compile every kernel anew. Its threads wait in a loop.
PLAIN = {"MOE_BACKEND": "numpy", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the router of CONTRIBUTING.md: its file, and its line."""
    copy = tmp_path_factory.mktemp("project")
    ignore = shutil.ignore_patterns("__pycache__", "e2e")
    for name in ("moe", "tests", ".streamlit"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    for name in ("app.py", "pyproject.toml"):
        shutil.copy(ROOT / name, copy / name)
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## A router in ten minutes")[1]
    code = re.findall(r"```python\n(.*?)```", section, re.S)[0]
    (copy / "moe" / "routers" / "threshold.py").write_text(code)
    registry = copy / "moe" / "routers" / "__init__.py"
    before = registry.read_text()
    registry.write_text(before.replace("\n)\nROUTERS", f"\n{LINE})\nROUTERS"))
    assert registry.read_text().replace(LINE, "") == before != registry.read_text()
    return copy


def run(copy: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, capture_output=True, text=True, timeout=300,
        env=os.environ | PLAIN | {"PYTHONPATH": str(copy)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_command_line_has_it(copy: Path) -> None:
    rows = json.loads(run(copy, "-m", "moe", "routers", "--json"))
    assert [row["name"] for row in rows][-1] == "threshold"
    small = ["--steps", "3", "--batch", "32", "--d-model", "8", "--d-expert", "8"]
    lines = run(copy, "-m", "moe", "train", "--router", "threshold", *small, "--json")
    assert len(lines.splitlines()) == 3


def test_the_menus_of_the_app_have_it(copy: Path) -> None:
    code = """
import json
from streamlit.testing.v1 import AppTest
from moe.app.shared import first_model
settings = first_model.TrainSettings
first_model.STEPS = 1  # without kernels the model of the page takes long to train
first_model.TrainSettings = lambda **given: settings(**given | {"steps": 2})
seen = {}
for name in ("routers", "balance"):
    at = AppTest.from_string(f"from moe.app.{name} import page; page.show()", default_timeout=120)
    at.query_params |= {"steps": "50", "experts": "4"}
    at.run()
    assert not at.exception, at.exception
    seen[name] = [box.options for box in at.selectbox]
print(json.dumps(seen))
"""
    seen = json.loads(run(copy, "-c", code).splitlines()[-1])
    for menus in seen.values():
        holding = [menu for menu in menus if "Threshold (any number of experts)" in menu]
        assert len(holding) == 2  # the router of A, and of B


def test_the_contract_tests_have_it_and_pass(copy: Path) -> None:
    out = run(
        copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "threshold",
        "tests/test_contract.py", "tests/routers/test_every_router.py", "tests/test_project.py",
    )  # fmt: skip
    passed = re.search(r"(\d+) passed", out)
    assert passed and int(passed.group(1)) >= 30, out
