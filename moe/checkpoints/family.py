"""What a model family is: its keys in config.json, how its MoE layers are stored, and its rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .config import ConfigValues
from .layouts import NO_EXPERTS, STACKED, USUAL_NAMES, Layout, Sizes

MAX_LAYERS = 10_000
KINDS = ("dense", "sparse")
ACTIVATIONS = {"hidden_act": ("silu", "swish")}
PUBLISHED, MEMORY = "published", "memory"  # names of the layouts in which layers are stored

Rule = Callable[[ConfigValues, int], bool]


@dataclass(frozen=True)
class Key:
    """An option whose value stands in config.json under this name."""

    name: str


@dataclass(frozen=True)
class Family:
    """One `model_type`: what its config.json means, and how its MoE layers are stored.

    Attributes
    ----------
    defaults
        What a missing key means, for all keys that are read: see `ConfigValues`.
    spellings, nulls
        Other names of keys; what null means, by key, where it is allowed.
    only
        Keys for which just these values are supported in a layer; the first is the default.
    layers, d_model, heads, kv_heads, d_dense
        Keys of the model's sizes; `d_dense` is the width of layers without experts.
    layer_lists
        Keys of lists with an entry for each layer, whose length is the number of layers where one
        of them is there.
    n_experts, k, d_expert
        Keys of E, of experts per token and of F.
    identity
        Key of the number of experts that return what they get.
    d_latent, latent_names
        Key of the width of what latent experts get and give, null if they are none; names of the
        matrices that lead there and back.
    shared_width
        Key of the shared expert's width, and of the number of such experts if there is one.
    is_moe, moe_rule
        Which layers are MoE, as a function and in words.
    by_table
        Which MoE layers take a token's experts from a table: these are counted and refused.
    stack
        Name of the model's list of layers, which stands before a layer's number.
    block, gate
        Names after the layer's prefix, and after the block's; without a block, layers of the
        family are counted and cannot be loaded.
    beside
        First names of networks that stand beside the block in a layer, and are no part of it.
    layout
        How the experts are stored in published files.
    memory
        What differs where the reference library writes its own layout, that of its memory
        (`save_original_format=False`): attributes of this class by name, beside `layout`, which
        becomes `STACKED` unless it is named; None if both layouts are the same.
    router, options
        Registry name and options; a `Key` is read from config.json.
    groups_if
        Key and value without which the router's groups do not count.
    takes_k
        Whether the router has the option k.
    per_layer
        Whether E and k may be lists, with an entry for each layer.
    shared, shared_names, shared_gate
        Names of the shared expert, with a stroke before it if it stands beside the block; of its
        matrices, where two mean gate and up in one, and down; and of its gate.
    average_if
        Key and value with which the layer returns the mean of routed and shared experts.
    select_bias, gate_bias
        Names of the selection bias and of the gate's bias.
    select_bias_if
        Key without whose true there is no selection bias.
    activation
        Expert function; `{key}` is filled in from config.json.
    latent, qkv_bias, output_bias, qk_norm, sinks, norm_bias
        Attention, all but the first below 0.1 % of a model: whether it is multi-head latent
        attention; biases of its projections; norms of queries and keys, '' or 'head' (one weight
        per head dimension) or 'full' (one per projected channel); a learned sink for each
        head; norms with bias.
    uncounted
        What else its attention has, in words, that the cost model counts as if it were not there.
    trap
        What is easily got wrong, for the documentation.
    """

    defaults: Mapping[str, Any]
    spellings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    nulls: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=lambda: ACTIVATIONS)
    layers: str = "num_hidden_layers"
    d_model: str = "hidden_size"
    heads: str = "num_attention_heads"
    kv_heads: str = "num_key_value_heads"
    d_dense: str = "intermediate_size"
    layer_lists: tuple[str, ...] = ()
    n_experts: str = "num_experts"
    k: str = "num_experts_per_tok"
    d_expert: str = "intermediate_size"
    identity: str = ""
    d_latent: str = ""
    latent_names: tuple[str, ...] = ()
    shared_width: tuple[str, ...] = ()
    is_moe: Rule = lambda values, layer: True
    moe_rule: str = "all"
    by_table: Rule = lambda values, layer: False
    stack: str = "layers"
    block: str = ""
    beside: tuple[str, ...] = ()
    gate: str = "gate.weight"
    layout: Layout = NO_EXPERTS
    memory: Mapping[str, Any] | None = field(default_factory=dict)
    router: str = "topk"
    options: Mapping[str, Any] = field(default_factory=dict)
    groups_if: tuple[str, str] | None = None
    takes_k: bool = True
    per_layer: bool = False
    shared: str = ""
    shared_names: tuple[str, ...] = USUAL_NAMES
    shared_gate: str = ""
    average_if: tuple[str, str] | None = None
    select_bias: str = ""
    select_bias_if: str = ""
    gate_bias: str = ""
    activation: str = "swiglu"
    latent: bool = False
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: str = ""
    sinks: bool = False
    norm_bias: bool = False
    uncounted: str = ""
    trap: str = ""

    @property
    def keys(self) -> frozenset[str]:
        """Every key that is read, in all spellings."""
        parts = {key.partition(".")[0] for key in self.defaults}
        return frozenset({*self.defaults, *parts, *sum(self.spellings.values(), ())})

    def layouts(self) -> dict[str, Family]:
        """The family in each layout that its layers are stored in, by the layout's name."""
        if self.memory is None:
            return {PUBLISHED: self}
        stacked: dict[str, Any] = {"layout": STACKED}
        return {PUBLISHED: self, MEMORY: replace(self, **stacked | dict(self.memory))}

    def values(self, config: Mapping[str, Any], where: str = "config.json") -> ConfigValues:
        """The checked values of a configuration."""
        firsts = {key: allowed[0] for key, allowed in self.only.items()}
        return ConfigValues(config, firsts | dict(self.defaults), self.spellings, self.nulls, where)

    def as_said(self, values: ConfigValues) -> Family:
        """The family as this configuration has it: without what it says is not there."""
        said = self
        if self.select_bias_if and not values.option(self.select_bias_if):
            said = replace(said, select_bias="")
        if self.average_if:
            key, wanted = self.average_if
            if not self.sizes(values).d_shared or values.choice(key, self.only[key]) != wanted:
                said = replace(said, average_if=None)
        return said

    def n_layers(self, values: ConfigValues) -> int:
        """Number of layers, MoE or not."""
        lengths = [values.length(key) for key in self.layer_lists]
        n_layers = next((n for n in lengths if n is not None), None) or values.whole(self.layers)
        if n_layers > MAX_LAYERS:
            raise values.wrong(self.layers, n_layers, f"up to {MAX_LAYERS}")
        return n_layers

    def place(self, layer: int) -> str:
        """What stands between a model's prefix and the names of a layer's tensors."""
        return f"{self.stack}.{layer}."

    def moe_layers(self, values: ConfigValues) -> tuple[int, ...]:
        """Numbers of the MoE layers."""
        return tuple(n for n in range(self.n_layers(values)) if self.is_moe(values, n))

    def sizes(self, values: ConfigValues, layer: int | None = None) -> Sizes:
        """Sizes of a MoE layer; without a layer, those of all, which must be the same."""
        d_shared = int(bool(self.shared_width))
        for key in self.shared_width:
            d_shared *= values.whole(key, 0)
        return Sizes(
            d_model=values.whole(self.d_model),
            d_expert=values.whole(self.d_expert),
            n_experts=self._of_layer(values, self.n_experts, layer),
            d_shared=d_shared,
            n_identity=values.whole(self.identity, 0) if self.identity else 0,
            d_latent=values.whole_or(self.d_latent, 0) if self.d_latent else 0,
        )

    def router_options(self, values: ConfigValues, layer: int | None = None) -> dict[str, Any]:
        """Options of a layer's router, checked one by one."""
        options = dict(self.options)
        if self.groups_if is not None:
            key, wanted = self.groups_if
            if values.choice(key, self.only[key]) != wanted:
                options = {n: v for n, v in options.items() if n not in ("n_group", "topk_group")}
        read = {
            name: self._option(values, value.name) if isinstance(value, Key) else value
            for name, value in options.items()
        }
        if self.average_if:
            read["scale"] = 0.5
        if self.identity:
            read["n_identity"] = values.whole(self.identity, 0)
        if self.takes_k:
            read["k"] = self.top_k(values, layer)
        return read

    def _option(self, values: ConfigValues, key: str) -> Any:
        """The value of an option: one of some words, or what `ConfigValues.option` reads."""
        return values.choice(key, self.only[key]) if key in self.only else values.option(key)

    def top_k(self, values: ConfigValues, layer: int | None = None) -> int:
        """Experts per token."""
        return self._of_layer(values, self.k, layer)

    def _of_layer(self, values: ConfigValues, key: str, layer: int | None) -> int:
        return values.of_layer(key, layer) if self.per_layer else values.whole(key)


