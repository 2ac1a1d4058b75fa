"""The sweep over all sizes finds faults of the kinds that kernels have had, planted one by one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

# What is changed: the file, the line as it is, and as a slip would have it.
FAULTS = {
    "a step too many": ("blocks", "if k + STREAMS <= k1:", "if k <= k1:"),
    "a block too long": ("blocks", "k1 = min(k0 + deep, n_depth)", "k1 = k0 + deep"),
    "a row too few": (
        "blocks", "rows = min(ROWS, n_rows - m0)", "rows = min(ROWS - 1, n_rows - m0)",
    ),
    "a mask off by one": (
        "tile", 'builder.sub(names["inside"], I64(v * lanes))',
        'builder.sub(names["inside"], I64(v * lanes + 1))',
    ),
    "a mask off by one, few rows": (
        "tile", "builder.sub(columns, whole))", "builder.sub(columns, emit.plus(whole, 1)))",
    ),
    "a block not added": ("blocks", "adds = add or k0 > 0", "adds = add"),
    "a block not added, few rows": ("blocks", "if add or k0 > 0:", "if add:"),
    "a half not added": ("expert_gradients", "f > 0 or half > 0", "f > 0"),
    "a part not added": (
        "experts", "for p in range(1, n_blocks):", "for p in range(2, n_blocks):",
    ),
    "stale working memory": (
        "blocks", "sums[m * gap : m * gap + n + lanes - 1] = 0",
        "sums[m * gap : m * gap + n - 1] = 0",
    ),
    "more rows than memory": ("blocks", "FEW = ROWS", "FEW = 3 * ROWS"),
    "a key too many": ("causal_attention", "n_first + m * grow, scale", "n_keys, scale"),
    "a block of queries not added": (
        "attention_gradients", "(n_rows, v_size, high - first), True",
        "(n_rows, v_size, high - first), low > 0",
    ),
    "an item too tall": ("items", "parts = -(-n_tiles // (tall // ROWS))", "parts = 1"),
}  # fmt: skip


@pytest.mark.soak
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, tmp_path: Path) -> None:
    name, right, wrong = FAULTS[fault]
    shutil.copytree(ROOT / "moe", tmp_path / "moe", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests" / "kernels").mkdir(parents=True)
    for script in ("every_size", "lm_sizes"):
        shutil.copy(ROOT / f"tests/kernels/{script}.py", tmp_path / "tests/kernels")
    file = tmp_path / "moe" / "kernels" / f"{name}.py"
    source = file.read_text("utf-8")
    assert source.count(right) == 1
    file.write_text(source.replace(right, wrong), "utf-8")
    width = (16, 32, 64)[list(FAULTS).index(fault) % 3]
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.every_size", "--dtypes", "float32"],
        cwd=tmp_path,
        env=os.environ | {
            "MOE_VECTOR_BYTES": str(width), "MOE_CHECK": "1", "PYTHONPATH": str(tmp_path),
            "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["wrong"] > 0


def test_every_fault_can_be_planted() -> None:
    for name, right, _ in FAULTS.values():
        source = (ROOT / "moe" / "kernels" / f"{name}.py").read_text("utf-8")
        assert source.count(right) == 1, right
