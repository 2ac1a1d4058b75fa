"""Make the parity cases from the reference library: `python -m tests.parity.generate [FOLDER]`.

A case is a tiny random model with settings that matter (groups, scaling, correction bias, shared
gate, biases, dense layers). `save_pretrained` gives weights their published names; gradients get
theirs the same way, by standing in for the weights. Only the tensors of one MoE block are kept.

Needs the extra `parity`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from safetensors.numpy import load_file, save_file

from ..test_parity import LAYER, fingerprints

N_TOKENS, D_MODEL = 11, 16

COMMON = {
    "hidden_size": D_MODEL,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 16,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
DEEPSEEK = {
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 6,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
    "intermediate_size": 20,
    "routed_scaling_factor": 2.5,
    "n_group": 4,
    "topk_group": 2,
}
GROUPED = {
    key: DEEPSEEK[key]
    for key in DEEPSEEK
    if not key.startswith(("q_", "kv_", "qk_", "v_")) and key != "routed_scaling_factor"
}
LLAMA4 = {
    "num_local_experts": 6,
    "num_experts_per_tok": 2,
    "intermediate_size": 9,
    "intermediate_size_mlp": 20,
    "interleave_moe_layer_step": 2,
}
CASES: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 6, "num_experts_per_tok": 2, "intermediate_size": 9},
    "qwen2_moe": {
        "num_experts": 6,
        "num_experts_per_tok": 3,
        "moe_intermediate_size": 9,
        "shared_expert_intermediate_size": 14,
        "intermediate_size": 20,
        "decoder_sparse_step": 2,
        "norm_topk_prob": False,
    },
    "qwen3_moe": {
        "num_experts": 6,
        "num_experts_per_tok": 3,
        "moe_intermediate_size": 9,
        "intermediate_size": 20,
        "mlp_only_layers": [0],
        "norm_topk_prob": True,
    },
    "olmoe": {"num_experts": 6, "num_experts_per_tok": 3, "intermediate_size": 9},
    "flex_olmo": {
        "num_experts": 5,
        "num_experts_per_tok": 2,
        "intermediate_size": 9,
        "norm_topk_prob": True,
    },
    "deepseek_v2": DEEPSEEK | {"topk_method": "group_limited_greedy"},
    "deepseek_v3": DEEPSEEK,
    "gpt_oss": {
        "num_local_experts": 6,
        "num_experts_per_tok": 3,
        "intermediate_size": 10,
        "swiglu_alpha": 1.5,
        "swiglu_limit": 1.0,
    },
    "granitemoe": {"num_local_experts": 6, "num_experts_per_tok": 3, "intermediate_size": 11},
    "glm4_moe": GROUPED | {"routed_scaling_factor": 1.5},
    "dots1": GROUPED | {"routed_scaling_factor": 2.5, "norm_topk_prob": True},
    "minimax_m2": {"num_local_experts": 6, "num_experts_per_tok": 3, "intermediate_size": 9},
    "ernie4_5_moe": {
        "moe_num_experts": 6,
        "moe_k": 3,
        "moe_intermediate_size": 9,
        "moe_num_shared_experts": 2,
        "moe_layer_start_index": 1,
        "moe_layer_interval": 2,
        "intermediate_size": 20,
        # Larger than any published one, so that the floor under the sum of weights is at work.
        "moe_norm_min": 0.6,
    },
    "llama4_text": LLAMA4,
    "llama4": {"text_config": COMMON | LLAMA4 | {"num_local_experts": 5}},
    "phimoe": {
        "num_local_experts": 6,
        "num_experts_per_tok": 2,
        "intermediate_size": 11,
        "router_jitter_noise": 0.2,
    },
    "hunyuan_v1_moe": {"num_experts": 6, "moe_topk": 3, "intermediate_size": 10},
}
SMALL_VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,  # (hidden / ratio^2) must give whole widths
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "projector_input_dim": 16,
    "projector_output_dim": 16,
    "vision_output_dim": 16,
}


def build(model_type: str, seed: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Return a random model and the MoE block of its layer."""
    torch.manual_seed(seed)
    if model_type == "llama4":
        settings = CASES[model_type] | {"vision_config": SMALL_VISION}
        model_class = transformers.Llama4ForConditionalGeneration
        config = transformers.Llama4Config(**settings)
        model = model_class._from_config(config)
        decoder = model.language_model.model
    else:
        make = transformers.CONFIG_MAPPING[model_type]
        config = make(**(COMMON | CASES[model_type]))
        model = transformers.AutoModelForCausalLM.from_config(config)
        decoder = model.model
    model.set_experts_implementation("eager")
    model.eval()
    layer = decoder.layers[LAYER]
    place = {"granitemoe": "block_sparse_moe", "llama4": "feed_forward"}
    block = getattr(layer, place.get(model_type.removesuffix("_text"), "mlp"))
    with torch.no_grad():
        for name, tensor in [*block.named_parameters(), *block.named_buffers()]:
            spread = 0.5 if "gate.w" in name or "router" in name or tensor.ndim < 3 else 0.3
            tensor.normal_(0.0, 0.2 if "correction_bias" in name else spread)
    return model, block


