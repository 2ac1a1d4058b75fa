"""Make the whole-model cases from the reference library: `python -m tests.parity.models [FOLDER]`.

A case is a tiny random model with settings that are not the defaults: fewer heads of keys, wider
heads, tied embeddings, dense first layers, groups, both ways to weigh. `golden.npz` holds the
logits and the gradient of the mean cross-entropy at every published tensor, one after the other in
the order of their names. The library's casts to float32 become casts to float64 there (`Exact`), so
that its own numbers are exact; in float32 it is left as it is.

Needs the extra `parity`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from safetensors.numpy import load_file
from torch.overrides import TorchFunctionMode

import moe.lm

from ..lm.test_parity import COMMITTED, MODELS, as_float64, errors, relative_error

Arrays = dict[str, np.ndarray]
N_SEQUENCES, N_POSITIONS, N_VOCAB = 3, 7, 11
COMMON: dict[str, Any] = {
    "vocab_size": N_VOCAB, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 16, "rms_norm_eps": 1e-3, "pad_token_id": None,
    "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
GQA: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 4}
MOE: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 3}
ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0}}
GROUPS: dict[str, Any] = {"n_routed_experts": 4, "n_group": 2, "topk_group": 1}
LATENT: dict[str, Any] = {
    "q_lora_rank": 5, "kv_lora_rank": 3, "qk_nope_head_dim": 2, "qk_rope_head_dim": 4,
    "v_head_dim": 3, "num_key_value_heads": 4,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "mixtral": GQA | ROPE | {"num_local_experts": 4, "intermediate_size": 3},
    "olmoe": ROPE
    | {"num_key_value_heads": 2, "num_experts": 4, "num_experts_per_tok": 2,
       "intermediate_size": 3, "norm_topk_prob": False},
    "qwen3_moe": GQA | MOE
    | {"num_experts": 4, "norm_topk_prob": True, "tie_word_embeddings": True,
       "mlp_only_layers": [0], "intermediate_size": 5},
    "dots1": GQA | MOE | ROPE
    | {"n_routed_experts": 4, "n_shared_experts": 1, "first_k_dense_replace": 1,
       "norm_topk_prob": True, "routed_scaling_factor": 1.5, "intermediate_size": 5},
    "deepseek_v3": LATENT | MOE | GROUPS
    | {"n_shared_experts": 1, "first_k_dense_replace": 1, "intermediate_size": 5},
    "qwen3": GQA | ROPE | {"intermediate_size": 7, "tie_word_embeddings": True},
    # The rest is made and compared by `make parity` only.
    "llama": {"num_key_value_heads": 1, "intermediate_size": 7},
    "olmoe-renormalized": {"num_experts": 4, "num_experts_per_tok": 3, "intermediate_size": 3,
                           "norm_topk_prob": True, "tie_word_embeddings": True},
    "qwen3_moe-plain": MOE | {"num_experts": 4, "norm_topk_prob": False, "num_hidden_layers": 3,
                              "num_key_value_heads": 1, "head_dim": 6},
    "dots1-groups": MOE | GROUPS
    | {"n_shared_experts": 0, "norm_topk_prob": False, "num_key_value_heads": 4, "head_dim": 2},
    "deepseek_v3-one latent": LATENT | MOE
    | {"q_lora_rank": None, "rope_interleave": False, "n_routed_experts": 4, "n_group": 1,
       "topk_group": 1, "n_shared_experts": 2, "first_k_dense_replace": 0,
       "norm_topk_prob": False, "num_hidden_layers": 3},
    "deepseek_v3-dense": LATENT | {"first_k_dense_replace": 2, "intermediate_size": 5},
}  # fmt: skip


class Exact(TorchFunctionMode):
    """Casts to float32 become casts to float64: norms, rotary positions, softmax and router."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        func = torch.Tensor.double if func is torch.Tensor.float else func
        args = [torch.float64 if one is torch.float32 else one for one in args]
        named = {n: torch.float64 if v is torch.float32 else v for n, v in (kwargs or {}).items()}
        return func(*args, **named)


