"""Quantised files: what is not read is refused by the name of its method, in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moe
from moe.checkpoints.files import open_checkpoint, write_checkpoint
from tests.test_parity import CASES, LAYER

CASE = "qwen3_moe"
Tensors = dict[str, tuple[np.ndarray, str]]


def of(kind: Any, *shape: int) -> np.ndarray:
    return np.ones(shape, kind)


def gptq(name: str, rows: int, columns: int) -> Tensors:
    return {
        f"{name}.qweight": (of(np.int32, columns // 8, rows), "I32"),
        f"{name}.qzeros": (of(np.int32, 1, rows // 8), "I32"),
        f"{name}.scales": (of(np.float16, 1, rows), "F16"),
        f"{name}.g_idx": (of(np.int32, columns), "I32"),
    }


def awq(name: str, rows: int, columns: int) -> Tensors:
    return {
        f"{name}.qweight": (of(np.int32, columns, rows // 8), "I32"),
        f"{name}.qzeros": (of(np.int32, 1, rows // 8), "I32"),
        f"{name}.scales": (of(np.float16, 1, rows), "F16"),
    }


def packed(name: str, rows: int, columns: int) -> Tensors:
    return {
        f"{name}.weight_packed": (of(np.int32, rows, columns // 8), "I32"),
        f"{name}.weight_scale": (of(np.float32, rows, 1), "BF16"),
        f"{name}.weight_shape": (np.array([rows, columns]), "I64"),
    }


def per_channel(name: str, rows: int, columns: int) -> Tensors:
    return {
        f"{name}.weight": (of(np.uint8, rows, columns), "F8_E4M3"),
        f"{name}.weight_scale": (of(np.float32, rows, 1), "BF16"),
    }


def nvfp4(name: str, rows: int, columns: int) -> Tensors:
    return {
        f"{name}.weight": (of(np.uint8, rows, columns // 2), "U8"),
        f"{name}.weight_scale": (of(np.uint8, rows, columns // 16), "F8_E4M3"),
        f"{name}.weight_scale_2": (of(np.float32), "F32"),
        f"{name}.input_scale": (of(np.float32), "F32"),
    }


def four_bits(name: str, rows: int, columns: int) -> Tensors:
    return {
        f"{name}.weight": (of(np.uint8, rows * columns // 2, 1), "U8"),
        f"{name}.weight.absmax": (of(np.uint8, rows), "U8"),
        f"{name}.weight.quant_state.bitsandbytes__nf4": (of(np.uint8, 9), "U8"),
    }


def eight_bits(name: str, rows: int, columns: int) -> Tensors:
    return {
        f"{name}.weight": (of(np.int8, rows, columns), "I8"),
        f"{name}.SCB": (of(np.float32, rows), "F32"),
    }


Kind = Callable[[str, int, int], Tensors]
METHODS: dict[str, tuple[Kind, dict[str, Any], str]] = {
    "GPTQ": (gptq, {"quant_method": "gptq", "bits": 4}, "'gptq'"),
    "AWQ": (awq, {"quant_method": "awq", "bits": 4}, "'awq'"),
    "int4": (
        packed,
        {"quant_method": "compressed-tensors", "format": "pack-quantized"},
        "'compressed-tensors pack-quantized'",
    ),
    "FP8": (
        per_channel,
        {"quant_method": "compressed-tensors", "format": "float-quantized"},
        "'compressed-tensors float-quantized'",
    ),
    "NVFP4": (
        nvfp4,
        {"quant_method": "modelopt", "quant_algo": "NVFP4"},
        "'modelopt NVFP4'",
    ),
    "4 bits": (
        four_bits, {"quant_method": "bitsandbytes", "load_in_4bit": True}, "'bitsandbytes'"
    ),
    "8 bits": (
        eight_bits, {"quant_method": "bitsandbytes", "load_in_8bit": True}, "'bitsandbytes'"
    ),
    "int8": (eight_bits, {"quant_method": "quanto", "weights": "int8"}, "'quanto'"),
}  # fmt: skip


def quantised(folder: Path, kind: Kind | None, config: dict[str, Any], gate: bool = False) -> Path:
    """The case with its experts, and perhaps its gate, stored by a kind of quantisation."""
    tensors: Tensors = {}
    with open_checkpoint(CASES / CASE) as checkpoint:
        for name in checkpoint.names:
            array = np.array(checkpoint.read(name))
            if kind and ("experts" in name or gate):
                tensors |= kind(name.removesuffix(".weight"), *array.shape)
            else:
                tensors[name] = (array, "F32")
        write_checkpoint(folder, checkpoint.config | config, tensors)
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(moe.CheckpointError) as caught:
        moe.load_layer(folder, LAYER)
    return str(caught.value)


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_quantisation_that_is_not_read_is_named(tmp_path, method, gate):
    kind, quantization, words = METHODS[method]
    folder = quantised(tmp_path, kind, {"quantization_config": quantization}, gate)
    assert refused(folder) == (
        f"config.json: quantization_config: got {words}, whose tensors are not read, "
        "allowed are plain tensors, FP8 in blocks and MXFP4"
    )


def test_it_is_named_too_where_the_text_model_s_part_says_it(tmp_path):
    config = json.loads((CASES / CASE / "config.json").read_text())
    inner = config | {"quantization_config": {"quant_method": "gptq"}}
    folder = quantised(tmp_path, gptq, {"model_type": "internvl", "text_config": inner})
    assert "got 'gptq', whose tensors" in refused(folder)


def test_a_layer_that_the_method_left_plain_is_read_and_saved_without_it(tmp_path):
    config = json.loads((CASES / CASE / "config.json").read_text())
    method = {"quantization_config": METHODS["GPTQ"][1]}
    whole = method | {"model_type": "internvl", "text_config": config | method}
    layer = moe.load_layer(quantised(tmp_path / "in", None, whole), LAYER)
    assert layer == moe.load_layer(CASES / CASE, LAYER)
    moe.save_layer(layer, tmp_path / "out")
    assert "quantization_config" not in (tmp_path / "out" / "config.json").read_text()


@pytest.mark.parametrize("method", ["fp8", None, 7])
def test_other_faults_of_a_file_keep_their_words(tmp_path, method):
    """The methods that are read, and a configuration that names none."""
    quantization = {"quantization_config": {"quant_method": method}}
    assert "weight_scale_inv' in this checkpoint" in refused(
        quantised(tmp_path / "scale", per_channel, quantization)
    )
    wrong = {"quantization_config": METHODS["GPTQ"][1], "hidden_act": "gelu"}
    assert refused(quantised(tmp_path / "act", gptq, wrong)).startswith("config.json: hidden_act")