# Which layers are MoE ---------------------------------------------------------------------------


def no_layer(values: ConfigValues, layer: int) -> bool:
    """No layer: the family is dense."""
    return False


def after_dense(values: ConfigValues, layer: int) -> bool:
    """All after the first, dense ones."""
    return layer >= values.whole("first_k_dense_replace", 0)


def after_dense_at_step(values: ConfigValues, layer: int) -> bool:
    """Of those, one in `moe_layer_freq`, the first layer of the model being number 0."""
    return after_dense(values, layer) and layer % values.whole("moe_layer_freq") == 0


def every_step(values: ConfigValues, layer: int) -> bool:
    """One in `decoder_sparse_step`, less those that are listed as dense."""
    step = values.whole("decoder_sparse_step")
    return layer not in (values.wholes("mlp_only_layers") or ()) and (layer + 1) % step == 0


def from_to(values: ConfigValues, layer: int) -> bool:
    """One in `moe_layer_interval` of a span of layers; the end -1 is the last layer."""
    start = values.whole("moe_layer_start_index", 0)
    end = values.whole("moe_layer_end_index", -1)
    step = values.whole("moe_layer_interval")
    return (layer + 1) % step == 0 and start <= layer and (end == -1 or layer <= end)


def listed(values: ConfigValues, layer: int) -> bool:
    """Those that are listed, or without a list one in `interleave_moe_layer_step`."""
    step, layers = values.whole("interleave_moe_layer_step"), values.wholes("moe_layers")
    return (layer + 1) % step == 0 if layers is None else layer in layers