def build(case: str) -> torch.nn.Module:
    """An untrained model with the case's settings."""
    model_type = case.partition("-")[0]
    config = transformers.CONFIG_MAPPING[model_type](**(COMMON | CASES[case]))
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    if hasattr(model.config, "num_experts_per_tok"):
        model.set_experts_implementation("eager")
    return model


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Give every parameter and selection bias a value that makes a difference."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "norm" in name:
                tensor.uniform_(0.5, 1.5)
            else:
                tensor.normal_(0.0, 0.2 if "correction_bias" in name else 0.5)


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Tokens, and those that follow them."""
    rng = np.random.default_rng(5)
    tokens_BT = rng.integers(0, N_VOCAB, (N_SEQUENCES, N_POSITIONS + 1))
    return tokens_BT[:, :-1], tokens_BT[:, 1:]


def published(model: torch.nn.Module) -> Arrays:
    """What stands in the place of a model's parameters, under published names."""
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        return load_file(Path(scratch) / "model.safetensors")


def golden(case: str, state: dict[str, torch.Tensor], exact: bool) -> Arrays:
    """What `golden.npz` holds, of a model with these weights; empty if an expert is idle."""
    with Exact() if exact else nullcontext():
        model = build(case)
        model = model.double() if exact else model
        model.load_state_dict(state)
        tokens_BT, target_BT = batch()
        logits_BTV = model(torch.tensor(tokens_BT)).logits
        torch.nn.functional.cross_entropy(
            logits_BTV.flatten(0, 1), torch.tensor(target_BT).flatten()
        ).backward()
    for parameter in model.parameters():
        parameter.data = parameter.grad
    grads = published(model)
    names = sorted(name for name in grads if "correction_bias" not in name)
    if not all(grads[name].any() for name in names if grads[name].size):
        return {}
    flat = np.concatenate([grads[name].reshape(-1) for name in names])
    logits = logits_BTV.detach().numpy()
    return {"tokens": tokens_BT, "targets": target_BT, "logits": logits, "grads": flat}


def make_case(case: str, folder: Path) -> dict[str, torch.Tensor]:
    """Write the case, with the first weights that give every expert a token; return them."""
    for seed in range(100):
        model = build(case)
        randomise(model, seed)
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        if found := golden(case, state, exact=True):
            break
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    np.savez_compressed(folder / "golden.npz", **found)
    return state


def loaded_back(folder: Path) -> float:
    """How far the library's logits of what `save_model` wrote are from the library's own."""
    with tempfile.TemporaryDirectory() as scratch:
        moe.lm.save_model(moe.lm.load_model(folder), Path(scratch) / "model")
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            Path(scratch) / "model", output_loading_info=True
        )
    assert not any(report.values()), report
    model.eval()
    if hasattr(model.config, "num_experts_per_tok"):
        model.set_experts_implementation("eager")
    with np.load(folder / "golden.npz") as stored, torch.no_grad():
        mine = model(torch.tensor(stored["tokens"])).logits.numpy()
        return relative_error(mine, stored["logits"])


def check_models() -> list[bool]:
    """Make every case again, compare both ways, and hold the committed ones against them."""
    results = []
    warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
    with tempfile.TemporaryDirectory() as scratch:
        for case in CASES:
            folder = Path(scratch) / case
            state = make_case(case, folder)
            stock = golden(case, state, exact=False)
            single = errors(moe.lm.load_model(folder), stock)
            exact = as_float64(folder, Path(scratch) / f"{case} float64")
            double = errors(exact, dict(np.load(folder / "golden.npz")))
            back = loaded_back(folder)
            ok = max(*single, back) <= 1e-4 and max(double) <= 1e-6
            if case in COMMITTED:
                with (
                    np.load(folder / "golden.npz") as new,
                    np.load(MODELS / case / "golden.npz") as old,
                ):
                    ok &= all(relative_error(new[n], old[n]) <= 1e-6 for n in ("logits", "grads"))
            results.append(bool(ok))
            print(
                f"{case:22} {'ok' if ok else 'FAILED'}: logits and gradients in float32 "
                f"{single[0]:.1e} {single[1]:.1e}, in float64 {double[0]:.1e} {double[1]:.1e}; "
                f"what save_model wrote {back:.1e}"
            )
    return results


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else MODELS
    for name in COMMITTED:
        make_case(name, root / name)
