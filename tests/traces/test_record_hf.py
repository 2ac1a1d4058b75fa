"""`moe trace` of the reference library's models equals what their routers return."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from moe import CheckpointError
from moe.traces import load_trace

pytestmark = pytest.mark.parity

SIZE = {
    "vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FAMILIES = {
    "mixtral": {"num_local_experts": 8, "num_experts_per_tok": 2},
    "qwen3_moe": {
        "num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 16, "head_dim": 8,
    },
    "deepseek_v3": {
        "n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 16, "n_group": 4,
        "topk_group": 2, "first_k_dense_replace": 1, "q_lora_rank": 16, "kv_lora_rank": 16,
        "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "num_key_value_heads": 4,
    },
    "gpt_oss": {
        "num_local_experts": 8, "num_experts_per_tok": 2, "head_dim": 8, "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
    "olmoe": {"num_experts": 8, "num_experts_per_tok": 4},
    "minimax_m2": {"num_local_experts": 8, "num_experts_per_tok": 2, "head_dim": 8},
    "phimoe": {"num_local_experts": 8, "num_experts_per_tok": 2},
    "llama4_text": {
        "num_local_experts": 4, "num_experts_per_tok": 1, "head_dim": 8,
        "intermediate_size_mlp": 48, "interleave_moe_layer_step": 1,
    },
}  # fmt: skip
TEXTS = {"prose": "The cat sat on the mat. " * 4, "code": "for i in range(9):\n    pass\n"}


def tiny(family: str):
    """A random model with a text model's vocabulary of 97 ids."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **(SIZE | FAMILIES[family]))
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, values in [*model.named_parameters(), *model.named_buffers()]:
            if "e_score_correction_bias" in name:
                values.copy_(torch.randn(values.shape) * 0.2)
            elif values.ndim >= 2:
                values.copy_(torch.randn(values.shape) * 0.3)
    return model.eval()


def truth(model, text: str) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Experts, weights and logits of every router on a text's bytes, by calling it by itself."""
    import torch

    given = {}
    names = [n for n, _ in model.named_modules() if n.split(".")[-1] in ("gate", "router")]
    for name in names:
        module = model.get_submodule(name)
        module.register_forward_pre_hook(
            lambda _, inputs, name=name: given.setdefault(name, []).append(inputs) and None
        )
    ids = torch.tensor([[byte % 97 for byte in text.encode()]])
    said = {}
    with torch.no_grad():
        for low in range(0, ids.shape[1], 50):
            model(ids[:, low : low + 50])
        for name in names:
            outputs = [model.get_submodule(name).forward(*inputs) for inputs in given[name]]
            said[name] = tuple(
                torch.cat(parts).float().numpy() for parts in zip(*outputs, strict=True)
            )
    return said


