"""Checkpoint files made by hand: small good ones to break, and large ones that take no disk."""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from moe.checkpoints.dtypes import DTYPES

CONFIG = {"model_type": "mixtral", "hidden_size": 4, "rope_scaling": {"factor": [1.0, 2]}}
HEADER = {
    "__metadata__": {"format": "pt"},
    "layers.0.gate.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "layers.0.up.weight": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [24, 32]},
    "layers.0.blocks": {"dtype": "U8", "shape": [4], "data_offsets": [32, 36]},
    "layers.0.empty": {"dtype": "F16", "shape": [0, 7], "data_offsets": [36, 36]},
    "layers.0.bias": {"dtype": "I32", "shape": [], "data_offsets": [36, 40]},
}
DATA = struct.pack("<6f", *range(6)) + struct.pack("<4H", 0x3F80, 0xC000, 0, 0x7F80) + bytes(8)


def as_file(header: Any, data: bytes = DATA, length: int | None = None) -> bytes:
    """Bytes of a safetensors file; `header` is an object or text, `length` may lie."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


GOOD = as_file(HEADER)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def single(content: bytes = GOOD, config: Any = CONFIG) -> dict[str, bytes]:
    """Files of an unsharded checkpoint."""
    raw = config if isinstance(config, bytes) else json.dumps(config).encode()
    return {"config.json": raw, "model.safetensors": content}


def sharded(index: Any, shard: bytes = GOOD) -> dict[str, bytes]:
    """Files of a checkpoint with one shard and the index given."""
    raw = index if isinstance(index, bytes) else json.dumps(index).encode()
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors.index.json": raw,
        "model-00001-of-00001.safetensors": shard,
    }


INDEX = {
    "metadata": {"total_size": len(DATA)},
    "weight_map": dict.fromkeys([*HEADER][1:], "model-00001-of-00001.safetensors"),
}


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method, 1)  # the same bytes always
    return stream.getvalue()


def npy(shape: str, data: bytes = b"", descr: str = "<f4", header: bytes = b"") -> bytes:
    """Bytes of a .npy stream with a header of one's own."""
    text = (
        header or f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    )
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + data


ARRAYS = {
    "expert_LNK": np.arange(12, dtype=np.int16).reshape(1, 6, 2),
    "weight_LNK": np.asfortranarray(np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 6, 2)),
    "tokens": np.array(["the", "é", "😀"]),
    "flag": np.array(True),
}


def good_npz(compressed: bool = False) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **ARRAYS)
    return stream.getvalue()


def write_sparse(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, tuple[tuple[int, ...], str]],
    n_shards: int,
) -> int:
    """A sharded checkpoint of zeros whose data are holes: gigabytes that take no room on the disk.

    Parameters
    ----------
    tensors
        (shape, safetensors dtype) of each name; shards get them in turn, in blocks.

    Returns
    -------
    total
        Bytes of all tensors.
    """
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(dict(config)))
    names, weight_map, total = list(tensors), {}, 0
    per_shard = -(-len(names) // n_shards)
    for place in range(n_shards):
        file = f"model-{place + 1:05d}-of-{n_shards:05d}.safetensors"
        header, offset = {}, 0
        for name in names[place * per_shard : (place + 1) * per_shard]:
            shape, dtype = tensors[name]
            n_bytes = math.prod(shape) * DTYPES[dtype].bits // 8
            ends = [offset, offset + n_bytes]
            header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": ends}
            offset += n_bytes
            weight_map[name] = file
        raw = json.dumps(header).encode()
        raw += b" " * (-len(raw) % 8)
        with (folder / file).open("wb") as stream:
            stream.write(as_file(raw, b""))
            stream.truncate(8 + len(raw) + offset)
        total += offset
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return total


def mixtral(
    layers: int, d_model: int, d_expert: int, dtype: str, stacked: bool = False
) -> tuple[dict[str, Any], dict[str, tuple[tuple[int, ...], str]]]:
    """Configuration and tensors of a Mixtral's MoE layers, as published or `stacked` by kind."""
    config = {
        "model_type": "mixtral", "hidden_size": d_model, "intermediate_size": d_expert,
        "num_hidden_layers": layers, "num_local_experts": 8, "num_experts_per_tok": 2,
        "hidden_act": "silu",
    }  # fmt: skip
    tensors = {}
    for layer in range(layers):
        block = f"model.layers.{layer}.{'mlp' if stacked else 'block_sparse_moe'}"
        tensors[f"{block}.gate.weight"] = ((8, d_model), dtype)
        if stacked:
            tensors[f"{block}.experts.gate_up_proj"] = ((8, 2 * d_expert, d_model), dtype)
            tensors[f"{block}.experts.down_proj"] = ((8, d_model, d_expert), dtype)
            continue
        for expert in range(8):
            for name in ("w1", "w3"):
                tensors[f"{block}.experts.{expert}.{name}.weight"] = ((d_expert, d_model), dtype)
            tensors[f"{block}.experts.{expert}.w2.weight"] = ((d_model, d_expert), dtype)
    return config, tensors
