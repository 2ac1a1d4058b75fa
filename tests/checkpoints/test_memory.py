"""Loading one layer of a large checkpoint reads that layer only."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from moe.checkpoints.dtypes import DTYPES
from tests.checkpoints.fabricate import mixtral, write_sparse

ROOT = Path(__file__).resolve().parents[2]

LOAD = """
import json, sys, time
import moe
from tests.checkpoints.peak import peak_bytes

moe.load_layer(sys.argv[1], 0)  # whatever has to be imported is there
before, began = peak_bytes(), time.process_time()
layer = moe.load_layer(sys.argv[2], int(sys.argv[3]))
sizes = sum(array.nbytes for array in layer.params.values())
print(json.dumps([peak_bytes() - before, sizes, time.process_time() - began]))
"""


@pytest.mark.parametrize(
    ("dtype", "layers", "stacked"),
    [
        ("BF16", 20, False),
        ("BF16", 20, True),
        pytest.param("F32", 10, False, marks=pytest.mark.soak),
        pytest.param("F32", 10, True, marks=pytest.mark.soak),
    ],
)
def test_one_layer_of_two_gigabytes_takes_at_most_three_times_its_size(
    tmp_path, dtype, layers, stacked
):
    write_sparse(tmp_path / "small", *mixtral(1, 8, 8, dtype), 1)
    config, tensors = mixtral(layers, 1024, 2048, dtype, stacked)
    total = write_sparse(tmp_path / "large", config, tensors, 5)
    assert total > 2e9
    part = f"layers.{layers - 2}."
    size = sum(
        math.prod(shape) * DTYPES[kind].bits // 8
        for name, (shape, kind) in tensors.items()
        if part in name
    )
    run = subprocess.run(
        [sys.executable, "-c", LOAD, tmp_path / "small", tmp_path / "large", str(layers - 2)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    peak, held, seconds = json.loads(run.stdout)
    assert held >= size, "the layer is there"
    assert 0.8 * held < peak <= 3 * size, f"{peak / size:.2f} times the layer's {size} bytes"
    assert seconds < 10
