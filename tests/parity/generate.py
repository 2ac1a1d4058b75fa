"""Make the parity cases from the reference library: `python -m tests.parity.generate [TYPE ...]`.

A case is a tiny random model with settings that matter (groups, scaling, correction bias, shared
gate, biases, dense layers). `save_pretrained` gives weights their published names; gradients get
theirs the same way, by standing in for the weights. Only the tensors of one MoE block are kept.

Needs the extra `parity`.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from safetensors.numpy import load_file, save_file

import moe
from moe.checkpoints.families import LOADABLE
from moe.checkpoints.layer_spec import layer_specs
from moe.porting.tiny import nested

from ..test_parity import LAYER, fingerprints
from .settings import tiny

RENAMED = {"kimi_k2": "deepseek_v3"}  # what publishers call a class that the library has
STACKS = "layers|blocks"  # names of a model's list of layers
PLACES = ("mlp", "block_sparse_moe", "feed_forward", "ffn", "mixer", "shared_mlp")  # in a layer
UNLISTED = {"Qwen3OmniMoeText": "Qwen3OmniMoeThinkerText"}  # classes of models named otherwise
LARGER = ("llama4",)  # models with a text model of a type of the table in them
# What makes another layer of a type: a case of its own, whose name begins with the type's.
VARIANTS: dict[str, dict[str, Any]] = {"nemotron_h-latent": {"moe_latent_size": 5}}
ALL = sorted([*LOADABLE, *LARGER, *VARIANTS])
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


def build(case: str, seed: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Return a random model and the MoE block of its layer."""
    torch.manual_seed(seed)
    model_type = case.partition("-")[0]
    model = make_model(model_type, settings_of(model_type) | VARIANTS.get(case, {}))
    block = block_of(model)
    randomise(block)
    if hasattr(block, "experts"):
        silence(block)
    return model, block


def settings_of(model_type: str) -> dict[str, Any]:
    """Settings of a case's model: those below, or for all other types those of their row."""
    if model_type not in CASES:
        return tiny(model_type)
    return (COMMON if model_type != "llama4" else {}) | CASES[model_type]


def make_model(model_type: str, settings: dict[str, Any]) -> torch.nn.Module:
    """An untrained model."""
    if model_type == "llama4":
        config = transformers.Llama4Config(**settings, vision_config=SMALL_VISION)
        model = transformers.Llama4ForConditionalGeneration._from_config(config)
    else:
        config = transformers.CONFIG_MAPPING[RENAMED.get(model_type, model_type)](
            **nested(settings)
        )
        model = model_class(config)._from_config(config)
    model.set_experts_implementation("eager")
    return model.eval()


def model_class(config: transformers.PreTrainedConfig) -> Any:
    """The library's class of causal models, or of bare ones where it has no other."""
    for mapping in (transformers.MODEL_FOR_CAUSAL_LM_MAPPING, transformers.MODEL_MAPPING):
        if type(config) in mapping:
            return mapping[type(config)]
    module = importlib.import_module(type(config).__module__.replace("configuration_", "modeling_"))
    name = type(config).__name__.removesuffix("Config")
    return getattr(module, UNLISTED.get(name, name) + "Model")


def block_of(model: torch.nn.Module, layer: int = LAYER) -> torch.nn.Module:
    """The MoE block of a layer: the outermost of its modules that holds experts."""
    (decoder,) = [
        m for name, m in model.named_modules() if re.search(rf"(^|\.)({STACKS})\.{layer}$", name)
    ]
    block = next(m for m in decoder.modules() if hasattr(m, "experts"))
    return WithShared(block, decoder.shared_mlp) if hasattr(decoder, "shared_mlp") else block


