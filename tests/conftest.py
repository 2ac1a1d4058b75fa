"""Shared fixtures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

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
# are compiled in the first and taken from there by all others; the second does without them.
LONG = (
    "kernels/test_startup.py", "kernels/test_widths.py", "checkpoints/test_hostile.py",
    "e2e/test_app.py", "cluster/test_mpi.py", "e2e/", "sweeps/test_kills.py", "training/",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Divide the cores among the processes that will run the tests.

    With a thread for every core in each of them they wait for one another, and spin meanwhile.
    Tests of threads say how many they mean.
    """
    if processes := getattr(config.option, "numprocesses", None):
        share = max(1, (os.cpu_count() or 1) // processes)
        for name in ("MOE_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, str(share))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""

    def rank(item: pytest.Item) -> int:
        name = item.nodeid.removeprefix("tests/")
        return next((i for i, start in enumerate(LONG) if name.startswith(start)), len(LONG))

    items.sort(key=rank)
