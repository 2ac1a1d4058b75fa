"""A folder of files is marked: what one of them does costs its author the mark, nobody else."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moe.lessons import steps
from moe.lessons.cage import outside
from moe.lessons.cage.outside import Limits
from moe.lessons.steps.grade import (
    Marks,
    grade,
    gradescope_file,
    harmless,
    replace_file,
    submissions,
    write_marks,
)

from .given import PLAIN

STEPS = ("scores", "choose")
ALL = tuple(steps.STEPS)
QUICK = Limits(call_seconds=1.0, seconds=10)
HOSTILE = {
    "endless.py": "def scores(x):\n    while True: pass",
    "sleeps.py": "import time\ntime.sleep(1e9)",
    "memory.py": "import numpy as np\ndef scores(x):\n    return np.ones(20 * 2**30 // 8)",
    "forks.py": "import os\ndef scores(x):\n    while True: os.fork()",
    "network.py": "import socket\ns = socket.create_connection(('127.0.0.1', 9))",
    "exits.py": "import os\ndef scores(x): os._exit(0)",
    "crashes.py": "import ctypes\ndef scores(x): ctypes.string_at(0)",
    "huge.py": "def scores(x): return [x] * 10**6",
    "writes.py": "def scores(x):\n    open({neighbour!r}, 'w').write('mine')\n    return x",
    "deletes.py": "import os\nos.remove({neighbour!r})",
    "copies.py": "exec(open({neighbour!r}).read())",
    "imports.py": "from moe.scores import make_scores as scores",
    "syntax.py": "def",
    "latin.py": "\xff",
}


def folder_of(path: Path, **files: str) -> Path:
    folder = path / "submissions"
    folder.mkdir()
    for name, source in files.items():
        (folder / f"{name}.py").write_text(source, "utf-8")
    return folder


def rows(out: Path) -> dict[str, dict[str, str]]:
    with out.open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_hostile_files_cost_nobody_else_anything(tmp_path: Path) -> None:
    """Where this system lacks a guard, the command says so and marks nothing."""
    folder = folder_of(tmp_path, aaa=PLAIN, zzz=PLAIN)
    neighbour = str(folder / "zzz.py")
    for name, source in HOSTILE.items():
        text = source.replace("{neighbour!r}", repr(neighbour))
        (folder / name).write_text(text, "latin-1" if name == "latin.py" else "utf-8")
    out = tmp_path / "marks.csv"
    if missing := outside.missing_guards():
        with pytest.raises(ValueError, match=r"does not guard.*--unguarded"):
            next(grade(folder, out, STEPS, QUICK))
        assert missing and not out.exists()
        return
    began = time.monotonic()
    done = {marks.file: marks for marks in grade(folder, out, STEPS, QUICK)}
    assert time.monotonic() - began < 120
    assert done["aaa.py"].all_right and done["zzz.py"].all_right
    for name in HOSTILE:
        assert done[name].right == 0, name
    assert done["endless.py"].results["scores"] == "no_answer"
    assert done["memory.py"].results["scores"] == done["forks.py"].results["scores"] == "raises"
    assert done["exits.py"].results["scores"] == "no_answer"
    for name in ("sleeps", "network", "deletes", "copies", "imports", "syntax", "latin"):
        assert done[f"{name}.py"].note.startswith("does not run: "), name
    # The neighbour's file and the table are as they were meant to be.
    assert Path(neighbour).read_text("utf-8") == PLAIN
    assert sorted(os.listdir(tmp_path)) == ["marks.csv", "submissions"]
    assert len(os.listdir(folder)) == len(HOSTILE) + 2
    assert {name: row["right"] for name, row in rows(out).items()} == {
        name: str(marks.right) for name, marks in done.items()
    }


def test_a_step_without_an_answer_leaves_the_others(tmp_path: Path) -> None:
    loop = PLAIN + "\n\ndef scores(x):\n    while True: pass\n"
    folder = folder_of(tmp_path, a=loop)
    (marks,) = grade(folder, tmp_path / "m.csv", STEPS, QUICK, unguarded=True)
    assert marks.results == {"scores": "no_answer", "choose": "right"}


def test_who_never_answers_is_stopped(tmp_path: Path) -> None:
    loops = "\n".join(f"def {name}(*given):\n    while True: pass" for name in ALL)
    folder = folder_of(tmp_path, a=loops)
    limits = Limits(call_seconds=0.3)
    (marks,) = grade(folder, tmp_path / "m.csv", ALL[:6], limits, unguarded=True)
    assert list(marks.results.values()) == ["no_answer"] * 3 + ["does_not_run"] * 3
    assert marks.note.startswith("stopped: 3 times")


def test_a_file_without_guards_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without them is played by a cage that finds two of them open."""
    real = outside.Cage._ask
    loaded = []

    def less(self, request, seconds):  # type: ignore[no-untyped-def]
        loaded.append("source" in request)
        reply = real(self, request, seconds)
        return reply | {"open": ["network", "writing"]} if "open" in reply else reply

    monkeypatch.setattr(outside.Cage, "_ask", less)
    folder, out = folder_of(tmp_path, a=PLAIN), tmp_path / "m.csv"
    with pytest.raises(ValueError, match=r"does not guard: the network .*; files of yours"):
        next(grade(folder, out, STEPS))
    assert not any(loaded) and not out.exists()
    (marks,) = grade(folder, out, STEPS, unguarded=True)
    assert marks.all_right and any(loaded)