def assert_equals_reference(trace, model) -> None:
    start = 0
    for label, (domain, text) in enumerate(TEXTS.items()):
        said = truth(model, text)
        own = slice(start, start + len(text))
        start += len(text)
        assert trace.domains[label] == domain
        assert (trace.domain_N[own] == label).all()
        assert len(said) == trace.n_layers
        for index, outputs in enumerate(said.values()):
            if len(outputs) == 2:  # Llama 4: scores, logits
                scores, logits = outputs
                dense = scores
            else:
                logits, weights, experts = outputs
                dense = np.zeros_like(logits)
                np.put_along_axis(dense, experts.astype(np.int64), weights, axis=1)
            mine = np.zeros_like(logits)
            chosen = trace.expert_LNK[index, own].astype(np.int64)
            np.put_along_axis(mine, chosen, trace.weight_LNK[index, own], axis=1)
            assert np.abs(mine - dense).max() <= 1e-6
            assert ((mine > 0) == (dense > 0)).all()
            assert np.abs(trace.logits_LNE[index, own] - logits).max() <= 1e-5
            assert (np.diff(trace.weight_LNK[index, own], axis=1) <= 0).all()


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe", "deepseek_v3", "gpt_oss"])
def test_moe_trace_equals_the_reference_librarys_routers(
    family: str, tmp_path: Path, texts: Path
) -> None:
    model = tiny(family)
    model.save_pretrained(tmp_path / family)
    done = subprocess.run(
        [sys.executable, "-m", "moe", "trace", "--model", str(tmp_path / family), "--json",
         "--text", str(texts / "prose.txt"), "--text", str(texts / "code.txt"),
         "--context", "50", "--out", str(tmp_path / "out.npz")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    trace = load_trace(tmp_path / "out.npz")
    assert said["n_experts"] == trace.n_experts == 8
    assert trace.layers == ((1, 2) if family == "deepseek_v3" else (0, 1, 2))
    assert "modulo 97" in said["notes"][0]
    assert trace.token_ids_N[:3].tolist() == [ord("T"), 104 % 97, 101 % 97]
    assert_equals_reference(trace, model)


@pytest.mark.parametrize("family", ["olmoe", "minimax_m2", "phimoe", "llama4_text"])
def test_routers_of_other_forms_are_recognised(family: str) -> None:
    from moe.traces.record_hf import record_module

    model = tiny(family)
    ids = [np.array([byte % 97 for byte in text.encode()]) for text in TEXTS.values()]
    trace = record_module(model.base_model, ids, context=50, domains=tuple(TEXTS))
    assert_equals_reference(trace, model)
    assert not any(part._forward_hooks for part in model.modules())


def test_router_outputs_are_told_apart_in_any_order() -> None:
    import itertools

    import torch

    from moe.traces.record_hf import router_output

    logits = torch.randn(5, 4)
    weights, experts = torch.softmax(logits, 1).topk(2, sorted=False)
    for parts in itertools.permutations((logits, weights, experts)):
        said = router_output(parts)
        assert said is not None
        assert (said.logits_NE == logits.numpy()).all()
        assert (said.expert_NK == logits.topk(2)[1].numpy()).all()
        assert (np.diff(said.weight_NK, axis=1) <= 0).all()
    for other in (
        logits, (logits,), (logits, weights), (logits, logits), (weights, experts),
        (logits, weights, experts + 3), (logits[:4], weights, experts), (logits[None], weights),
    ):  # fmt: skip
        assert router_output(other) is None


def test_logits_are_those_of_output_router_logits() -> None:
    import torch

    from moe.traces.record_hf import record_module

    model = tiny("mixtral")
    ids = np.arange(40) % 97
    trace = record_module(model.base_model, [ids])
    with torch.no_grad():
        out = model(torch.from_numpy(ids[None]), output_router_logits=True)
    for mine, theirs in zip(trace.logits_LNE, out.router_logits, strict=True):
        assert np.abs(mine - theirs.numpy()).max() <= 1e-5


def test_a_tokenizer_in_the_folder_is_used(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from moe.data.documents import Document
    from moe.traces.record_hf import record_hf

    tiny("mixtral").save_pretrained(tmp_path)
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "cat": 5, "mat": 6}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path)
    recorded = record_hf(tmp_path, [Document("a", b"cat mat dog cat")])
    assert recorded.trace.tokens == ("cat", "mat", "[UNK]", "cat")
    assert recorded.trace.token_ids_N.tolist() == [5, 6, 0, 5]
    assert not recorded.notes


def test_what_cannot_be_recorded_is_said_in_one_line(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    from moe.data.documents import Document
    from moe.traces.record_hf import record_hf

    text = [Document("a", b"some text")]
    with pytest.raises(CheckpointError, match="nothing is downloaded"):
        record_hf("someone/no-such-model", text)
    with pytest.raises(CheckpointError, match="a folder that exists"):
        record_hf(tmp_path / "none", text)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="model: got"):
        record_hf(tmp_path, text)
    LlamaForCausalLM(LlamaConfig(**SIZE)).save_pretrained(tmp_path / "dense")
    with pytest.raises(CheckpointError, match="without a router"):
        record_hf(tmp_path / "dense", text)
