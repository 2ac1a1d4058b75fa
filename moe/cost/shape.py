"""The shape of a language model: sizes, from which every figure is computed."""

from __future__ import annotations

from dataclasses import dataclass

from ..checkpoints.families import FAMILIES
from ..errors import check_choice, check_int

MOST = 10**15  # tokens, sequences and machines: a float still tells one more or less
ATTENTIONS = ("mha", "gqa", "mla")
LATENT = ("kv_lora", "qk_rope", "qk_nope", "v_head")


@dataclass(frozen=True)
class Mixer:
    """Layers that mix tokens otherwise than by the model's attention, or a part beside it.

    Attributes
    ----------
    title
        What they have, for sentences; '' if its matrices are all of its cost.
    layers, params
        How many layers, and the weights, biases and inner norms of one.
    cache, width
        What one keeps for a token, in numbers, and its multiply-adds for each token that a token
        sees; 0 where it keeps a state of fixed size.
    state, window
        Numbers of that state, for a sequence; numbers of the keys and values in a window, which
        are cache of the same size for a sequence of any length.
    absorbed
        Multiply-adds for each token that a token sees where latent attention works on its short
        vectors, as in decoding; 0 where that is `width`.
    beside
        Whether the layers have the model's attention too.
    """

    title: str
    layers: int
    params: int
    cache: int = 0
    width: int = 0
    state: int = 0
    window: int = 0
    absorbed: int = 0
    beside: bool = False

    def __post_init__(self) -> None:
        for name in ("layers", "params", "cache", "width", "state", "window", "absorbed"):
            check_int(name, getattr(self, name), 0)