class WithShared(torch.nn.Module):
    """Granite's block and the network that stands beside it in the layer, if there is one."""

    def __init__(self, block: torch.nn.Module, beside: torch.nn.Module | None) -> None:
        super().__init__()
        self.block, self.beside = block, beside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer adds to its residual."""
        return self.block(x) + (0 if self.beside is None else self.beside(x))


def randomise(block: torch.nn.Module) -> None:
    """Give every parameter and selection bias a value that makes a difference."""
    with torch.no_grad():
        for name, tensor in [*block.named_parameters(), *block.named_buffers()]:
            spread = 0.5 if "gate.w" in name or "router" in name or tensor.ndim < 3 else 0.3
            steers = "correction_bias" in name or "expert_bias" in name
            if tensor.is_floating_point():
                tensor.normal_(0.0, 0.2 if steers else spread)


def silence(block: torch.nn.Module) -> None:
    """Set to 0 what the library keeps for experts that return x, and does not use."""
    experts = block.experts
    with torch.no_grad():
        if getattr(experts, "zero_expert_num", 0):
            experts.gate_up_proj[experts.num_routed_experts :] = 0


def published(model: torch.nn.Module, folder: Path, original: bool = True) -> dict[str, np.ndarray]:
    """Tensors of the block under the names that `save_pretrained` gives them."""
    model.save_pretrained(folder, save_original_format=original)
    place = re.compile(rf"(^|\.)({STACKS})\.{LAYER}\.({'|'.join(PLACES)})\.")
    tensors = load_file(folder / "model.safetensors")
    kept = {name: array for name, array in tensors.items() if place.search(name)}
    if not getattr(model.config, "zero_expert_num", 0):
        return kept
    # Published files have nothing for experts that return x.
    experts = range(model.config.n_routed_experts)
    number = re.compile(r"\.experts\.(\d+)\.")
    return {n: a for n, a in kept.items() if not (m := number.search(n)) or int(m[1]) in experts}


def whole_layers(folder: Path) -> list[moe.MoELayer]:
    """The MoE layers of a model as it is saved, with attention and norms beside each."""
    return [moe.load_layer(folder, layer) for layer in moe.moe_layers(folder)]


def run(block: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Output of the block, (N, D)."""
    y = block(x[None])
    return (y[0] if isinstance(y, tuple) else y).reshape(x.shape)


def gradients(block: torch.nn.Module, d_model: int) -> dict[str, torch.Tensor]:
    """Run the block in float64 and put gradients in the place of its parameters."""
    rng = np.random.default_rng(8)
    block.double()
    x = torch.tensor(rng.standard_normal((N_TOKENS, d_model)), requires_grad=True)
    g = torch.tensor(rng.standard_normal((N_TOKENS, d_model)))
    y = run(block, x)
    (y * g).sum().backward()
    for parameter in block.parameters():
        if parameter.grad is not None:
            parameter.data = parameter.grad
    return {"x64": x.detach(), "g64": g, "y64": y.detach(), "dx64": x.grad}


def make_case(case: str, folder: Path, seed: int) -> bool:
    """Write the files that README.md lists; False if an expert is idle."""
    model, block = build(case, seed)
    d_model = model.config.get_text_config().hidden_size
    x = np.random.default_rng(7).standard_normal((N_TOKENS, d_model)).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tensors = published(model, Path(scratch))
        config = json.loads((Path(scratch) / "config.json").read_text())
        layers = whole_layers(Path(scratch))
    with tempfile.TemporaryDirectory() as scratch:
        in_memory = published(model, Path(scratch), original=False)
        assert whole_layers(Path(scratch)) == layers
    config.pop("vision_config", None)  # long, and no part of the layer
    if case in RENAMED:
        config["model_type"] = case
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "memory.json").write_text(json.dumps(fingerprints(in_memory), indent=1) + "\n")
    with torch.no_grad():
        y = run(block, torch.tensor(x)).numpy()
    arrays = {name: tensor.numpy() for name, tensor in gradients(block, d_model).items()}
    with tempfile.TemporaryDirectory() as scratch:
        named = published(model.double(), Path(scratch))
    slots = [slot for spec in layer_specs(config, LAYER) for slot in spec.slots()]
    steer = tuple(slot.name for slot in slots if slot.array == "select_bias_E")
    grads = [named[name] for name in sorted(named) if not steer or not name.endswith(steer)]
    flat = np.concatenate([grad.reshape(-1) for grad in grads])
    np.savez_compressed(folder / "golden.npz", x=x, y=y, **arrays, grads=flat)
    return all(part.any() for grad in grads for part in (grad if grad.ndim == 3 else [grad]))


def write_case(case: str, folder: Path) -> None:
    """Write a case, with the first seed that gives every expert a token."""
    for seed in range(100):
        if make_case(case, folder, seed):
            return
    raise RuntimeError(f"{case}: no seed gives every expert a token")


def main(root: Path, cases: Iterable[str] = ()) -> None:
    """Write these cases below a folder, all by default; a type's case has its name."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for case in cases or ALL:
        write_case(case, root / case)
        print(case, file=sys.stderr)


if __name__ == "__main__":
    main(Path(__file__).parent, sys.argv[1:])
