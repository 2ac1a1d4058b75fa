"""Shared fixtures."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

os.environ.pop("COLUMNS", None)  # else every table is as wide as the terminal that exported it

from moe.cli.main import main


@pytest.fixture(autouse=True)
def same_main() -> Iterator[None]:
    """Put the main module back: Streamlit's tests leave theirs, a file that is gone by then.

    A process that is spawned reads the main module's file first, and dies if there is none.
    """
    main_module = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main_module


@pytest.fixture
def rng() -> np.random.Generator:
    """A fresh generator, the same in every test."""
    return np.random.default_rng(1234)


@pytest.fixture
def run_moe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `moe` as its entry point does, in this process: a new one imports for most of a second.

    Keywords are variables of the environment, except for the exit code that is expected.
    """

    def run(*arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", ["moe", *arguments])
            for name, value in environment.items():
                patch.setenv(name, value)
            main()
        said = capsys.readouterr()
        assert ended.value.code == code, said.err
        assert "Traceback" not in said.err
        return subprocess.CompletedProcess(sys.argv, code, said.out, said.err)

    return run


# Whole files go to whoever is free, so the long ones begin, or one process would end alone. Kernels
# are compiled in the first and taken from there by all others; the two beside it do without them.
LONG = (
    "kernels/test_startup.py", "kernels/test_widths.py", "checkpoints/test_hostile.py",
    "e2e/test_app.py", "lessons/test_course.py", "cluster/test_mpi.py",
    "sweeps/test_kills.py", "training/",
)  # fmt: skip
# Files that go to one process together, since they share what takes long to make: a server and a
# browser, and the runs that lessons measure.
TOGETHER = {
    "lessons": (
        "lessons/test_course.py", "lessons/test_changed.py", "lessons/test_question.py",
        "lessons/test_exercises.py",
        "app/learn/", "cli/test_lessons.py", "docs/test_lessons.py", "e2e/test_site.py",
    ),
    "browser": ("e2e/",),
}  # fmt: skip


def group_of(nodeid: str) -> str:
    """What a test goes to a process with: its file, or the files of one entry of `TOGETHER`."""
    file = nodeid.split("::", 1)[0]
    name = file.removeprefix("tests/")
    return next((group for group, starts in TOGETHER.items() if name.startswith(starts)), file)


@pytest.hookimpl(optionalhook=True)  # unknown where xdist is left out
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out groups of files where whole files were asked for."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Groups(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Divide the cores among the processes that will run the tests.

    With a thread for every core in each of them they wait for one another, and spin meanwhile.
    Tests of threads say how many they mean. Until all tests are known nothing is garbage, and
    looking for it takes as long as collecting them.
    """
    gc.disable()
    if processes := getattr(config.option, "numprocesses", None):
        share = max(1, (os.cpu_count() or 1) // processes)
        for name in ("MOE_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, str(share))


def pytest_collection_finish() -> None:
    """Look for garbage again, rarely, and never among what was there when the tests began."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""

    def rank(item: pytest.Item) -> int:
        name = item.nodeid.removeprefix("tests/")
        return next((i for i, start in enumerate(LONG) if name.startswith(start)), len(LONG))

    items.sort(key=rank)
