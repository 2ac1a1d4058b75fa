"""`moe params`: sums, parts, what files say, names in the local cache, errors in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moe.checkpoints.files import open_checkpoint, write_checkpoint
from moe.cost import MODELS
from moe.cost.memory import WEIGHT_BYTES
from tests.checkpoints.test_stored import cached

Run = Callable[..., Any]
CASES = Path(__file__).parents[1] / "parity" / "models"
TABLES = ("embedding", "output_head")


def counted(run_moe: Run, model: str | Path, **environment: str) -> dict[str, Any]:
    said = run_moe("params", str(model), "--json", **environment).stdout
    row: dict[str, Any] = json.loads(said)
    return row


@pytest.mark.parametrize("name", MODELS)
def test_the_parts_add_up_to_the_total_and_to_what_is_active(run_moe: Run, name: str) -> None:
    row = counted(run_moe, name)
    parts = {key: part for key, part in row["parts"].items() if key != "mtp"}
    assert sum(part["all"] for part in parts.values()) == row["total_params"]
    used = sum(part["active"] for part in parts.values())
    tables = {key: parts[key]["active"] for key in TABLES}
    assert used == row["active_with_input"]
    assert used - sum(tables.values()) == row["active_neither"]
    assert row["active_head_only"] == row["active_neither"] + tables["embedding"]
    assert row["tied"] == (tables["output_head"] == 0)
    assert row["weight_bytes"] == {p: row["total_params"] * b for p, b in WEIGHT_BYTES.items()}
    assert row["files"] is None


def test_by_hand(run_moe: Run) -> None:
    """Mixtral-8x7B: 32 layers of 4096, eight experts of 14336, two of which a token uses."""
    row = counted(run_moe, "Mixtral-8x7B")
    table, expert = 32000 * 4096, 3 * 4096 * 14336
    assert row["parts"] == {
        "attention": dict.fromkeys(("all", "active"), 32 * 4096 * (4096 + 1024) * 2),
        "routed_experts": {"all": 32 * 8 * expert, "active": 32 * 2 * expert},
        "shared_experts": {"all": 0, "active": 0},
        "dense": {"all": 0, "active": 0},
        "router": dict.fromkeys(("all", "active"), 32 * 8 * 4096),
        "norms": dict.fromkeys(("all", "active"), 65 * 4096),
        "embedding": {"all": table, "active": table},
        "output_head": {"all": table, "active": table},
        "mtp": {"all": 0, "active": 0},
    }
    said = run_moe("params", "mixtral-8x7b").stdout
    assert "46,702,792,704 parameters" in said and "12.88B" in said and "93 GB in bf16" in said


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_files_of_whole_models_agree(run_moe: Run, case: str) -> None:
    row = counted(run_moe, CASES / case)
    with open_checkpoint(CASES / case) as checkpoint:
        by_reading = sum(checkpoint.read(name).size for name in checkpoint.names)
    assert row["files"]["numbers"] == by_reading == row["total_params"]
    assert row["files"]["agrees"] and row["files"]["with"] == []
    said = " ".join(run_moe("params", str(CASES / case)).stdout.split())
    assert f"The files hold {by_reading:,} numbers, exactly the total by config.json." in said


def rewritten(case: str, folder: Path, config: dict[str, Any], **more: int) -> Path:
    """A copy of a case with other values in its config.json and further tensors."""
    with open_checkpoint(CASES / case) as checkpoint:
        arrays = {name: (checkpoint.read(name), "F32") for name in checkpoint.names}
        arrays |= {name: (np.zeros(size, np.float32), "F32") for name, size in more.items()}
        write_checkpoint(folder, checkpoint.config | config, arrays)
    return folder


def test_what_files_hold_beside_the_total_is_named(run_moe: Run, tmp_path: Path) -> None:
    module = counted(run_moe, CASES / "deepseek_v3")["parts"]["mtp"]["all"]
    assert module
    row = counted(run_moe, rewritten("deepseek_v3", tmp_path / "mtp", {}, mtp=module))
    assert row["files"]["agrees"] and row["files"]["with"] == ["multi-token prediction"]
    table = counted(run_moe, CASES / "qwen3")["parts"]["embedding"]["all"]
    row = counted(run_moe, rewritten("qwen3", tmp_path / "tied", {}, head=table))
    assert row["files"]["agrees"]
    assert row["files"]["with"] == ["the tied output matrix once more"]


def test_files_that_disagree_are_said_so(run_moe: Run, tmp_path: Path) -> None:
    folder = rewritten("mixtral", tmp_path / "model", {"num_local_experts": 5})
    row = counted(run_moe, folder)
    assert row["files"]["agrees"] is False
    assert row["files"]["numbers"] < row["files"]["expected"] == row["total_params"]
    said = " ".join(run_moe("params", str(folder)).stdout.split())
    assert "than the total by config.json: the two do not agree." in said
    (folder / "model.safetensors").write_bytes(b"\xff" * 99)
    said = " ".join(run_moe("params", str(folder)).stdout.split())
    assert "The files could not be counted: model.safetensors:" in said


def test_quantised_models_are_counted_and_said_to_be(run_moe: Run, tmp_path: Path) -> None:
    config = json.loads((CASES / "mixtral" / "config.json").read_text("utf-8"))
    total = counted(run_moe, CASES / "mixtral")["total_params"]
    path = tmp_path / "config.json"
    for said, name in (
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "awq"}, "awq"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "modelopt NVFP4"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"},
         "compressed-tensors pack-quantized"),
    ):  # fmt: skip
        path.write_text(json.dumps(config | {"quantization_config": said}), "utf-8")
        row = counted(run_moe, path)
        assert row["total_params"] == total
        assert [f"quantised ({name})" in note for note in row["notes"]] == [True]
    for hostile in ("gptq", [], {"quant_method": ["x"] * 9}, {"quant_method": "\x1b[31m" * 90}):
        path.write_text(json.dumps(config | {"quantization_config": hostile}), "utf-8")
        said_of_it = run_moe("params", str(path)).stdout
        assert "\x1b" not in said_of_it and len(said_of_it) < 4000


def test_a_model_of_the_local_cache(run_moe: Run, tmp_path: Path) -> None:
    folder = cached(tmp_path, "org/tiny")
    for file in (CASES / "olmoe").iterdir():
        shutil.copy(file, folder)
    row = counted(run_moe, "org/tiny", HF_HUB_CACHE=str(tmp_path))
    assert row["name"] == "org/tiny" and row["files"]["agrees"]
    assert row["total_params"] == counted(run_moe, CASES / "olmoe")["total_params"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("mixtrel", "model: got 'mixtrel', allowed is a config.json, its folder, a model's name"),
        ("org/none", "no such file"),
        ("none/config.json", "no such file"),
        ("", "config.json: got no such file"),
    ],
)
def test_errors_are_one_line(
    run_moe: Run, model: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_moe("params", model, code=2, HF_HUB_CACHE=str(tmp_path))
    assert message in done.stderr and done.stderr.count("\n") == 1 and not done.stdout


def test_an_unknown_type_is_one_line(run_moe: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "rnn"}', "utf-8")
    done = run_moe("params", str(tmp_path), code=2)
    assert "model_type: got 'rnn', allowed is one of" in done.stderr
    assert done.stderr.count("\n") == 1
