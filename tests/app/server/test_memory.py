"""Memory of the process: what it holds, and that it is given back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from moe.app.server import memory

CODE = """
import numpy as np
from moe.kernels.workspace import empty
from moe.app.server.memory import few_arenas, give_back, resident
print(few_arenas())
before = resident()
held = [np.ones(50_000) for _ in range(400)]
held += [empty(500_000, np.float64) for _ in range(20)]
for array in held:
    array[:] = 1
held.append(held)
most = resident()
del held
give_back()
print(most - before, resident() - before)
"""


@pytest.mark.skipif(not memory.STATM.exists(), reason="read on Linux only")
def test_what_nobody_needs_is_given_back() -> None:
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    can, figures = ran.stdout.splitlines()
    most, left = map(int, figures.split())
    assert can in ("True", "False")
    assert most > 230e6 and left < 30e6


def test_where_it_cannot_be_read_nobody_is_turned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "STATM", tmp_path / "none")
    assert memory.resident() == 0
