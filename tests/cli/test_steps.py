"""`moe step`: texts, checks and exit codes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from moe.lessons.cage import outside
from moe.lessons.steps import STEPS
from tests.lessons.steps.given import PLAIN

Run = Callable[..., subprocess.CompletedProcess[str]]


def written(folder: Path, source: str) -> str:
    file = folder / "layer.py"
    file.write_text(source, "utf-8")
    return str(file)


def test_the_steps_are_listed_and_shown(run_moe: Run) -> None:
    rows = json.loads(run_moe("step", "--json").stdout)
    assert [row["step"] for row in rows] == list(STEPS)
    text = run_moe("step", COLUMNS="200").stdout
    assert all(name in text and step.signature.split()[0] in text for name, step in STEPS.items())
    assert "softmax" in run_moe("step", "scores").stdout
    assert json.loads(run_moe("step", "scores", "--json").stdout)["function"].startswith("scores(")


def test_right_code_ends_with_0_and_a_mistake_with_1(run_moe: Run, tmp_path: Path) -> None:
    file = written(tmp_path, PLAIN)
    assert "right" in run_moe("step", "scores", file).stdout
    wrong = written(tmp_path, PLAIN.replace("axis=1", "axis=0"))
    said = json.loads(run_moe("step", "scores", wrong, "--json", code=1).stdout)
    assert said["mistake"] == "sum_over_tokens" and said["step"] == "scores" and "unguarded" in said
    wrong = written(tmp_path, PLAIN.replace("np.argsort(-", "np.argsort("))
    assert "the k worst" in run_moe("step", "choose", wrong, code=1).stdout


def test_what_cannot_be_checked_ends_with_2(run_moe: Run, tmp_path: Path) -> None:
    file = written(tmp_path, PLAIN)
    assert "allowed is one of scores" in run_moe("step", "score", file, code=2).stderr
    assert "no such step" not in run_moe("step", "score", code=2).stdout
    for path in (str(tmp_path / "none.py"), str(tmp_path)):
        assert run_moe("step", "scores", path, code=2).stderr.startswith("moe: ")
    for source in ("def", "raise ValueError", "import moe", "import sys; sys.exit()"):
        said = run_moe("step", "scores", written(tmp_path, source), code=2).stderr
        assert "does not run" in said
    (tmp_path / "latin.py").write_bytes(b"\xff\xfe")
    assert "UTF-8" in run_moe("step", "scores", str(tmp_path / "latin.py"), code=2).stderr


def test_what_is_not_guarded_is_said(run_moe: Run, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    real = outside.Cage._ask

    def less(self, request, seconds):  # type: ignore[no-untyped-def]
        reply = real(self, request, seconds)
        return reply | {"open": ["network"]} if "open" in reply else reply

    monkeypatch.setattr(outside.Cage, "_ask", less)
    done = run_moe("step", "scores", written(tmp_path, PLAIN))
    assert "does not guard: the network" in done.stderr and "right" in done.stdout
