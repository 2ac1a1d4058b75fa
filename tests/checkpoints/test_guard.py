"""Feed-forward tensors that nobody accounts for are refused; the rest of a layer never is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import moe
from moe.checkpoints.files import open_checkpoint, write_checkpoint
from tests.lm.test_parity import MODELS
from tests.test_parity import CASES, LAYER

# First names of the parts of published layers, besides the block with the experts.
ORDINARY = [
    "self_attn.q_proj.weight", "self_attn.gate_proj.weight", "self_attn.gate.weight",
    "self_attn.indexer.wk.weight", "self_attention.experts.0.weight", "attention.dense.weight",
    "attn.wkv.weight", "linear_attn.in_proj_qkvz.weight", "linear_attn.gate.weight",
    "mamba.in_proj.weight", "mamba.A_log", "conv.in_proj.weight", "mixer.gate.weight",
    "input_layernorm.weight", "post_attention_layernorm.weight", "pre_mlp_layernorm.weight",
    "post_mlp_layernorm.weight", "pre_feedforward_layernorm_2.weight", "mlp_norm.weight",
    "ffn_norm.weight", "pre_moe_layernorm.weight", "post_feedforward_layernorm.weight",
    "operator_norm.weight", "norm.weight", "ln_1.weight", "layer_scalar", "hc_ffn_fn",
    "hc_attn_base", "ffn_hc.fn", "attn_hc.scale", "per_layer_input_gate.weight",
    "per_layer_projection.weight", "mlp_sconv.weight", "mlp_input.query", "attn_sconv.weight",
    "post_mlp_convolution.weight", "post_feedforward_residual_gate.weight", "mlp_message_gate.x",
    "post_mlp_residual_scale", "eh_proj.weight", "enorm.weight", "embed_tokens.weight",
    "self_attn.rotary_emb.inv_freq", "residual_layernorm.weight",
]  # fmt: skip
FEED_FORWARD = [
    "mlp.extra.weight", "block_sparse_moe.gate.weight", "shared_mlp.input_linear.weight",
    "shared_experts.up_proj.weight", "shared_expert.up_proj.weight", "shared_expert_gate.weight",
    "share_expert.up_proj.weight", "residual_mlp.w1.weight", "mlps.0.up_proj.weight",
    "feed_forward.w1.weight", "feedforward.w1.weight", "ffn.w1.weight", "ffn2.w1.weight",
    "moe.router.weight", "moe_gate.weight", "experts.gate_up_proj", "router.proj.weight",
    "gate.weight", "w2.weight", "fc1.weight", "up_proj.weight", "dense_mlp.up_proj.weight",
    "mlp.gate.bias", "mlp_2.up_proj.weight",
]  # fmt: skip


def with_more(folder: Path, names: Iterable[str], case: str = "qwen3_moe", layer: int = 1) -> Path:
    """The case with further tensors of a layer."""
    with open_checkpoint(CASES / case) as checkpoint:
        tensors = {n: (np.array(checkpoint.read(n)), checkpoint.dtype(n)) for n in checkpoint.names}
        more = {f"model.layers.{layer}.{n}": (np.ones((2, 3), np.float32), "F32") for n in names}
        write_checkpoint(folder, checkpoint.config, tensors | more)
    return folder


def test_the_other_parts_of_a_layer_are_left_alone(tmp_path):
    layer = moe.load_layer(with_more(tmp_path, ORDINARY), LAYER)
    assert layer == moe.load_layer(CASES / "qwen3_moe", LAYER)


@pytest.mark.parametrize("name", FEED_FORWARD)
def test_a_feed_forward_part_that_no_row_knows_is_refused(tmp_path, name):
    folder = with_more(tmp_path, [name])
    with pytest.raises(moe.CheckpointError) as caught:
        moe.load_layer(folder, LAYER)
    assert str(caught.value) == (
        f"tensor 'model.layers.1.{name}': got a tensor that config.json does not account for"
    )


def test_parts_of_other_layers_are_their_own(tmp_path):
    folder = with_more(tmp_path, FEED_FORWARD, layer=11)
    assert moe.load_layer(folder, LAYER) == moe.load_layer(CASES / "qwen3_moe", LAYER)


@pytest.mark.parametrize("model", sorted(path.name for path in MODELS.iterdir()))
def test_every_layer_of_whole_models_is_accounted_for(model):
    with open_checkpoint(MODELS / model) as checkpoint:
        names = [name for name in checkpoint.names if "layers." in name]
    for layer in moe.moe_layers(MODELS / model) if model != "qwen3" else ():
        assert any("self_attn" in name and f".{layer}." in name for name in names)
        moe.load_layer(MODELS / model, layer)
