"""Which families mix tokens otherwise than by attention of one kind in every layer, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..checkpoints.config import ConfigValues
from ..checkpoints.counted_families import NEMOTRON_LETTERS, nemotron_kinds
from ..checkpoints.family import Family
from . import mixers
from .shape import Mixer

Formula = Callable[[ConfigValues], int]
Kinds = Callable[[ConfigValues, int], tuple[str, ...]]  # of each layer, for their number

LINEAR, FULL, SLIDING = "linear_attention", "full_attention", "sliding_attention"
INDEXED = ("indexed_attention", "deepseek_sparse_attention")
INDEXER_KINDS = ("full", "shared")
OLD_NAMES = {"mamba": LINEAR, "attention": FULL}  # that published files have for them
DELTA_RULE = "linear attention (gated delta rule)"


@dataclass(frozen=True)
class Kind:
    """One kind of layer, or a part beside attention.

    Attributes
    ----------
    title
        What it is, for sentences; '' if nothing has to be said of it, as its matrices are all of
        its cost.
    params
        Formula of its parameters.
    cache, width
        Formulas of what it keeps for a token, and of its multiply-adds for each token that a token
        sees: attention's, where it is one; None where it keeps a state of fixed size.
    """

    title: str
    params: Formula
    cache: Formula | None = None
    width: Formula | None = None

    def of(self, values: ConfigValues, layers: int, beside: bool = False) -> Mixer:
        """Layers of this kind in a model."""
        return Mixer(
            self.title,
            layers,
            self.params(values),
            self.cache(values) if self.cache else 0,
            self.width(values) if self.width else 0,
            beside,
        )


@dataclass(frozen=True)
class Mixing:
    """How a family mixes tokens, beyond what its row in the table of families says.

    Attributes
    ----------
    defaults, nulls, spellings
        Of the keys that it reads, as in `Family`.
    layers
        Kind of each layer; what `kinds` does not name has the family's own attention.
    kinds
        Kinds of layers, by name.
    beside
        A part of each layer with the family's own attention.
    beside_on
        In how many layers it is, where those are not all.
    special
        Gives what mixes tokens, where that does not follow from kinds alone.
    bare
        Kinds of layers that have no feed-forward network.
    layer_norms, matrices
        Norms of a layer; matrices of a feed-forward network.
    d_latent
        Key of the width of what routed experts get, '' if it is the model's.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    nulls: Mapping[str, Any] = field(default_factory=dict)
    spellings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    layers: Kinds = lambda values, n: (FULL,) * n
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    beside: Kind | None = None
    beside_on: Callable[[ConfigValues, int], int] | None = None
    special: Callable[[ConfigValues, int], tuple[Mixer, ...]] | None = None
    bare: tuple[str, ...] = ()
    layer_norms: int = 2
    matrices: int = 3
    d_latent: str = ""

    @property
    def keys(self) -> frozenset[str]:
        """Every key that is read, in all spellings."""
        parts = {key.partition(".")[0] for key in self.defaults}
        return frozenset({*self.defaults, *parts, *sum(self.spellings.values(), ())})

    @property
    def without_window(self) -> tuple[str, ...]:
        """Names of kinds that keep a state of fixed size, or attend to all of the text."""
        plain = {name for name, kind in self.kinds.items() if name != SLIDING}
        plain |= set(INDEXED) if self.beside and self.beside.title else set()
        return (*plain, *(old for old, new in OLD_NAMES.items() if new in plain))

    def values(self, family: Family, part: Mapping[str, Any], where: str) -> ConfigValues:
        """The checked values of a configuration, those of the family among them."""
        return ConfigValues(
            part,
            {**family.defaults, **self.defaults},
            {**family.spellings, **self.spellings},
            {**family.nulls, **self.nulls},
            where,
        )

    def mixers(self, values: ConfigValues, n_layers: int) -> tuple[Mixer, ...]:
        """What mixes tokens beside and instead of the family's own attention."""
        if self.special:
            return self.special(values, n_layers)
        kinds = self.layers(values, n_layers)
        found = [
            kind.of(values, kinds.count(name)) for name, kind in self.kinds.items() if name in kinds
        ]
        if self.beside:
            own = n_layers - sum(mixer.layers for mixer in found)
            layers = min(own, self.beside_on(values, n_layers)) if self.beside_on else own
            found.append(self.beside.of(values, layers, beside=True))
        return tuple(mixer for mixer in found if mixer.layers)

    def bare_layers(self, values: ConfigValues, n_layers: int) -> int:
        """Layers without a feed-forward network."""
        kinds = self.layers(values, n_layers)
        return sum(kinds.count(name) for name in self.bare)


