"""Memory of a model: weights, key-value cache, and what training keeps beside them."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import check_choice, check_float, check_int
from ..settings import Settings, option
from .model import ModelConfig
from .shape import MOST

# Bytes per weight. fp8: a float32 scale per 128 x 128 block; 4 bit: a 16-bit scale per 32 weights.
WEIGHT_BYTES = {"bf16": 2.0, "fp8": 1.0 + 4 / 128**2, "4-bit": 0.5 + 2 / 32}
RECOMPUTE = ("none", "layer")
STATE_BYTES = 4.0  # linear attention's state is float32: `mamba_ssm_dtype` in published files


def weight_bytes(config: ModelConfig, precision: str = "bf16") -> float:
    """Bytes of all weights at 'bf16', 'fp8' or '4-bit', scales included.

    Raises
    ------
    ValueError
        If the precision is none of the three.
    """
    check_choice("precision", precision, WEIGHT_BYTES)
    return config.total_params * WEIGHT_BYTES[precision]


def kv_cache_bytes(
    config: ModelConfig, context: int, sequences: int = 1, bytes_per_value: float = 2
) -> float:
    """Bytes that `sequences` sequences of `context` tokens keep: keys and values, and states.

    Windows are full in sequences of any length.
    """
    check_int("context", context, 0, MOST)
    check_float("bytes_per_value", bytes_per_value, 0.0, open_low=True)
    states = state_bytes(config, sequences)
    windows = config.window_values() * bytes_per_value
    each = context * config.kv_bytes_per_token(bytes_per_value) + windows
    return sequences * each + states


def state_bytes(config: ModelConfig, sequences: int = 1) -> float:
    """Bytes of the states of fixed size that linear attention keeps, for so many sequences."""
    check_int("sequences", sequences, 0, MOST)
    return sequences * config.state_values() * STATE_BYTES


def activation_bytes_per_token(config: ModelConfig, recompute: str = "none") -> float:
    """Bytes that one token leaves for the backward pass, all layers, at 2 bytes a value.

    Counted: the input of every norm and matrix, queries, keys, values and attention's output,
    gate, up and their product in every network a token visits (up and its activation without a
    gate). Scores are never stored
    (FlashAttention). The logits of the last layer stand apart: vocabulary x 4 bytes. Layers that
    mix tokens otherwise than by attention are counted as if they had it.

    Parameters
    ----------
    recompute
        'none' keeps all that, 'layer' only each layer's input.

    Raises
    ------
    ValueError
        If it is neither.
    """
    check_choice("recompute", recompute, RECOMPUTE)
    d = config.d_model
    if recompute == "layer":
        return 2.0 * config.layers * d
    heads = config.heads * (config.qk_dim + 2 * config.v_dim)
    if config.attention == "mla":
        heads += config.q_lora + config.kv_lora + config.qk_rope + config.heads * config.qk_dim
    else:
        heads += config.kv_heads * config.head_dim
    attention = 2 * d + heads
    visited = config.top_k * config.d_ff_expert + config.shared_experts * config.d_ff_shared
    sent = config.top_k * (config.d_latent or d)
    moe = 2 * d + config.experts + sent + config.matrices * visited
    dense = 2 * d + config.matrices * config.d_ff_dense
    mixing = config.layers - sum(mixer.layers for mixer in config.mixers if not mixer.params)
    values = mixing * attention + config.moe_layers * moe + config.dense_layers * dense + 2 * d
    return 2.0 * values


@dataclass(frozen=True)
class TrainingState(Settings):
    """Bytes per parameter that training keeps; a common mixed-precision recipe by default.

    Parameters
    ----------
    weight, gradient, master, moments
        The weights that are multiplied; gradients; the optimiser's copy of the weights; Adam's two
        moments together. DeepSeek-V3 keeps weights at 1 byte and moments at 4 (two of bfloat16).
    """

    weight: float = option(2.0, low=0)
    gradient: float = option(4.0, low=0)
    master: float = option(4.0, low=0)
    moments: float = option(8.0, low=0)


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of a training, over all GPUs together.

    Attributes
    ----------
    weights, gradients, optimiser
        State, held once; data-parallel copies come on top.
    activations
        Of the tokens under way.
    """

    weights: float
    gradients: float
    optimiser: float
    activations: float

    @property
    def total(self) -> float:
        """Sum of the parts."""
        return self.weights + self.gradients + self.optimiser + self.activations


def training_memory(
    config: ModelConfig,
    tokens_under_way: int,
    state: TrainingState | None = None,
    recompute: str = "layer",
) -> TrainingMemory:
    """Bytes that training holds with `tokens_under_way` tokens between forward and backward.

    Multi-token-prediction modules train too and are counted.
    """
    check_int("tokens_under_way", tokens_under_way, 0, MOST)
    state = state or TrainingState()
    params = config.total_params + config.mtp_params
    return TrainingMemory(
        weights=params * state.weight,
        gradients=params * state.gradient,
        optimiser=params * (state.master + state.moments),
        activations=tokens_under_way * activation_bytes_per_token(config, recompute),
    )
