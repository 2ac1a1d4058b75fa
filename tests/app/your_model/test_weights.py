"""A checkpoint's sizes, and a layer of it on random inputs, counted another way."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import moe
from moe.app.your_model import weights
from moe.app.your_model.story import load_words
from moe.checkpoints.archives import open_archive
from moe.checkpoints.load import read_layer
from moe.errors import CheckpointError
from tests.app.your_model.test_story import PARITY, zipped


def test_a_checkpoint_in_numbers() -> None:
    raw = zipped(PARITY / "mixtral")
    contents = weights.read_contents(raw)
    config = json.loads((PARITY / "mixtral" / "config.json").read_text())
    n_layers = config["num_hidden_layers"]
    assert contents.words == (
        f"A checkpoint of the kind mixtral, with {len(contents.layers)} of the model's {n_layers} "
        "MoE layers."
    )
    at = contents.layers[0]
    look = weights.run_layer(raw, at)
    with open_archive(raw, weights.LIMITS) as checkpoint:
        layer = read_layer(checkpoint, at)
    experts = sum(a.size for n, a in layer.params.items() if n.startswith(("w_", "b_")))
    router = sum(a.size for n, a in layer.params.items()) - experts
    used = experts * config["num_experts_per_tok"] // config["num_local_experts"]
    assert [tuple(row.values()) for row in look.sizes] == [
        ("Router", f"{router:,}", f"{router:,}"), ("Experts", f"{experts:,}", f"{used:,}"),
        ("All", f"{router + experts:,}", f"{router + used:,}"),
    ]  # fmt: skip
    x = np.random.default_rng(0).standard_normal((2048, layer.d_model)).astype(layer.dtype)
    load = np.bincount(layer.route(x).expert_A, minlength=layer.n_experts)
    assert look.loads.value_RE[0] == pytest.approx(load / load.mean())
    assert look.loads.experts == tuple(range(layer.n_experts))
    assert look.title == f"layer {at}, on random inputs" and look.loads.rows == (f"layer {at}",)
    assert look.loads.words == load_words(load)
    assert look.words.startswith(f"{layer.router.title}: 2 of {layer.n_experts} experts for each")
    with pytest.raises(CheckpointError, match="tensors of none of the"):
        weights.read_contents(moved(PARITY / "mixtral"))


def moved(folder: Path) -> bytes:
    """The checkpoint with all layers' numbers beyond the model's."""
    import io
    import zipfile

    tensors = (folder / "model.safetensors").read_bytes().replace(b".layers.", b".lagers.")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("config.json", (folder / "config.json").read_bytes())
        archive.writestr("model.safetensors", tensors)
    return packed.getvalue()


def test_a_shared_expert_is_counted_apart() -> None:
    layer = moe.MoELayer.init(8, 4, 6, router="topk", n_shared=1)
    size = {"Router": 0, "Shared expert": 0, "Experts": 0}
    for name, array in layer.params.items():
        shared, routed = name.startswith("shared"), name.startswith(("w_", "b_"))
        size["Shared expert" if shared else "Experts" if routed else "Router"] += array.size
    assert all(size.values())
    found = [tuple(row.values()) for row in weights._sizes(layer, 2.0)]
    for row in found[:-1]:
        n = size[row[0]]
        active = round(n * 2 / layer.n_experts) if row[0] == "Experts" else n
        assert row == (row[0], f"{n:,}", f"{active:,}")
    assert found[-1][1] == f"{sum(size.values()):,}" and len(found) == 4


def test_tensors_of_a_bare_file_are_listed_largest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = (PARITY / "mixtral" / "model.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    header.pop("__metadata__", None)
    size = {name: math.prod(told["shape"]) for name, told in header.items()}
    found = weights.read_contents(raw)
    assert (found.model_type, found.layers) == ("", ())
    assert found.words.startswith(
        f"{len(size)} tensors with {sum(size.values()):,} numbers in all."
    )
    numbers = [int(row["Parameters"].replace(",", "")) for row in found.tensors]
    assert numbers == sorted(size.values(), reverse=True)[:50]
    for row in found.tensors:
        told = header[row["Tensor"]]
        assert row["Parameters"] == f"{size[row['Tensor']]:,}"
        assert row["Shape"] == " × ".join(map(str, told["shape"])) and row["Type"] == told["dtype"]
    monkeypatch.setattr(weights, "LISTED", 2)
    assert len(weights.read_contents(raw).tensors) == 2