def past(dense: int) -> Rule:
    """All after that many dense ones."""
    return lambda values, layer: layer >= dense


def by_frequency(values: ConfigValues, layer: int) -> bool:
    """Those with a 1 in the list `moe_layer_freq`, or without a list all."""
    marks = values.each("moe_layer_freq", values.whole("num_hidden_layers"), low=0)
    return marks is None or marks[layer] > 0


def by_kind(otherwise: Rule) -> Rule:
    """Those that `mlp_layer_types` calls sparse, or without this list those of another rule."""

    def rule(values: ConfigValues, layer: int) -> bool:
        kinds = values.kinds("mlp_layer_types", KINDS, values.whole("num_hidden_layers"))
        return otherwise(values, layer) if kinds is None else kinds[layer] == "sparse"

    return rule


def after_that_many(values: ConfigValues, layer: int) -> bool:
    """All after the first `num_dense_layers`."""
    return layer >= values.whole("num_dense_layers", 0)


def after_period(values: ConfigValues, layer: int) -> bool:
    """One in `expert_layer_period`, unless there is but one expert."""
    period, offset = values.whole("expert_layer_period"), values.whole("expert_layer_offset", 0)
    return layer % period == offset and values.whole("num_experts") > 1


def by_hash(values: ConfigValues, layer: int) -> bool:
    """Those that `mlp_layer_types` calls hash_moe, or without it the first `num_hash_layers`."""
    n_layers = values.whole("num_hidden_layers")
    kinds = values.kinds("mlp_layer_types", ("hash_moe", "moe"), n_layers)
    return layer < values.whole("num_hash_layers", 0) if kinds is None else kinds[layer] != "moe"


def with_experts(values: ConfigValues, layer: int) -> bool:
    """All, unless there is no expert: then the part beside them is the whole network."""
    return values.whole("num_local_experts", 0) > 0
