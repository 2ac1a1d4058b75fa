"""A language model's shape, and the published models that the project knows."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from ..errors import check_choice, check_float, check_int
from .family import FAMILIES
from .flops import flops_per_token
from .params import CONVENTIONS, Params, count_params, mtp_params

ATTENTIONS = ("mha", "gqa", "mla")
CHECKS = ("verified", "second-hand", "unverified", "")
LATENT = ("kv_lora", "qk_rope", "qk_nope", "v_head")


@dataclass(frozen=True)
class ModelConfig:
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
    n_group, topk_group, scoring
        Groups of experts and how many a token may use; the gate's score.
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
    published_total, published_active
        Parameters as published, 0 if unknown.
    active_convention, stated_convention
        The convention that fits the published active figure, and the one that its publisher's
        words say, '' where there are none.
    training_tokens, gpu_hours, other_gpu_hours, gpu
        The published training, 0 or '' if unknown; `other_gpu_hours` are those among the hours
        that came after pre-training.
    source, published_source, published_check
        Where the shape and the training are from; where the published parameters are; whether
        these were read at their source ('verified'), quoted by others ('second-hand') or neither
        ('unverified').
    exception
        Why a computed figure is further off than 1 % (total) or 3 % (active), or ''.
    notes
        What the model has and no figure counts, a sentence each.
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
    scoring: str = ""
    q_lora: int = 0
    kv_lora: int = 0
    qk_rope: int = 0
    qk_nope: int = 0
    v_head: int = 0
    tied: bool = False
    mtp_layers: int = 0
    kv_share: int = 1
    published_total: float = 0.0
    published_active: float = 0.0
    active_convention: str = "with_input"
    stated_convention: str = ""
    training_tokens: float = 0.0
    gpu_hours: float = 0.0
    other_gpu_hours: float = 0.0
    gpu: str = ""
    source: str = ""
    published_source: str = ""
    published_check: str = ""
    exception: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("model_type", self.model_type, FAMILIES)
        check_choice("attention", self.attention, ATTENTIONS)
        check_choice("active_convention", self.active_convention, CONVENTIONS)
        check_choice("stated_convention", self.stated_convention, (*CONVENTIONS, ""))
        check_choice("published_check", self.published_check, CHECKS)
        check_int("layers", self.layers, 1)
        check_int("dense_layers", self.dense_layers, 0, self.layers, f"layers is {self.layers}")
        for name in ("d_model", "heads", "kv_heads", "vocab"):
            check_int(name, getattr(self, name), 1)
        if self.attention == "mla":
            check_int("q_lora", self.q_lora, 0)
            for name in LATENT:
                check_int(name, getattr(self, name), 1)
        else:
            check_int("head_dim", self.head_dim, 1)
        if self.dense_layers:
            check_int("d_ff_dense", self.d_ff_dense, 1)
        check_int("experts", self.experts, 1 if self.moe_layers else 0)
        check_int("top_k", self.top_k, 1 if self.moe_layers else 0, self.experts or None)
        check_int("d_ff_expert", self.d_ff_expert, 1 if self.moe_layers else 0)
        check_int("shared_experts", self.shared_experts, 0)
        check_int("d_ff_shared", self.d_ff_shared, 1 if self.shared_experts else 0)
        check_int("mtp_layers", self.mtp_layers, 0)
        check_int("kv_share", self.kv_share, 1, 1 if self.attention == "mla" else None)
        for name in ("published_total", "published_active", "training_tokens", "gpu_hours"):
            check_float(name, getattr(self, name), 0.0)
        check_float("other_gpu_hours", self.other_gpu_hours, 0.0, self.gpu_hours)

    @property
    def moe_layers(self) -> int:
        """Layers with experts."""
        return self.layers - self.dense_layers

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
        return -(-self.layers // self.kv_share)

    @property
    def convention_basis(self) -> str:
        """Whether the publisher's words say the convention that fits.

        'stated', 'contradicted' (they say another one), 'fitted' (there are none), or '' without
        a published figure.
        """
        if not self.published_active:
            return ""
        if not self.stated_convention:
            return "fitted"
        return "stated" if self.stated_convention == self.active_convention else "contradicted"

    @property
    def pretraining_hours(self) -> float:
        """Published GPU-hours of pre-training: all of them where the rest is not told apart."""
        return self.gpu_hours - self.other_gpu_hours

    @cached_property
    def params(self) -> Params:
        """Parameters by part."""
        return count_params(self)

    @property
    def total_params(self) -> int:
        """All parameters, without multi-token prediction."""
        return self.params.total

    @property
    def active_params(self) -> int:
        """Parameters that a token uses, in the convention of the published figure."""
        return self.active(self.active_convention)

    def active(self, convention: str) -> int:
        """Parameters that a token uses: 'with_input', 'head_only' or 'neither' embedding."""
        return self.params.active(convention)

    @property
    def mtp_params(self) -> int:
        """Parameters of the multi-token-prediction modules alone."""
        return mtp_params(self)

    def kv_values_per_token(self) -> int:
        """Numbers that the cache keeps per token; latent attention keeps one short vector."""
        if self.attention == "mla":
            return self.layers * (self.kv_lora + self.qk_rope)
        return self.cache_layers * 2 * self.kv_heads * self.head_dim

    def kv_bytes_per_token(self, bytes_per_value: float = 2) -> float:
        """Bytes of key and value cache per token of context, all layers."""
        return self.kv_values_per_token() * bytes_per_value

    def flops_per_token(
        self,
        context: int = 4096,
        causal: bool = True,
        training: bool = False,
        mtp: bool = False,
    ) -> float:
        """Operations per token; see `moe.cost.flops.flops_per_token` for the parts."""
        return flops_per_token(self, context, causal, training, mtp).total


# The table's columns in larger units, which people read more easily.
SCALED = {
    "published_total_b": ("published_total", 1e9),
    "published_active_b": ("published_active", 1e9),
    "training_tokens_t": ("training_tokens", 1e12),
    "gpu_hours_m": ("gpu_hours", 1e6),
    "other_hours_m": ("other_gpu_hours", 1e6),
}
WORDS = (
    "name", "model_type", "scoring", "attention", "active_convention", "stated_convention",
    "gpu", "source", "published_source", "published_check", "exception",
)  # fmt: skip


def _from_row(row: Mapping[str, str]) -> ModelConfig:
    values: dict[str, Any] = {}
    for column, text in row.items():
        if column in SCALED:
            name, unit = SCALED[column]
            values[name] = float(text or 0) * unit
        elif column in WORDS:
            values[column] = text
        elif column == "tied":
            values[column] = text == "1"
        elif column == "notes":
            values[column] = (text,) if text else ()
        else:
            values[column] = int(text or 0)
    values["attention"] = values["attention"] or "gqa"
    return ModelConfig(**values)


def _read_models() -> dict[str, ModelConfig]:
    text = files(__package__).joinpath("models.csv").read_text("utf-8")
    models = [_from_row(row) for row in csv.DictReader(text.splitlines())]
    return {model.name.lower(): model for model in models}


MODELS: dict[str, ModelConfig] = _read_models()
