"""From config.json alone: which layers are MoE, and what one of them is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import CheckpointError
from ..routers import Router, make_router
from .families import FAMILIES, NESTED, Family, Key
from .layouts import USUAL_NAMES, Sizes, Slot, linear_slots, transposed, whole
from .settings import Settings
from .strict_json import quoted

MAX_LAYERS = 10_000
MAX_SPANS = 20  # of layers in a message


@dataclass(frozen=True)
class Plan:
    """One MoE layer as its configuration describes it."""

    model_type: str
    family: Family
    sizes: Sizes
    router: Router
    activation: str

    def slots(self) -> Iterator[Slot]:
        """Published tensors of the block, the gate first: its shape in the file bounds the rest."""
        family, sizes = self.family, self.sizes
        n_experts, d_model = sizes.n_experts, sizes.d_model
        yield Slot(family.gate, (n_experts, d_model), "gate_DE", transposed)
        if family.gate_bias:
            yield Slot(family.gate_bias, (n_experts,), "gate_bias_E", whole)
        if family.select_bias:
            # ERNIE keeps a row per group of experts, and has one group.
            shape = (1, n_experts) if "moe_statics" in family.select_bias else (n_experts,)
            yield Slot(family.select_bias, shape, "select_bias_E", whole)
        yield from family.layout.slots(sizes)
        if sizes.d_shared:
            prefix = f"{family.shared}."
            for slot in linear_slots(USUAL_NAMES, prefix, sizes.d_shared, d_model):
                yield replace(slot, array=SHARED_NAMES[slot.array])
            if family.shared_gate:
                yield Slot(family.shared_gate, (1, d_model), "shared_gate_D1", transposed)

    def array_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the layer's params."""
        d, f, e = self.sizes.d_model, self.sizes.d_expert, self.sizes.n_experts
        shapes: dict[str, tuple[int, ...]] = {"gate_DE": (d, e)}
        if self.family.gate_bias:
            shapes["gate_bias_E"] = (e,)
        shapes |= {"w_gate_up_ED2F": (e, d, 2 * f), "w_down_EFD": (e, f, d)}
        if self.family.layout.biases:
            shapes |= {"b_gate_up_E2F": (e, 2 * f), "b_down_ED": (e, d)}
        if width := self.sizes.d_shared:
            shapes |= {"shared_w_gate_up_D2F": (d, 2 * width), "shared_w_down_FD": (width, d)}
            if self.family.shared_gate:
                shapes["shared_gate_D1"] = (d, 1)
        return shapes


SHARED_NAMES = {"w_gate_up_ED2F": "shared_w_gate_up_D2F", "w_down_EFD": "shared_w_down_FD"}


def text_config(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The `model_type` whose row of the table counts, and the configuration that it reads.

    Raises
    ------
    CheckpointError
        If the `model_type` is unknown; the message lists the known ones.
    """
    model_type = config.get("model_type")
    if isinstance(model_type, str) and model_type in NESTED:
        key, model_type = NESTED[model_type]
        config = config.get(key)  # type: ignore[assignment]
        if not isinstance(config, dict):
            raise CheckpointError(f"config.json: {key}: got {quoted(config)}, allowed is an object")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        known = ", ".join(sorted([*FAMILIES, *NESTED]))
        raise CheckpointError(
            f"config.json: model_type: got {quoted(model_type)}, allowed is one of {known}"
        )
    return model_type, config


def layers_in(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Indices of the MoE layers of a model.

    Raises
    ------
    CheckpointError
        If the configuration's `model_type` is unknown or a value is not allowed.
    """
    model_type, config = text_config(config)
    family = FAMILIES[model_type]
    settings = _settings(family, config)
    return _moe_layers(family, settings, _n_layers(settings))


def plan_layer(config: Mapping[str, Any], layer: int) -> Plan:
    """What layer number `layer`, counted from 0, is made of.

    Raises
    ------
    CheckpointError
        If the layer is dense or out of range (the message says which ones are MoE), the
        `model_type` is unknown or a value of the configuration is not supported.
    """
    model_type, config = text_config(config)
    family = FAMILIES[model_type]
    settings = _settings(family, config, layer if _is_whole(layer) else 0)
    n_layers = _n_layers(settings)
    inside = _is_whole(layer) and 0 <= layer < n_layers
    if not inside or not family.is_moe(settings, layer):
        what = (
            "which is a dense layer"
            if inside
            else f"allowed is a whole number in 0..{n_layers - 1}"
        )
        spans = _spans(_moe_layers(family, settings, n_layers))
        raise CheckpointError(f"layer: got {quoted(layer)}, {what}; MoE layers are {spans}")
    for key, allowed in family.only.items():
        settings.choice(key, allowed)
    d_shared = int(bool(family.shared_width))
    for key in family.shared_width:
        d_shared *= settings.whole(key, 0)
    sizes = Sizes(
        d_model=settings.whole("hidden_size"),
        d_expert=settings.whole(family.d_expert),
        n_experts=settings.whole(family.n_experts, per_layer=family.per_layer),
        d_shared=d_shared,
    )
    return Plan(
        model_type, family, sizes, _router(family, settings, sizes), _activation(family, settings)
    )


def _is_whole(layer: object) -> bool:
    return isinstance(layer, (int, np.integer)) and not isinstance(layer, bool)


def _settings(family: Family, config: Mapping[str, Any], layer: int = 0) -> Settings:
    firsts = {key: allowed[0] for key, allowed in family.only.items()}
    return Settings(config, firsts | dict(family.defaults), family.spellings, layer, family.nulls)


def _n_layers(settings: Settings) -> int:
    n_layers = settings.whole("num_hidden_layers")
    if n_layers > MAX_LAYERS:
        raise CheckpointError(
            f"config.json: num_hidden_layers: got {n_layers}, allowed is up to {MAX_LAYERS}"
        )
    return n_layers


def _moe_layers(family: Family, settings: Settings, n_layers: int) -> tuple[int, ...]:
    return tuple(layer for layer in range(n_layers) if family.is_moe(settings, layer))


def _spans(layers: tuple[int, ...]) -> str:
    """`1-3, 5`: neighbours joined."""
    spans: list[list[int]] = []
    for layer in layers:
        if spans and spans[-1][1] == layer - 1:
            spans[-1][1] = layer
        else:
            spans.append([layer, layer])
    texts = [str(a) if a == b else f"{a}-{b}" for a, b in spans[:MAX_SPANS]]
    return ", ".join(texts) + (", ..." if len(spans) > MAX_SPANS else "") or "none"


def _router(family: Family, settings: Settings, sizes: Sizes) -> Router:
    named = dict(family.options)
    if family.groups_if is not None:
        key, wanted = family.groups_if
        if settings.choice(key, family.only[key]) != wanted:
            named = {k: v for k, v in named.items() if k not in ("n_group", "topk_group")}
    options = {
        name: settings.option(value.name) if isinstance(value, Key) else value
        for name, value in named.items()
    }
    if family.takes_k:
        options["k"] = settings.whole(family.k, per_layer=family.per_layer)
    try:
        router = make_router(family.router, **options)
        router.check(sizes.n_experts)
    except ValueError as error:
        raise CheckpointError(f"config.json: router: {error}") from error
    return router


def _activation(family: Family, settings: Settings) -> str:
    keys = [key for key in family.defaults if f"{{{key}" in family.activation]
    return family.activation.format(**{key: settings.option(key) for key in keys})
