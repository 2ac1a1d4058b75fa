"""The kernels are right at every vector width, on whatever processor this is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moe import kernels
from moe.kernels.width import TILE_ROWS

ROOT = Path(__file__).resolve().parent.parent.parent


NATIVE = kernels.VECTOR_BYTES
NARROWEST = min(TILE_ROWS)
# The processor's own width comes last: by then its kernels have been compiled (test_startup.py).
WIDTHS = sorted(TILE_ROWS, key=lambda width: width == NATIVE)


def at_width(width: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, where kernels have that width."""
    own = {"MOE_VECTOR_BYTES": width, "MOE_CHECK": str(int(check)), "MOE_NUM_THREADS": "2"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=600,
    )


def check_every_size(width: int, dtype: str, check: bool = True) -> None:
    words = ("-m", "tests.kernels.every_size", "--dtypes", dtype)
    done = at_width(str(width), *words, check=check)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["vector_bytes"] == width and said["checked"] == check
    assert said["tried"] > 4_000
    assert not said["wrong"], said["first"]


@pytest.mark.parametrize("width", WIDTHS)
def test_kernels_equal_their_oracles_at_every_size(width: int) -> None:
    """Of both dtypes the one with fewer numbers in the narrowest vector, the one with more else.

    They are compiled from the same text: what differs is the numbers in a vector, here 2, 8, 16.
    This processor's own kernels are those that everybody calls; the others check their memory.
    """
    check_every_size(width, "float64" if width == NARROWEST else "float32", width != NATIVE)


@pytest.mark.soak
def test_the_own_width_uses_no_memory_but_its_own() -> None:
    check_every_size(NATIVE, "float64" if NATIVE == NARROWEST else "float32")


@pytest.mark.soak
@pytest.mark.parametrize("width", WIDTHS)
def test_the_other_dtype_equals_its_oracle_at_every_size(width: int) -> None:
    check_every_size(width, "float32" if width == NARROWEST else "float64")


@pytest.mark.parametrize("width", ["48", "", "wide", "64.0"])
def test_another_width_is_one_line(width: str) -> None:
    done = at_width(width, "-m", "moe", "warm")
    assert done.returncode == 2
    assert f"MOE_VECTOR_BYTES: got {width!r}, allowed is one of 16, 32, 64" in done.stderr
    assert "Traceback" not in done.stderr
