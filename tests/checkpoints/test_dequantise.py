"""FP8 blocks and MXFP4 mean exactly what their formats and the reference readers say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import moe
from moe.checkpoints.dequantise import E4M3, from_fp8_blocks, from_mxfp4
from moe.checkpoints.files import open_checkpoint, write_checkpoint

CASES = Path(__file__).parent.parent / "parity"
LAYER = 1


def case(name: str) -> tuple[dict, dict[str, tuple[np.ndarray, str]]]:
    """Return config and tensors of a parity case, ready to be written again."""
    with open_checkpoint(CASES / name) as checkpoint:
        tensors = {n: (np.array(checkpoint.read(n)), checkpoint.dtype(n)) for n in checkpoint.names}
        return checkpoint.config, tensors


def test_e4m3_has_the_values_of_the_format():
    # OCP 8-bit floating point, table 2: largest 448, smallest 2^-9, NaN where all bits are one.
    assert E4M3[0x7E] == 448 and E4M3[0x01] == 2**-9 and E4M3[0x08] == 2**-6
    assert E4M3[0x38] == 1 and E4M3[0xB8] == -1
    assert np.isnan(E4M3[[0x7F, 0xFF]]).all() and np.isnan(E4M3).sum() == 2
    assert np.signbit(E4M3[0x80]) and not np.signbit(E4M3[0])


def test_each_block_has_its_own_factor(rng):
    bits = rng.integers(0, 127, (5, 7), dtype=np.uint8)
    scale = rng.random((3, 3)).astype(np.float32)
    values = from_fp8_blocks(bits, scale, (2, 3))
    for i in range(5):
        for j in range(7):
            assert values[i, j] == E4M3[bits[i, j]] * scale[i // 2, j // 3]


def test_mxfp4_takes_the_lower_half_of_a_byte_first():
    blocks = np.zeros((1, 1, 16), np.uint8)
    blocks[0, 0, :3] = 0x21, 0x7F, 0x98
    values = from_mxfp4(blocks, np.array([[128]], np.uint8))[0]
    assert values[:6].tolist() == [1.0, 2.0, -12.0, 12.0, -0.0, -1.0]
    assert not values[6:].any() and np.signbit(values[4])


def test_scales_of_mxfp4_reach_from_the_smallest_power_to_nan():
    ones = np.full((3, 16), 0x22, np.uint8)
    values = from_mxfp4(ones[:, None], np.array([[0], [127], [255]], np.uint8))
    assert (values[0] == 2.0**-127).all() and (values[1] == 1).all() and np.isnan(values[2]).all()


@pytest.mark.parametrize("name", ["deepseek_v3", "minimax_m2"])
def test_a_layer_of_fp8_blocks_equals_its_plain_form(tmp_path, rng, name):
    config, tensors = case(name)
    plain, packed = dict(tensors), dict(tensors)
    block = (4, 5)
    for tensor, (array, _) in tensors.items():
        if ".experts." in tensor:
            bits = rng.integers(0, 126, array.shape, dtype=np.uint8)
            grid = [-(-n // b) for n, b in zip(array.shape, block)]
            scale = rng.random(grid).astype(np.float32)
            packed[tensor] = (bits, "F8_E4M3")
            packed[tensor + "_scale_inv"] = (scale, "F32")
            plain[tensor] = (from_fp8_blocks(bits, scale, block), "F32")
    quantised = config | {"quantization_config": {"weight_block_size": list(block)}}
    write_checkpoint(tmp_path / "fp8", quantised, packed)
    write_checkpoint(tmp_path / "plain", config, plain)
    layer = moe.load_layer(tmp_path / "fp8", LAYER)
    expected = moe.load_layer(tmp_path / "plain", LAYER)
    assert all(np.array_equal(layer.params[n], a) for n, a in expected.params.items())
    moe.save_layer(layer, tmp_path / "saved")
    with open_checkpoint(tmp_path / "saved") as saved:
        assert set(saved.names) == set(plain) and saved.config == config
    again = moe.load_layer(tmp_path / "saved", LAYER)
    assert all(again.params[n].tobytes() == a.tobytes() for n, a in layer.params.items())


def mxfp4_case(folder: Path, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Write a gpt-oss checkpoint of MXFP4 blocks; return the packed tensors."""
    config, tensors = case("gpt_oss")
    n_experts, d, f = 6, 32, 32
    config |= {"hidden_size": d, "intermediate_size": f, "quantization_config": {}}
    shapes = {"router.weight": (n_experts, d), "experts.gate_up_proj_bias": (n_experts, 2 * f)}
    shapes |= {"router.bias": (n_experts,), "experts.down_proj_bias": (n_experts, d)}
    prefix = f"model.layers.{LAYER}.mlp."
    written = {
        prefix + n: (rng.standard_normal(shape).astype(np.float32), "F32")
        for n, shape in shapes.items()
    }
    packed = {}
    for tensor, rows, columns in (("gate_up_proj", 2 * f, d), ("down_proj", d, f)):
        name = f"{prefix}experts.{tensor}"
        size = (n_experts, rows, columns // 32)
        packed[name + "_blocks"] = rng.integers(0, 256, (*size, 16), dtype=np.uint8)
        packed[name + "_scales"] = rng.integers(120, 130, size, dtype=np.uint8)
    write_checkpoint(folder, config, written | {n: (a, "U8") for n, a in packed.items()})
    assert len(tensors) == len(written) + len(packed) // 2
    return packed


def test_a_layer_of_mxfp4_blocks_exports_its_plain_form(tmp_path, rng):
    packed = mxfp4_case(tmp_path / "mxfp4", rng)
    layer = moe.load_layer(tmp_path / "mxfp4", LAYER)
    exported = moe.export_layer(layer)
    for tensor in ("gate_up_proj", "down_proj"):
        name = f"model.layers.{LAYER}.mlp.experts.{tensor}"
        values = from_mxfp4(packed[name + "_blocks"], packed[name + "_scales"])
        assert np.array_equal(exported[name], values.swapaxes(1, 2))
    up = exported[f"model.layers.{LAYER}.mlp.experts.gate_up_proj"]
    assert np.array_equal(layer.params["w_gate_up_ED2F"][:, :, :32], up[:, :, ::2])
    moe.save_layer(layer, tmp_path / "saved")
    with open_checkpoint(tmp_path / "saved") as saved:
        assert set(saved.names) == set(exported)
        assert saved.dtype(f"model.layers.{LAYER}.mlp.experts.down_proj") == "BF16"
    again = moe.load_layer(tmp_path / "saved", LAYER)
    assert all(again.params[n].tobytes() == a.tobytes() for n, a in layer.params.items())