def published(model: torch.nn.Module, folder: Path, original: bool = True) -> dict[str, np.ndarray]:
    """Tensors of the block's layer under the names that `save_pretrained` gives them."""
    model.save_pretrained(folder, save_original_format=original)
    places = (".mlp.", ".block_sparse_moe.", ".feed_forward.")
    return {
        name: array
        for name, array in load_file(folder / "model.safetensors").items()
        if f"layers.{LAYER}." in name and any(place in name for place in places)
    }


def run(block: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Output of the block, (N, D)."""
    y = block(x[None])
    return (y[0] if isinstance(y, tuple) else y).reshape(x.shape)


def gradients(block: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Run the block in float64 and put gradients in the place of its parameters."""
    rng = np.random.default_rng(8)
    block.double()
    x = torch.tensor(rng.standard_normal((N_TOKENS, D_MODEL)), requires_grad=True)
    g = torch.tensor(rng.standard_normal((N_TOKENS, D_MODEL)))
    y = run(block, x)
    (y * g).sum().backward()
    for parameter in block.parameters():
        if parameter.grad is not None:
            parameter.data = parameter.grad
    return {"x": x.detach(), "g": g, "y": y.detach(), "dx": x.grad}


def make_case(model_type: str, folder: Path, seed: int) -> bool:
    """Write the files that README.md lists; False if an expert is idle."""
    model, block = build(model_type, seed)
    x = np.random.default_rng(7).standard_normal((N_TOKENS, D_MODEL)).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tensors = published(model, Path(scratch))
        config = json.loads((Path(scratch) / "config.json").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        in_memory = published(model, Path(scratch), original=False)
    config.pop("vision_config", None)  # long, and no part of the layer
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "memory.json").write_text(json.dumps(fingerprints(in_memory), indent=1) + "\n")
    with torch.no_grad():
        np.savez_compressed(folder / "io.npz", x=x, y=run(block, torch.tensor(x)).numpy())
    arrays = {name: tensor.numpy() for name, tensor in gradients(block).items()}
    with tempfile.TemporaryDirectory() as scratch:
        named = published(model.double(), Path(scratch))
    grads = {f"d:{name}": a for name, a in named.items() if "correction_bias" not in name}
    np.savez_compressed(folder / "grad.npz", **arrays, **grads)
    return all(
        part.any() for grad in grads.values() for part in (grad if grad.ndim == 3 else [grad])
    )


def write_case(model_type: str, folder: Path) -> None:
    """Write a case, with the first seed that gives every expert a token."""
    for seed in range(100):
        if make_case(model_type, folder, seed):
            return
    raise RuntimeError(f"{model_type}: no seed gives every expert a token")


def main(root: Path) -> None:
    """Write all cases below a folder."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for model_type in CASES:
        write_case(model_type, root / model_type)
        print(model_type, file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
