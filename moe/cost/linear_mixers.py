"""Parameters and states of linear attention and the like: a formula for each kind.

A formula takes the configuration of a model and returns the weights, biases and inner norms of one
layer, as the reference library builds it, or the numbers of the state that it keeps for a sequence.
"""

from __future__ import annotations

from ..checkpoints.config import ConfigValues
from .mixers import head_size, heads_of, width_of


def gated_delta(values: ConfigValues) -> int:
    """Gated DeltaNet: queries and keys of some heads, values and output gates of others."""
    keys = values.whole("linear_num_key_heads") * values.whole("linear_key_head_dim")
    heads, size = values.whole("linear_num_value_heads"), values.whole("linear_value_head_dim")
    inner, kernel = heads * size, values.whole("linear_conv_kernel_dim")
    projections = width_of(values) * (2 * keys + 2 * inner + 2 * heads) + inner * width_of(values)
    convolution = (2 * keys + inner) * kernel
    return projections + convolution + 2 * heads + size  # decay and its bias, and a norm


def gated_delta_state(values: ConfigValues) -> int:
    """Its state, a matrix for each head of values, and what its convolution has to remember."""
    keys, heads = values.whole("linear_key_head_dim"), values.whole("linear_num_value_heads")
    inner = heads * values.whole("linear_value_head_dim")
    mixed = 2 * keys * values.whole("linear_num_key_heads") + inner
    return keys * inner + mixed * (values.whole("linear_conv_kernel_dim") - 1)


def _delta(values: ConfigValues, heads: int, size: int, kernel: int, gates: int) -> int:
    """Kimi's delta attention whose two gates have so many weights."""
    inner = heads * size
    projections = width_of(values) * (4 * inner + heads)  # q, k, v, output; step size
    return projections + 3 * inner * kernel + inner + heads + size + gates


def _delta_state(heads: int, size: int, kernel: int) -> int:
    """A matrix for each head, and what the three convolutions have to remember."""
    return heads * size * (size + 3 * (kernel - 1))


def _kimi_sizes(values: ConfigValues) -> tuple[int, int, int]:
    part = "linear_attn_config"
    usual = values.whole("linear_conv_kernel_dim")
    return (
        values.whole_or(f"{part}.num_heads", values.whole("linear_num_heads")),
        values.whole_or(f"{part}.head_dim", values.whole("linear_head_dim")),
        values.whole_or(f"{part}.short_conv_kernel_size", usual),
    )


def kimi_delta(values: ConfigValues) -> int:
    """Kimi's delta attention; gates are products of two thin matrices, K3's second one is whole."""
    heads, size, kernel = _kimi_sizes(values)
    thin, whole = (width_of(values) + heads * size) * size, width_of(values) * heads * size
    second = whole if values.option("linear_attn_config.use_full_rank_gate") else thin
    return _delta(values, heads, size, kernel, thin + second)


def kimi_delta_state(values: ConfigValues) -> int:
    """Its state."""
    return _delta_state(*_kimi_sizes(values))


def _ling_sizes(values: ConfigValues) -> tuple[int, int, int]:
    # The library overwrites `head_dim` in the files that it writes, and keeps these beside it.
    return (
        values.whole_or("linear_num_heads", heads_of(values)),
        values.whole_or("linear_head_dim", values.whole("head_dim")),
        values.whole_or("linear_conv_kernel_dim", values.whole("short_conv_kernel_size")),
    )


def ling_delta(values: ConfigValues) -> int:
    """Ling's form of it, whose gates are whole matrices."""
    heads, size, kernel = _ling_sizes(values)
    return _delta(values, heads, size, kernel, 2 * width_of(values) * heads * size)


def ling_delta_state(values: ConfigValues) -> int:
    """Its state."""
    return _delta_state(*_ling_sizes(values))


def lightning(values: ConfigValues) -> int:
    """Lightning attention: queries, keys, values, an output gate, and a norm of the result."""
    inner = heads_of(values) * head_size(values)
    return 5 * width_of(values) * inner + inner