# The table -------------------------------------------------------------------------------------


def test_marks_are_kept_and_a_changed_file_is_marked_again(tmp_path: Path) -> None:
    folder, out = folder_of(tmp_path, a=PLAIN, b=PLAIN), tmp_path / "m.csv"
    first = list(grade(folder, out, ("scores",), unguarded=True))
    assert [marks.kept for marks in first] == [False, False]
    (folder / "b.py").write_text("def scores(x):\n    return 0 * x\n")
    again = list(grade(folder, out, ("scores",), unguarded=True))
    assert [marks.kept for marks in again] == [True, False]
    assert [marks.right for marks in again] == [1, 0]
    assert list(rows(out)) == ["a.py", "b.py"] and rows(out)["b.py"]["scores"] == "unknown"


def test_a_run_that_is_killed_loses_nothing_finished(tmp_path: Path) -> None:
    endless = "import time\ntime.sleep(1000)"
    folder, out = folder_of(tmp_path, a=PLAIN, b=endless), tmp_path / "m.csv"
    words = ["grade", str(folder), "--out", str(out), "--steps", "scores", "--unguarded"]
    run = subprocess.Popen(
        [sys.executable, "-m", "moe", *words, "--seconds", "60"], stdout=subprocess.PIPE
    )
    assert run.stdout and b"a.py: 1 of 1 right" in run.stdout.readline()
    run.kill()
    run.wait()
    run.stdout.close()
    assert list(rows(out)) == ["a.py"]
    done = list(grade(folder, out, ("scores",), QUICK, unguarded=True))
    assert [(marks.file, marks.kept) for marks in done] == [("a.py", True), ("b.py", False)]


def test_marks_that_this_run_has_not_come_to_stay(tmp_path: Path) -> None:
    folder, out = folder_of(tmp_path, a=PLAIN, b=PLAIN), tmp_path / "m.csv"
    list(grade(folder, out, ("scores",), unguarded=True))
    (folder / "a.py").write_text(PLAIN + "\n")
    next(grade(folder, out, ("scores",), unguarded=True))  # stopped after the first
    assert list(rows(out)) == ["a.py", "b.py"]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", " =1", "a\n=1", "|a", "%a"]
)
def test_no_cell_is_a_formula(tmp_path: Path, text: str) -> None:
    assert harmless(text)[0] in "'a"
    out = tmp_path / "m.csv"
    write_marks(out, ["scores"], [Marks(text, "00", {"scores": "right"}, text)])
    with out.open(newline="") as file:
        for row in list(csv.reader(file))[1:]:
            assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
            assert not any("\n" in cell for cell in row)


def test_a_hostile_name_and_message_stay_text(tmp_path: Path) -> None:
    folder, out = folder_of(tmp_path), tmp_path / "m.csv"
    (folder / '=HYPERLINK("x").py').write_text("raise ValueError('=cmd|1')")
    (folder / "a\nb,c.py").write_text("raise ValueError('\\n=1+1')")
    list(grade(folder, out, ("scores",), unguarded=True))
    assert list(rows(out)) == ["a b,c.py", '\'=HYPERLINK("x").py'] or len(rows(out)) == 2
    again = list(grade(folder, out, ("scores",), unguarded=True))
    assert all(marks.kept for marks in again)


def test_another_table_is_not_written_over(tmp_path: Path) -> None:
    folder, out = folder_of(tmp_path, a=PLAIN), tmp_path / "m.csv"
    for text in ("name,mark\nada,1\n", "", "file,sha256,choose,right,note\n", "\xff"):
        out.write_text(text, "latin-1")
        with pytest.raises(ValueError, match=r"allowed is a new file|no table"):
            next(grade(folder, out, ("scores",), unguarded=True))
        assert out.read_text("latin-1") == text


def test_links_pipes_and_other_files_are_no_submissions(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a=PLAIN)
    (folder / "b.txt").write_text("b")
    (folder / "d.py").mkdir()
    if os.name == "posix":
        (folder / "link.py").symlink_to(folder / "a.py")
        os.mkfifo(folder / "pipe.py")
    assert [path.name for path in submissions(folder)] == ["a.py"]


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match="folder: got"):
            submissions(path)
    folder = folder_of(tmp_path, a=PLAIN)
    with pytest.raises(ValueError, match="step: got 'no'"):
        next(grade(folder, tmp_path / "m.csv", ("no",)))
    with pytest.raises(ValueError, match="out: got"):
        replace_file(tmp_path / "none" / "m.csv", "")


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a="#" * 2**21)
    (marks,) = grade(folder, tmp_path / "m.csv", ("scores",), unguarded=True)
    assert marks.right == 0 and "allowed are" in marks.note


def test_gradescope_gets_its_json(tmp_path: Path) -> None:
    marks = Marks("a.py", "00", {"scores": "right", "choose": "worst"})
    gradescope_file([marks], tmp_path / "results.json")
    tests = json.loads((tmp_path / "results.json").read_text())["tests"]
    assert [test["score"] for test in tests] == [1, 0] and "argsort" in tests[1]["output"]
    with pytest.raises(ValueError, match="got 2 files"):
        gradescope_file([marks, marks], tmp_path / "results.json")
