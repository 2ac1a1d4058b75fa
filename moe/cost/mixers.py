"""Parameters of what mixes tokens where attention of one kind does not: a formula for each kind.

A formula takes the configuration of a model and returns the weights, biases and inner norms of one
layer, as the reference library builds it. D is the model's width, H heads of size S.
"""

from __future__ import annotations

from ..checkpoints.config import ConfigValues

RATES = "compress_rates"


def _d(values: ConfigValues) -> int:
    return values.whole("hidden_size")


def _heads(values: ConfigValues) -> int:
    return values.whole("num_attention_heads")


def _head_dim(values: ConfigValues) -> int:
    return values.whole_or("head_dim", _d(values) // _heads(values))


def output_gate(values: ConfigValues) -> int:
    """A gate on each channel of attention's result: a matrix D x H S."""
    return _d(values) * _heads(values) * _head_dim(values)


def biased_gate(values: ConfigValues) -> int:
    """The same with a bias for each head."""
    return output_gate(values) + _heads(values)


def head_gate(values: ConfigValues) -> int:
    """A gate on each head of attention's result: a matrix D x H."""
    return _d(values) * _heads(values)


def sinks(values: ConfigValues) -> int:
    """A learned sink for each head."""
    return _heads(values)


def indexer(values: ConfigValues) -> int:
    """DeepSeek's indexer: queries from the latent vector, one key, a weight for each head."""
    heads, size = values.whole("index_n_heads"), values.whole("index_head_dim")
    norm = 2 * size
    return values.whole("q_lora_rank") * heads * size + _d(values) * (size + heads) + norm


def gated_delta(values: ConfigValues) -> int:
    """Gated DeltaNet: queries and keys of some heads, values and output gates of others."""
    keys = values.whole("linear_num_key_heads") * values.whole("linear_key_head_dim")
    heads, size = values.whole("linear_num_value_heads"), values.whole("linear_value_head_dim")
    inner, kernel = heads * size, values.whole("linear_conv_kernel_dim")
    projections = _d(values) * (2 * keys + 2 * inner + 2 * heads) + inner * _d(values)
    convolution = (2 * keys + inner) * kernel
    return projections + convolution + 2 * heads + size  # decay and its bias, and a norm


def _delta(values: ConfigValues, heads: int, size: int, kernel: int, gate: int) -> int:
    """Kimi's delta attention but for the matrices of its two gates, which have `gate` weights."""
    inner = heads * size
    projections = 4 * _d(values) * inner + _d(values) * heads  # q, k, v, output; step size
    return projections + 3 * inner * kernel + inner + heads + size + 2 * gate


def kimi_delta(values: ConfigValues) -> int:
    """Kimi's delta attention; both gates are products of two thin matrices."""
    part = "linear_attn_config"
    heads = values.whole_or(f"{part}.num_heads", values.whole("linear_num_heads"))
    size = values.whole_or(f"{part}.head_dim", values.whole("linear_head_dim"))
    usual = values.whole("linear_conv_kernel_dim")
    kernel = values.whole_or(f"{part}.short_conv_kernel_size", usual)
    return _delta(values, heads, size, kernel, (_d(values) + heads * size) * size)


def ling_delta(values: ConfigValues) -> int:
    """Ling's form of it, whose gates are whole matrices."""
    # The library overwrites `head_dim` in the files that it writes, and keeps these beside it.
    heads = values.whole_or("linear_num_heads", _heads(values))
    size = values.whole_or("linear_head_dim", values.whole("head_dim"))
    kernel = values.whole_or("linear_conv_kernel_dim", values.whole("short_conv_kernel_size"))
    return _delta(values, heads, size, kernel, _d(values) * heads * size)


def lightning(values: ConfigValues) -> int:
    """Lightning attention: queries, keys, values, an output gate, and a norm of the result."""
    inner = _heads(values) * _head_dim(values)
    return 5 * _d(values) * inner + inner


def mamba(values: ConfigValues) -> int:
    """Mamba as in Jamba, with norms of the step size and of both maps of the state."""
    d, state, kernel = _d(values), values.whole("mamba_d_state"), values.whole("mamba_d_conv")
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


def granite_mamba(values: ConfigValues) -> int:
    """Mamba-2 under Granite's keys."""
    d, heads = _d(values), values.whole("mamba_n_heads")
    size = values.whole_unless("mamba_d_head", "auto", values.whole("mamba_expand") * d // heads)
    biases = (bool(values.option("mamba_conv_bias")), bool(values.option("mamba_proj_bias")))
    groups, state = values.whole("mamba_n_groups"), values.whole("mamba_d_state")
    return _mamba2(d, heads, size, groups, state, values.whole("mamba_d_conv"), biases)


def nemotron_mamba(values: ConfigValues) -> int:
    """Mamba-2 under Nemotron's keys."""
    heads, size = values.whole("mamba_num_heads"), values.whole("mamba_head_dim")
    biases = (bool(values.option("use_conv_bias")), bool(values.option("use_bias")))
    groups, state = values.whole("n_groups"), values.whole("ssm_state_size")
    kernel = values.whole("conv_kernel")
    return _mamba2(_d(values), heads, size, groups, state, kernel, biases)


def short_convolution(values: ConfigValues) -> int:
    """LFM2's gated short convolution: three channels in, a kernel for each, one channel out."""
    d = _d(values)
    bias = 5 * d if values.option("conv_bias") else 0
    return 4 * d * d + d * values.whole("conv_L_cache") + bias


def normed_heads(values: ConfigValues, heads: int, gate: int) -> int:
    """Attention with norms of queries and keys, and a gate of `gate` channels, of so many heads."""
    size = _head_dim(values)
    projections = 2 * size * (heads + values.whole("num_key_value_heads")) + gate
    return _d(values) * projections + 2 * size


def latent(d: int, heads: int, q: int, kv: int, rope: int, nope: int, v: int) -> int:
    """Multi-head latent attention; with `q` 0 its queries are one projection."""
    width = heads * (nope + rope)
    query = d * q + q * width + q if q else d * width
    return query + d * (kv + rope) + kv + kv * heads * (nope + v) + heads * v * d


def twice_around(values: ConfigValues) -> int:
    """LongCat's other half of a layer, its two networks, and the gate's part for identity experts.

    These have a column of the gate each and a selection bias, and no matrix.
    """
    d, identity = _d(values), values.whole("zero_expert_num", 0)
    sizes = ("q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
    attention = latent(d, _heads(values), *map(values.whole, sizes))
    return attention + 2 * d + 6 * d * values.whole("ffn_hidden_size") + identity * (d + 1)


def _window(values: ConfigValues) -> tuple[int, int, int, int, int]:
    """Heads and sizes of dots.note's attention to a window: H, kv, rope, nope, v."""
    heads, kv, nope, v = (
        values.whole(f"swa_{key}")
        for key in ("num_attention_heads", "kv_lora_rank", "qk_nope_head_dim", "v_head_dim")
    )
    rope = values.whole_or("swa_qk_rope_head_dim", values.whole("swa_head_dim") - nope)
    return heads, kv, rope, nope, v


def window_latent(values: ConfigValues) -> int:
    """dots.note's attention to a window: latent, with a gate on each head and one more norm."""
    heads, kv, rope, nope, v = _window(values)
    d = _d(values)
    return latent(d, heads, values.whole("swa_q_lora_rank"), kv, rope, nope, v) + d * heads + rope


def window_cache(values: ConfigValues) -> int:
    """Numbers that a layer of it keeps for a token."""
    return sum(_window(values)[1:3])


def window_width(values: ConfigValues) -> int:
    """Multiply-adds of a layer of it for each token that a token sees."""
    heads, _, rope, nope, v = _window(values)
    return heads * (rope + nope + v)


def gated_indexer(values: ConfigValues) -> int:
    """dots.note's indexer, with that gate and that norm beside it."""
    return indexer(values) + head_gate(values) + values.whole("qk_rope_head_dim")


def _compressor(values: ConfigValues, size: int, rate: int) -> int:
    """What makes one key of `rate` tokens: keys, their weights, a bias by position, a norm."""
    return 2 * _d(values) * size + rate * size


def short_keys(values: ConfigValues) -> int:
    """DeepSeek-V4's attention to a window: one key for all heads, an output in groups, sinks."""
    d, heads, size = _d(values), _heads(values), values.whole("head_dim")
    q, o, groups = (values.whole(key) for key in ("q_lora_rank", "o_lora_rank", "o_groups"))
    query = d * q + q + q * heads * size
    return query + d * size + size + o * heads * size + d * groups * o + heads


def compressed(values: ConfigValues) -> int:
    """The same with keys that stand for many tokens."""
    size, rate = values.whole("head_dim"), values.whole(f"{RATES}.heavily_compressed_attention")
    return short_keys(values) + _compressor(values, size, rate) + size


def compressed_sparse(values: ConfigValues) -> int:
    """The same with keys that stand for few tokens, of which an indexer picks some."""
    size, rate = values.whole("head_dim"), values.whole(f"{RATES}.compressed_sparse_attention")
    heads, index = values.whole("index_n_heads"), values.whole("index_head_dim")
    picker = _compressor(values, 2 * index, rate) + index + _d(values) * heads
    picker += values.whole("q_lora_rank") * heads * index
    return short_keys(values) + _compressor(values, 2 * size, rate) + size + picker


def hyper_connections(values: ConfigValues, n_layers: int) -> int:
    """DeepSeek-V4's streams: what mixes them, twice a layer and at the end."""
    streams, d = values.whole("hc_mult"), _d(values)
    wide = (2 + streams) * streams
    end = streams * streams * d + streams + 1
    return 2 * n_layers * (wide * (streams * d + 1) + 3) + end


def plain_connections(values: ConfigValues, n_layers: int) -> int:
    """Hunyuan 4's streams: what reads them and writes to them, twice a layer, and at the end."""
    streams, d = values.whole("hc_mult"), _d(values)
    return 2 * n_layers * (2 * streams * (streams * d + 1) + 2) + streams * (streams * d + 1) + 1


def gated_residual(values: ConfigValues, n_layers: int) -> int:
    """Qwen4's streams: what mixes them, twice a layer and at the end, in place of all norms."""
    streams, d, thin = values.whole("hc_count"), _d(values), values.whole("hc_lowrank")
    mixed = streams * d * (1 + 2 * thin)
    return (2 * n_layers + 1) * mixed + 2 * n_layers * streams * streams * d - d


def gated_qsa(values: ConfigValues) -> int:
    """Qwen4's indexer, where its sizes are there, beside the gate on attention's result."""
    sizes = [values.whole_or(f"indexer_{key}", 0) for key in ("n_heads", "kv_heads", "head_dim")]
    picker = _d(values) * (sizes[0] + sizes[1]) * sizes[2] + 2 * sizes[2]
    return output_gate(values) + picker


def narrow_values(values: ConfigValues, times: int) -> int:
    """MiMo's attention: values narrower than keys, `times` the key heads."""
    heads, kv = _heads(values), times * values.whole("num_key_value_heads")
    size, v_size = values.whole("head_dim"), values.whole("v_head_dim")
    return _d(values) * (heads + kv) * (size + v_size)


def narrow_cache(values: ConfigValues, times: int) -> int:
    """Numbers that a layer of it keeps for a token."""
    sizes = values.whole("head_dim") + values.whole("v_head_dim")
    return times * values.whole("num_key_value_heads") * sizes


def narrow_width(values: ConfigValues) -> int:
    """Multiply-adds of a layer of it for each token that a token sees."""
    return _heads(values) * (values.whole("head_dim") + values.whole("v_head_dim"))


def nothing(values: ConfigValues) -> int:
    """No mixing at all: the layer is a feed-forward network alone."""
    return 0