@dataclass(frozen=True)
class Shape:
    """Shape of a decoder-only model, dense or mixture of experts.

    Parameters
    ----------
    name, model_type
        Its name, and the architecture by its name in config.json (see `FAMILIES`).
    layers, dense_layers
        All layers, and those among them without experts.
    d_model, d_ff_dense, d_ff_expert
        Widths: model, dense feed-forward networks, one routed expert. Each has three matrices.
    experts, shared_experts, d_ff_shared, top_k
        Routed experts a layer, shared ones, the width of each shared one, experts per token.
    n_group, topk_group
        Groups of experts and how many a token may use.
    attention, heads, kv_heads, head_dim
        'mha', 'gqa' or 'mla'; query heads, key and value heads, size of a head.
    q_lora, kv_lora, qk_rope, qk_nope, v_head
        Sizes of multi-head latent attention; `q_lora` 0 means a plain query projection.
    vocab, tied
        Entries of the vocabulary; whether the output matrix is the input table.
    mtp_layers
        Multi-token-prediction modules; no total counts them.
    kv_share
        Neighbouring layers that share one pair of keys and values (cross-layer attention): the
        first computes and keeps them, the others have queries only.
    mixers
        What mixes tokens instead of attention, or beside it.
    bare_layers, layer_norms, matrices
        Layers without a feed-forward network; norms of a layer; matrices of a network, 2 without
        a gate.
    other
        Weights of what stands between layers, such as wider residual streams.
    d_latent
        Width of what routed experts get and give, 0 if it is the model's; else two matrices a
        layer lead there and back.
    """

    name: str
    model_type: str
    layers: int
    dense_layers: int
    d_model: int
    d_ff_dense: int
    d_ff_expert: int
    experts: int
    shared_experts: int
    d_ff_shared: int
    top_k: int
    heads: int
    kv_heads: int
    vocab: int
    head_dim: int = 0
    attention: str = "gqa"
    n_group: int = 0
    topk_group: int = 0
    q_lora: int = 0
    kv_lora: int = 0
    qk_rope: int = 0
    qk_nope: int = 0
    v_head: int = 0
    tied: bool = False
    mtp_layers: int = 0
    kv_share: int = 1
    mixers: tuple[Mixer, ...] = ()
    bare_layers: int = 0
    layer_norms: int = 2
    matrices: int = 3
    d_latent: int = 0
    other: int = 0

    def __post_init__(self) -> None:
        check_choice("model_type", self.model_type, FAMILIES)
        check_choice("attention", self.attention, ATTENTIONS)
        check_int("layers", self.layers, 1)
        of_all = f"layers is {self.layers}"
        check_int("bare_layers", self.bare_layers, 0, self.layers, of_all)
        check_int("dense_layers", self.dense_layers, 0, self.layers - self.bare_layers, of_all)
        check_int("mixers", self.layers - self.attention_layers, 0, self.layers, of_all)
        check_int("layer_norms", self.layer_norms, 0)
        check_int("matrices", self.matrices, 2, 3)
        check_int("d_latent", self.d_latent, 0)
        check_int("other", self.other, 0)
        for name in ("d_model", "heads", "kv_heads", "vocab"):
            check_int(name, getattr(self, name), 1)
        if self.attention == "mla":
            check_int("q_lora", self.q_lora, 0)
            for name in LATENT:  # without rotary positions in some
                check_int(name, getattr(self, name), int(name != "qk_rope"))
        else:
            check_int("head_dim", self.head_dim, 1)
            check_int("kv_heads", self.kv_heads, 1, self.heads, f"heads is {self.heads}")
        if self.dense_layers:
            check_int("d_ff_dense", self.d_ff_dense, 1)
        check_int("experts", self.experts, 1 if self.moe_layers else 0)
        check_int("top_k", self.top_k, 1 if self.moe_layers else 0, self.experts or None)
        check_int("d_ff_expert", self.d_ff_expert, 1 if self.moe_layers else 0)
        check_int("shared_experts", self.shared_experts, 0)
        check_int("d_ff_shared", self.d_ff_shared, 1 if self.shared_experts else 0)
        check_int("mtp_layers", self.mtp_layers, 0)
        check_int("kv_share", self.kv_share, 1, 1 if self.attention == "mla" else None)

    @property
    def moe_layers(self) -> int:
        """Layers with experts."""
        return self.layers - self.bare_layers - self.dense_layers

    @property
    def attention_layers(self) -> int:
        """Layers with the model's attention."""
        return self.layers - sum(mixer.layers for mixer in self.mixers if not mixer.beside)

    @property
    def qk_dim(self) -> int:
        """Size of a head's queries and keys."""
        return self.qk_nope + self.qk_rope if self.attention == "mla" else self.head_dim

    @property
    def v_dim(self) -> int:
        """Size of a head's values."""
        return self.v_head if self.attention == "mla" else self.head_dim

    @property
    def cache_layers(self) -> int:
        """Layers that compute keys and values and keep them."""
        return -(-self.attention_layers // self.kv_share)

    def kv_values_per_token(self) -> int:
        """Numbers that the cache keeps per token; latent attention keeps one short vector."""
        others = sum(mixer.layers * mixer.cache for mixer in self.mixers)
        if self.attention == "mla":
            return others + self.attention_layers * (self.kv_lora + self.qk_rope)
        return others + self.cache_layers * 2 * self.kv_heads * self.head_dim

    def seen_width(self, absorbed: bool = False) -> int:
        """Multiply-adds of scores and values for each token that a token sees, all layers.

        Parameters
        ----------
        absorbed
            Whether latent attention works on its short vectors, as in decoding.
        """
        size = self.qk_dim + self.v_dim
        if absorbed and self.attention == "mla":
            size = 2 * self.kv_lora + self.qk_rope
        widths = ((absorbed and mixer.absorbed) or mixer.width for mixer in self.mixers)
        others = sum(mixer.layers * width for mixer, width in zip(self.mixers, widths, strict=True))
        return others + self.attention_layers * self.heads * size

    def state_values(self) -> int:
        """Numbers of the states that a sequence keeps whatever its length, all layers."""
        return sum(mixer.layers * mixer.state for mixer in self.mixers)

    def window_values(self) -> int:
        """Numbers of keys and values in windows that a sequence keeps, all layers."""
        return sum(mixer.layers * mixer.window for mixer in self.mixers)

    def kv_bytes_per_token(self, bytes_per_value: float = 2) -> float:
        """Bytes of key and value cache per token of context, all layers."""
        return self.kv_values_per_token() * bytes_per_value