def listed(key: str, allowed: tuple[str, ...], otherwise: Kinds) -> Kinds:
    """Kinds as a list in the file has them, or without one by a rule."""
    old = tuple(name for name, new in OLD_NAMES.items() if new in allowed)

    def kinds(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
        found = values.kinds(key, allowed + old, n_layers)
        if found is None:
            return otherwise(values, n_layers)
        return tuple(OLD_NAMES.get(kind, kind) for kind in found)

    return kinds


def full_every(key: str) -> Kinds:
    """The last of each so many layers has full attention, the others are linear."""

    def kinds(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
        step = values.whole(key)
        return tuple(LINEAR if (layer + 1) % step else FULL for layer in range(n_layers))

    return kinds


def _alternating(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    return tuple(LINEAR if layer % 2 else FULL for layer in range(n_layers))


def _all_linear(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    return (LINEAR,) * n_layers


def _jamba(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    period, offset = values.whole("attn_layer_period"), values.whole("attn_layer_offset", 0)
    return tuple(FULL if layer % period == offset else LINEAR for layer in range(n_layers))


def _kimi(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """By a list of those with full attention, counted from 1; else every fourth but the first."""
    full = values.wholes("linear_attn_config.full_attn_layers")
    if full is None:
        full = frozenset(range(5, n_layers + 1, 4))
    return tuple(FULL if layer + 1 in full else LINEAR for layer in range(n_layers))


def _mimo(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    return tuple(SLIDING if layer and (layer + 1) % 6 else FULL for layer in range(n_layers))


def _indexed(values: ConfigValues, n_layers: int) -> int:
    """Layers that run an indexer of their own, where others use the choice of the one before."""
    for key, full, shared in (("indexer_types", *INDEXER_KINDS), ("index_topk_pattern", "F", "S")):
        kinds = values.kinds(key, (full, shared), n_layers)
        if kinds is not None:
            return kinds.count(full)
    step, offset = values.whole("index_topk_freq", 0), values.whole("index_skip_topk_offset", 0)
    return sum(max(layer - offset + 1, 0) % max(step, 1) == 0 for layer in range(n_layers))


def _lara(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    return tuple((LINEAR, SLIDING, LINEAR, FULL, SLIDING)[n % 5] for n in range(n_layers))


def _dots_note(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    return tuple(INDEXED[0] if n < 2 or n % 4 == 1 else SLIDING for n in range(n_layers))


def _nemotron(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    names = {**OLD_NAMES, **NEMOTRON_LETTERS}
    return tuple(names.get(kind, kind) for kind in nemotron_kinds(values, n_layers))


def _laguna(values: ConfigValues, n_layers: int) -> tuple[Mixer, ...]:
    """Attention whose layers may differ in their number of heads, each with a gate."""
    usual = values.whole("num_attention_heads")
    heads = Counter(values.each("num_attention_heads_per_layer", n_layers) or [usual] * n_layers)
    gating = values.choice("gating", (True, False, "per-head", "per-element"))
    size, kv = values.whole("head_dim"), values.whole("num_key_value_heads")
    return tuple(
        Mixer(
            "",
            layers,
            mixers.normed_heads(values, h, h if gating in (True, "per-head") else h * size),
            2 * kv * size,
            2 * h * size,
        )
        for h, layers in heads.items()
    )


def _linear_or_full(otherwise: Kinds) -> Kinds:
    return listed("layer_types", (LINEAR, FULL), otherwise)


LISTED: dict[str, None] = {"layer_types": None}
INDEXER_LISTS: dict[str, None] = {"indexer_types": None, "index_topk_pattern": None}
INDEXER = Kind("an indexer that picks what a token attends to", mixers.indexer)
GATE = Kind("", mixers.output_gate)
GATED_DELTA = Mixing(
    defaults={
        **LISTED, "full_attention_interval": 4, "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
    },
    nulls=LISTED,
    layers=_linear_or_full(full_every("full_attention_interval")),
    kinds={LINEAR: Kind(DELTA_RULE, mixers.gated_delta)},
    beside=GATE,
)  # fmt: skip
MIXING: dict[str, Mixing] = {
    "qwen3_next": GATED_DELTA,
    "qwen3_5_moe_text": GATED_DELTA,
    "deepseek_v32": Mixing(
        defaults={"index_n_heads": 64, "index_head_dim": 128}, beside=INDEXER
    ),
    "glm_moe_dsa": Mixing(
        defaults={
            "index_n_heads": 32, "index_head_dim": 128, "index_topk_freq": 1,
            "index_skip_topk_offset": 2, **INDEXER_LISTS,
        },
        nulls=INDEXER_LISTS,
        beside=INDEXER,
        beside_on=_indexed,
    ),
    "mimo_v2_flash": Mixing(
        defaults={**LISTED, "v_head_dim": 128},
        nulls=LISTED,
        layers=listed("layer_types", (SLIDING, FULL), _mimo),
        kinds={
            FULL: Kind(
                "",
                partial(mixers.narrow_values, times=1),
                partial(mixers.narrow_cache, times=1),
                mixers.narrow_width,
            ),
            SLIDING: Kind(
                "",
                lambda values: mixers.narrow_values(values, 2) + mixers.sinks(values),
                partial(mixers.narrow_cache, times=2),
                mixers.narrow_width,
            ),
        },
    ),
    "bailing_hybrid": Mixing(
        defaults={
            **LISTED, "layer_group_size": 6, "short_conv_kernel_size": 4, "head_dim": 128,
            "linear_head_dim": None, "linear_num_heads": None, "linear_conv_kernel_dim": None,
        },
        nulls=LISTED,
        layers=_linear_or_full(full_every("layer_group_size")),
        kinds={LINEAR: Kind(DELTA_RULE, mixers.ling_delta)},
        beside=Kind("", mixers.head_gate),
    ),
    "kimi_linear": Mixing(
        defaults={
            **LISTED, "linear_head_dim": 128, "linear_num_heads": 32, "linear_conv_kernel_dim": 4,
            "linear_attn_config.head_dim": None, "linear_attn_config.num_heads": None,
            "linear_attn_config.short_conv_kernel_size": None,
            "linear_attn_config.full_attn_layers": None, "linear_attn_config.kda_layers": None,
        },
        nulls=LISTED,
        layers=_linear_or_full(_kimi),
        kinds={LINEAR: Kind(DELTA_RULE, mixers.kimi_delta)},
    ),
    "minimax": Mixing(
        defaults=LISTED,
        nulls=LISTED,
        layers=_linear_or_full(_alternating),
        kinds={LINEAR: Kind("lightning attention", mixers.lightning)},
    ),
    "jamba": Mixing(
        defaults={
            "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_d_state": 16, "mamba_d_conv": 4,
            "mamba_expand": 2, "mamba_dt_rank": "auto", "mamba_conv_bias": True,
            "mamba_proj_bias": False,
        },
        layers=_jamba,
        kinds={LINEAR: Kind("Mamba", mixers.mamba)},
    ),
    "lfm2_moe": Mixing(
        defaults={"layer_types": list, "conv_bias": False, "conv_L_cache": 3},
        layers=listed("layer_types", ("conv", FULL), _all_linear),
        kinds={"conv": Kind("a short convolution", mixers.short_convolution)},
    ),
    "lara_mini": Mixing(
        defaults={
            **LISTED, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
            "linear_value_head_dim": 128, "linear_num_key_heads": 8, "linear_num_value_heads": 16,
        },
        nulls=LISTED,
        layers=listed("layer_types", (LINEAR, SLIDING, FULL), _lara),
        kinds={LINEAR: Kind(DELTA_RULE, mixers.gated_delta)},
    ),
    "dots3_note_text": Mixing(
        defaults={
            **LISTED, "index_n_heads": 64, "index_head_dim": 128, "swa_num_attention_heads": 64,
            "swa_q_lora_rank": 1024, "swa_kv_lora_rank": 1024, "swa_head_dim": 256,
            "swa_qk_nope_head_dim": 192, "swa_qk_rope_head_dim": None, "swa_v_head_dim": 128,
        },
        nulls=LISTED,
        layers=listed("layer_types", (SLIDING, *INDEXED), _dots_note),
        kinds={
            SLIDING: Kind("", mixers.window_latent, mixers.window_cache, mixers.window_width)
        },
        beside=Kind(INDEXER.title, mixers.gated_indexer),
    ),
    "laguna": Mixing(
        defaults={"num_attention_heads_per_layer": None, "gating": True},
        nulls={"num_attention_heads_per_layer": None},
        special=_laguna,
    ),
    "beam": Mixing(beside=Kind("", mixers.biased_gate), layer_norms=4),
    "afmoe": Mixing(beside=GATE, layer_norms=4),
    "nemotron_h": Mixing(
        defaults={
            "mamba_num_heads": 128, "mamba_head_dim": 64, "n_groups": 8, "ssm_state_size": 128,
            "conv_kernel": 4, "use_conv_bias": True, "use_bias": False,
        },
        spellings={
            "n_groups": ("mamba_n_groups",), "conv_kernel": ("mamba_d_conv",),
            "use_conv_bias": ("mamba_conv_bias",),
        },
        layers=_nemotron,
        kinds={
            LINEAR: Kind("Mamba-2", mixers.nemotron_mamba),
            "moe": Kind("", mixers.nothing),
            "mlp": Kind("", mixers.nothing),
        },
        bare=(LINEAR, FULL),
        layer_norms=1,
        matrices=2,
        d_latent="moe_latent_size",
    ),
    "granitemoehybrid": Mixing(
        defaults={
            **LISTED, "mamba_n_heads": 128, "mamba_n_groups": 1, "mamba_d_state": 256,
            "mamba_d_head": "auto", "mamba_d_conv": 4, "mamba_expand": 2, "mamba_conv_bias": True,
            "mamba_proj_bias": False,
        },
        nulls=LISTED,
        spellings={"layer_types": ("layers_block_type",)},
        layers=_linear_or_full(_all_linear),
        kinds={LINEAR: Kind("Mamba-2", mixers.granite_mamba)},
    ),
}  # fmt: skip
PLAIN = Mixing()


def mixing_notes(mixers: tuple[Mixer, ...], n_layers: int) -> list[str]:
    """Sentences on what mixes tokens and has a cost beside that of its matrices."""
    instead, beside = "{} of {} layers have {} instead of attention", "{} of {} layers have {}"
    return [
        (beside if mixer.beside else instead).format(mixer.layers, n_layers, mixer.title)
        + ": its parameters are counted, "
        + (
            "attention as attention to all of the text, so that its operations are upper bounds."
            if mixer.beside
            else "its state and the operations on it are not."
        )
        for mixer in mixers
        if mixer.title
    ]
