"""Outputs and gradients equal the reference library's on published layouts."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

import moe

CASES = Path(__file__).parent / "parity"
MIXTRAL = ("block_sparse_moe", "w1", "w3", "w2")
USUAL = ("mlp", "gate_proj", "up_proj", "down_proj")


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read float32 safetensors by hand: 8 bytes of length, a JSON header, raw data."""
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    header.pop("__metadata__", None)
    data = raw[8 + size :]
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"])
        for name, entry in header.items()
    }


def router_of(config: dict) -> moe.Router:
    """Build the router that a published configuration means."""
    k = config["num_experts_per_tok"]
    if config["model_type"] == "deepseek_v3":
        return moe.make_router(
            "deepseek_v3",
            k=k,
            n_group=config["n_group"],
            topk_group=config["topk_group"],
            renormalize=config["norm_topk_prob"],
            scale=config["routed_scaling_factor"],
        )
    return moe.make_router("topk", k=k, renormalize=config.get("norm_topk_prob", True))


def load(case: str) -> tuple[moe.MoELayer, dict[str, list[str]], Path]:
    """Return the layer, and for each parameter the published names of its parts."""
    folder = CASES / case
    config = json.loads((folder / "config.json").read_text())
    tensors = read_tensors(folder / "model.safetensors")
    block, gate, up, down = MIXTRAL if case == "mixtral" else USUAL
    prefix = f"model.layers.1.{block}."
    n_experts = tensors[prefix + "gate.weight"].shape[0]
    experts = [f"{prefix}experts.{e}." for e in range(n_experts)]

    def stack(name: str) -> np.ndarray:
        return np.stack([tensors[f"{e}{name}.weight"].T for e in experts])

    params = {
        "gate_DE": tensors[prefix + "gate.weight"].T,
        "w_gate_up_ED2F": np.concatenate([stack(gate), stack(up)], axis=2),
        "w_down_EFD": stack(down),
    }
    buffers = {}
    if prefix + "shared_experts.gate_proj.weight" in tensors:
        shared = {n: tensors[f"{prefix}shared_experts.{n}.weight"].T for n in (gate, up, down)}
        params["shared_w_gate_up_D2F"] = np.concatenate([shared[gate], shared[up]], axis=1)
        params["shared_w_down_FD"] = shared[down]
    bias = prefix + "gate.e_score_correction_bias"
    buffers["select_bias_E"] = tensors.get(bias, np.zeros(n_experts, np.float32))
    params = {name: np.ascontiguousarray(array) for name, array in params.items()}
    layer = moe.MoELayer(router_of(config), "swiglu", params, buffers)
    names = {"block": [prefix], "gate_up_down": [gate, up, down]}
    return layer, names, folder


ALL = ["mixtral", "deepseek_v3", "qwen3_moe", "olmoe"]


@pytest.mark.parametrize("case", ALL)
def test_forward_equals_the_reference_library(case: str) -> None:
    layer, _, folder = load(case)
    stored = np.load(folder / "io.npz")
    error = np.abs(layer(stored["x"]) - stored["y"]).max() / np.abs(stored["y"]).max()
    assert error <= 1e-5


@pytest.mark.parametrize("case", ALL)
def test_gradients_equal_the_reference_library(case: str) -> None:
    layer, names, folder = load(case)
    stored = np.load(folder / "grad.npz")
    layer = layer.astype("float64")
    y_ND, ctx = layer.forward(stored["x"])
    dx_ND, grads = layer.backward(stored["g"], ctx)

    def close(mine: np.ndarray, name: str) -> None:
        theirs = stored[name]
        assert mine.shape == theirs.shape
        assert np.abs(mine - theirs).max() <= 1e-6 * max(np.abs(theirs).max(), 1e-12), name

    close(y_ND, "y")
    close(dx_ND, "dx")
    prefix, (gate, up, down) = names["block"][0], names["gate_up_down"]
    close(grads["gate_DE"].T, f"d:{prefix}gate.weight")
    width = layer.d_expert
    for e in range(layer.n_experts):
        both = grads["w_gate_up_ED2F"][e]
        close(both[:, :width].T, f"d:{prefix}experts.{e}.{gate}.weight")
        close(both[:, width:].T, f"d:{prefix}experts.{e}.{up}.weight")
        close(grads["w_down_EFD"][e].T, f"d:{prefix}experts.{e}.{down}.weight")
    if "shared_w_down_FD" in grads:
        both = grads["shared_w_gate_up_D2F"]
        close(both[:, : both.shape[1] // 2].T, f"d:{prefix}shared_experts.{gate}.weight")
        close(both[:, both.shape[1] // 2 :].T, f"d:{prefix}shared_experts.{up}.weight")
        close(grads["shared_w_down_FD"].T, f"d:{prefix}shared_experts.{down}.weight")
    checked = 1 + 3 * layer.n_experts + 3 * ("shared_w_down_FD" in grads)
    assert checked == sum(name.startswith("d:") for name in stored.files)