def lightning_state(values: ConfigValues) -> int:
    """Its state: a matrix for each head."""
    return heads_of(values) * head_size(values) ** 2


def mamba(values: ConfigValues) -> int:
    """Mamba as in Jamba, with norms of the step size and of both maps of the state."""
    d, state, kernel = width_of(values), values.whole("mamba_d_state"), values.whole("mamba_d_conv")
    inner = values.whole("mamba_expand") * d
    rank = values.whole_unless("mamba_dt_rank", "auto", -(-d // 16))
    count = 2 * d * inner + inner * (rank + 2 * state) + rank * inner + inner * d
    count += inner * kernel + inner * state + 2 * inner  # convolution, decay, skip, bias of steps
    count += rank + 2 * state
    if values.option("mamba_conv_bias"):
        count += inner
    if values.option("mamba_proj_bias"):
        count += 2 * inner + d
    return count


def mamba_state(values: ConfigValues) -> int:
    """Its state, and what its convolution has to remember."""
    inner = values.whole("mamba_expand") * width_of(values)
    return inner * (values.whole("mamba_d_state") + values.whole("mamba_d_conv") - 1)


def _mamba2_state(heads: int, size: int, groups: int, state: int, kernel: int) -> int:
    return heads * size * state + (heads * size + 2 * groups * state) * (kernel - 1)


def _mamba2(
    d: int, heads: int, size: int, groups: int, state: int, kernel: int, biases: tuple[bool, bool]
) -> int:
    """Mamba-2; `biases` says whether the convolution and the projections have one."""
    inner = heads * size
    mixed = inner + 2 * groups * state
    into = inner + mixed + heads
    convolution = mixed * (kernel + biases[0])
    projections = d * into + inner * d + biases[1] * (into + d)
    return projections + convolution + 3 * heads + inner  # decay, skip, bias of steps; a norm


def _granite_sizes(values: ConfigValues) -> tuple[int, int, int, int, int]:
    d, heads = width_of(values), values.whole("mamba_n_heads")
    size = values.whole_unless("mamba_d_head", "auto", values.whole("mamba_expand") * d // heads)
    groups, state = values.whole("mamba_n_groups"), values.whole("mamba_d_state")
    return heads, size, groups, state, values.whole("mamba_d_conv")


def granite_mamba(values: ConfigValues) -> int:
    """Mamba-2 under Granite's keys."""
    biases = (bool(values.option("mamba_conv_bias")), bool(values.option("mamba_proj_bias")))
    return _mamba2(width_of(values), *_granite_sizes(values), biases)


def granite_mamba_state(values: ConfigValues) -> int:
    """Its state, and what its convolution has to remember."""
    return _mamba2_state(*_granite_sizes(values))


def _nemotron_sizes(values: ConfigValues) -> tuple[int, int, int, int, int]:
    heads, size = values.whole("mamba_num_heads"), values.whole("mamba_head_dim")
    groups, state = values.whole("n_groups"), values.whole("ssm_state_size")
    return heads, size, groups, state, values.whole("conv_kernel")


def nemotron_mamba(values: ConfigValues) -> int:
    """Mamba-2 under Nemotron's keys."""
    biases = (bool(values.option("use_conv_bias")), bool(values.option("use_bias")))
    return _mamba2(width_of(values), *_nemotron_sizes(values), biases)


def nemotron_mamba_state(values: ConfigValues) -> int:
    """Its state, and what its convolution has to remember."""
    return _mamba2_state(*_nemotron_sizes(values))


def short_convolution(values: ConfigValues) -> int:
    """LFM2's gated short convolution: three channels in, a kernel for each, one channel out."""
    d = width_of(values)
    bias = 5 * d if values.option("conv_bias") else 0
    return 4 * d * d + d * values.whole("conv_L_cache") + bias


def short_convolution_state(values: ConfigValues) -> int:
    """What it has to remember."""
    return width_of(values) * (values.whole("conv_L_cache") - 1)
