"""Parameters of what mixes tokens where attention of one kind does not: a formula for each kind.

A formula takes the configuration of a model and returns the weights, biases and inner norms of one
layer, as the reference library builds it. D is the model's width, H heads of size S.
"""

from __future__ import annotations

from ..checkpoints.config import ConfigValues

RATES = "compress_rates"


def width_of(values: ConfigValues) -> int:
    """D."""
    return values.whole("hidden_size")


def heads_of(values: ConfigValues) -> int:
    """H."""
    return values.whole("num_attention_heads")


def head_size(values: ConfigValues) -> int:
    """S."""
    return values.whole_or("head_dim", width_of(values) // heads_of(values))


def output_gate(values: ConfigValues) -> int:
    """A gate on each channel of attention's result: a matrix D x H S."""
    return width_of(values) * heads_of(values) * head_size(values)


def biased_gate(values: ConfigValues) -> int:
    """The same with a bias for each head."""
    return output_gate(values) + heads_of(values)


def head_gate(values: ConfigValues) -> int:
    """A gate on each head of attention's result: a matrix D x H."""
    return width_of(values) * heads_of(values)


def sinks(values: ConfigValues) -> int:
    """A learned sink for each head."""
    return heads_of(values)


def indexer(values: ConfigValues) -> int:
    """DeepSeek's indexer: queries from the latent vector, one key, a weight for each head."""
    heads, size = values.whole("index_n_heads"), values.whole("index_head_dim")
    norm = 2 * size
    return values.whole("q_lora_rank") * heads * size + width_of(values) * (size + heads) + norm


def indexer_cache(values: ConfigValues) -> int:
    """Numbers that an indexer keeps for a token: one short key."""
    return values.whole("index_head_dim")


def indexer_width(values: ConfigValues) -> int:
    """Multiply-adds of an indexer for each token that a token sees."""
    return values.whole("index_n_heads") * values.whole("index_head_dim")


def block_indexer(values: ConfigValues) -> int:
    """MiniMax-M3's indexer: queries and one key of the input, and a norm of each."""
    heads, size = values.whole("index_n_heads"), values.whole("index_head_dim")
    return width_of(values) * (heads + 1) * size + 2 * size


def kimi_output_gate(values: ConfigValues) -> int:
    """Kimi-K3's gate on each channel of latent attention's result."""
    width = width_of(values) * heads_of(values) * values.whole("v_head_dim")
    return width if values.option("mla_use_output_gate") else 0


def kimi_between(values: ConfigValues, n_layers: int) -> int:
    """Kimi-K3's weights of earlier results, twice a layer and at the end; norms in latent space."""
    earlier = values.whole_or("attn_res_block_size", 0)
    count = 2 * width_of(values) * (2 * n_layers + 1) if earlier else 0
    if values.option("latent_moe_use_norm"):
        experts = max(n_layers - values.whole("first_k_dense_replace", 0), 0)
        count += experts * values.whole_or("routed_expert_hidden_size", 0)
    return count


def normed_heads(values: ConfigValues, heads: int, gate: int) -> int:
    """Attention with norms of queries and keys, and a gate of `gate` channels, of so many heads."""
    size = head_size(values)
    projections = 2 * size * (heads + values.whole("num_key_value_heads")) + gate
    return width_of(values) * projections + 2 * size


def latent(d: int, heads: int, q: int, kv: int, rope: int, nope: int, v: int) -> int:
    """Multi-head latent attention; with `q` 0 its queries are one projection."""
    width = heads * (nope + rope)
    query = d * q + q * width + q if q else d * width
    return query + d * (kv + rope) + kv + kv * heads * (nope + v) + heads * v * d


def twice_around(values: ConfigValues) -> int:
    """LongCat's other half of a layer, its two networks, and the gate's part for identity experts.

    These have a column of the gate each and a selection bias, and no matrix.
    """
    d, identity = width_of(values), values.whole("zero_expert_num", 0)
    sizes = ("q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
    attention = latent(d, heads_of(values), *map(values.whole, sizes))
    return attention + 2 * d + 6 * d * values.whole("ffn_hidden_size") + identity * (d + 1)


def latent_cache(values: ConfigValues) -> int:
    """Numbers that latent attention keeps for a token."""
    return values.whole("kv_lora_rank") + values.whole("qk_rope_head_dim")


def latent_width(values: ConfigValues) -> int:
    """Its multiply-adds for each token that a token sees."""
    sizes = ("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
    return heads_of(values) * sum(map(values.whole, sizes))


def latent_absorbed(values: ConfigValues) -> int:
    """The same on its short vectors."""
    return heads_of(values) * (values.whole("kv_lora_rank") + latent_cache(values))


def _window(values: ConfigValues) -> tuple[int, int, int, int, int]:
    """Heads and sizes of dots.note's attention to a window: H, kv, rope, nope, v."""
    heads, kv, nope, v = (
        values.whole(f"swa_{key}")
        for key in ("num_attention_heads", "kv_lora_rank", "qk_nope_head_dim", "v_head_dim")
    )
    rope = values.whole_or("swa_qk_rope_head_dim", 0)
    if not rope:
        size = values.whole("swa_head_dim")
        if nope > size:
            raise values.wrong("swa_qk_nope_head_dim", nope, f"up to swa_head_dim, here {size}")
        rope = size - nope
    return heads, kv, rope, nope, v


def window_latent(values: ConfigValues) -> int:
    """dots.note's attention to a window: latent, with a gate on each head and one more norm."""
    heads, kv, rope, nope, v = _window(values)
    d = width_of(values)
    return latent(d, heads, values.whole("swa_q_lora_rank"), kv, rope, nope, v) + d * heads + rope


def window_cache(values: ConfigValues) -> int:
    """Numbers that a layer of it keeps for a token."""
    return sum(_window(values)[1:3])


def window_width(values: ConfigValues) -> int:
    """Multiply-adds of a layer of it for each token that a token sees."""
    heads, _, rope, nope, v = _window(values)
    return heads * (rope + nope + v)


def window_absorbed(values: ConfigValues) -> int:
    """The same on its short vectors."""
    heads, kv, rope, _, _ = _window(values)
    return heads * (2 * kv + rope)


def gated_indexer(values: ConfigValues) -> int:
    """dots.note's indexer, with that gate and that norm beside it."""
    return indexer(values) + head_gate(values) + values.whole("qk_rope_head_dim")


def _compressor(values: ConfigValues, size: int, rate: int) -> int:
    """What makes one key of `rate` tokens: keys, their weights, a bias by position, a norm."""
    return 2 * width_of(values) * size + rate * size


def short_keys(values: ConfigValues) -> int:
    """DeepSeek-V4's attention to a window: one key for all heads, an output in groups, sinks."""
    d, heads, size = width_of(values), heads_of(values), values.whole("head_dim")
    q, o, groups = (values.whole(key) for key in ("q_lora_rank", "o_lora_rank", "o_groups"))
    query = d * q + q + q * heads * size
    return query + d * size + size + o * heads * size + d * groups * o + heads


def window_keys(values: ConfigValues) -> int:
    """What attention to a window keeps: one key a token, which is its value too."""
    return values.whole("sliding_window") * values.whole("head_dim")


def _many(values: ConfigValues) -> int:
    return values.whole(f"{RATES}.heavily_compressed_attention")


def _few(values: ConfigValues) -> int:
    return values.whole(f"{RATES}.compressed_sparse_attention")


def compressed(values: ConfigValues) -> int:
    """The same with keys that stand for many tokens."""
    size = values.whole("head_dim")
    return short_keys(values) + _compressor(values, size, _many(values)) + size


def compressed_cache(values: ConfigValues) -> int:
    """Numbers that a layer of it keeps for a token beside its window, rounded up."""
    return -(-values.whole("head_dim") // _many(values))


def compressed_width(values: ConfigValues) -> int:
    """Multiply-adds of a layer of it for each token that a token sees, rounded up."""
    return -(-2 * heads_of(values) * values.whole("head_dim") // _many(values))


def compressed_sparse(values: ConfigValues) -> int:
    """The same with keys that stand for few tokens, of which an indexer picks some."""
    size, rate = values.whole("head_dim"), _few(values)
    heads, index = values.whole("index_n_heads"), values.whole("index_head_dim")
    picker = _compressor(values, 2 * index, rate) + index + width_of(values) * heads
    picker += values.whole("q_lora_rank") * heads * index
    return short_keys(values) + _compressor(values, 2 * size, rate) + size + picker


def compressed_sparse_cache(values: ConfigValues) -> int:
    """Numbers that a layer of it keeps for a token beside its window: a key, and an indexer's."""
    return -(-(values.whole("head_dim") + values.whole("index_head_dim")) // _few(values))


def compressed_sparse_width(values: ConfigValues) -> int:
    """Multiply-adds of a layer of it for each token that a token sees, the indexer's among them."""
    size = 2 * heads_of(values) * values.whole("head_dim") + indexer_width(values)
    return -(-size // _few(values))


def hyper_connections(values: ConfigValues, n_layers: int) -> int:
    """DeepSeek-V4's streams: what mixes them, twice a layer and at the end."""
    streams, d = values.whole("hc_mult"), width_of(values)
    wide = (2 + streams) * streams
    end = streams * streams * d + streams + 1
    return 2 * n_layers * (wide * (streams * d + 1) + 3) + end


def plain_connections(values: ConfigValues, n_layers: int) -> int:
    """Hunyuan 4's streams: what reads them and writes to them, twice a layer, and at the end."""
    streams, d = values.whole("hc_mult"), width_of(values)
    return 2 * n_layers * (2 * streams * (streams * d + 1) + 2) + streams * (streams * d + 1) + 1


def gated_residual(values: ConfigValues, n_layers: int) -> int:
    """Qwen4's streams: what mixes them, twice a layer and at the end, in place of all norms."""
    streams, d, thin = values.whole("hc_count"), width_of(values), values.whole("hc_lowrank")
    mixed = streams * d * (1 + 2 * thin)
    return (2 * n_layers + 1) * mixed + 2 * n_layers * streams * streams * d - d


def gated_qsa(values: ConfigValues) -> int:
    """Qwen4's indexer, where its sizes are there, beside the gate on attention's result."""
    sizes = [values.whole_or(f"indexer_{key}", 0) for key in ("n_heads", "kv_heads", "head_dim")]
    picker = width_of(values) * (sizes[0] + sizes[1]) * sizes[2] + 2 * sizes[2]
    return output_gate(values) + picker


def gated_qsa_cache(values: ConfigValues) -> int:
    """Numbers that its indexer keeps for a token."""
    return values.whole_or("indexer_kv_heads", 0) * values.whole_or("indexer_head_dim", 0)


def gated_qsa_width(values: ConfigValues) -> int:
    """Multiply-adds of its indexer for each token that a token sees."""
    return values.whole_or("indexer_n_heads", 0) * values.whole_or("indexer_head_dim", 0)


def narrow_values(values: ConfigValues, times: int) -> int:
    """MiMo's attention: values narrower than keys, `times` the key heads."""
    heads, kv = heads_of(values), times * values.whole("num_key_value_heads")
    size, v_size = values.whole("head_dim"), values.whole("v_head_dim")
    return width_of(values) * (heads + kv) * (size + v_size)


def narrow_cache(values: ConfigValues, times: int) -> int:
    """Numbers that a layer of it keeps for a token."""
    sizes = values.whole("head_dim") + values.whole("v_head_dim")
    return times * values.whole("num_key_value_heads") * sizes


def narrow_width(values: ConfigValues) -> int:
    """Multiply-adds of a layer of it for each token that a token sees."""
    return heads_of(values) * (values.whole("head_dim") + values.whole("v_head_dim"))


def _gemma_sizes(values: ConfigValues, everywhere: bool) -> tuple[int, int]:
    """Key heads and size of a head in Gemma 4's layers, of which some see all of the text."""
    kv = values.whole("num_key_value_heads")
    if not everywhere:
        return kv, values.whole("head_dim")
    if values.option("attention_k_eq_v"):
        kv = values.whole_or("num_global_key_value_heads", kv)
    return kv, values.whole("global_head_dim")


def gemma(values: ConfigValues, everywhere: bool) -> int:
    """Gemma 4's attention with experts: keys may be the values where it sees all of the text."""
    values.choice("hidden_size_per_layer_input", (0,))
    values.choice("num_kv_shared_layers", (0,))
    values.choice("enable_moe_block", (True,))
    values.choice("per_layer_config", (None,))  # files that the library wrote
    kv, size = _gemma_sizes(values, everywhere)
    twice = 1 if everywhere and values.option("attention_k_eq_v") else 2
    return width_of(values) * size * (2 * heads_of(values) + twice * kv) + 2 * size


def gemma_cache(values: ConfigValues, everywhere: bool) -> int:
    """Numbers that a layer of it keeps for a token; keys are normed and turned, values are not."""
    kv, size = _gemma_sizes(values, everywhere)
    return 2 * kv * size


def gemma_width(values: ConfigValues, everywhere: bool) -> int:
    """Multiply-adds of a layer of it for each token that a token sees."""
    return 2 * heads_of(values) * _gemma_sizes(values, everywhere)[1]


def nothing(values: ConfigValues) -> int:
    """No mixing at all: the layer is a feed-forward network alone."""
    return 0
