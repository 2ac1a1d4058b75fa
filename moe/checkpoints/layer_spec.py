"""Which layers are MoE and what a layer consists of, from config.json alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import CheckpointError
from ..routers import Router, make_router
from .config import ConfigValues
from .families import LOADABLE, family_of
from .family import PUBLISHED, Family
from .layouts import (
    USUAL_NAMES,
    Sizes,
    Slot,
    latent_slots,
    network_slots,
    transposed,
    whole,
)
from .strict_json import quoted

MAX_SPANS = 20  # of layers in a message


@dataclass(frozen=True)
class LayerSpec:
    """One MoE layer as its configuration describes it, in one of its family's layouts."""

    model_type: str
    layout: str
    family: Family
    sizes: Sizes
    router: Router
    activation: str

    @property
    def gate(self) -> str:
        """Name of the gate, as `slots` has it."""
        return f"{self.family.block}.{self.family.gate}"

    def slots(self) -> Iterator[Slot]:
        """Published tensors of the layer, the gate first: its shape in the file bounds the rest.

        Names are those behind "layers.N.".
        """
        family, sizes = self.family, self.sizes
        n_experts, d_model, block = sizes.pool, sizes.d_model, f"{family.block}."
        yield Slot(self.gate, (n_experts, d_model), "gate_DE", transposed)
        if family.gate_bias:
            yield Slot(block + family.gate_bias, (n_experts,), "gate_bias_E", whole)
        if family.select_bias:
            # ERNIE keeps a row per group of experts, and has one group.
            shape = (1, n_experts) if "moe_statics" in family.select_bias else (n_experts,)
            yield Slot(block + family.select_bias, shape, "select_bias_E", whole)
        yield from self.expert_slots()
        if sizes.d_latent:
            down, up = (f"{block}{name}.weight" for name in family.latent_names)
            yield from latent_slots(d_model, sizes.d_latent, (down, up))
        if sizes.d_shared:
            # What begins with a stroke stands beside the block.
            beside = family.shared.startswith("/")
            prefix = f"{family.shared[1:]}." if beside else f"{block}{family.shared}."
            names, gated = family.shared_names, family.layout.gated
            for slot in network_slots(names, prefix, sizes.d_shared, d_model, gated):
                halved = family.average_if and slot.array == "w_down_EFD"
                factor = 0.5 if halved else 1.0
                yield replace(slot, array=SHARED_NAMES[slot.array], factor=factor)
            if family.shared_gate:
                yield Slot(block + family.shared_gate, (1, d_model), "shared_gate_D1", transposed)

    def expert_slots(self) -> Iterator[Slot]:
        """Those of the routed experts, one by one: the file may hold fewer."""
        for slot in self.family.layout.slots(self.sizes.routed):
            yield replace(slot, name=f"{self.family.block}.{slot.name}")

    def unread(self) -> set[str]:
        """Tensors that the library writes for experts that return x, and does not use."""
        first, sizes = f"{self.family.block}.experts.", self.sizes
        idle = range(sizes.n_experts, sizes.pool)
        return {f"{first}{expert}.{name}.weight" for expert in idle for name in USUAL_NAMES[:2]}

    def array_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the layer's params."""
        d, f, e = self.sizes.d_model, self.sizes.d_expert, self.sizes.n_experts
        width_in, latent = self.sizes.routed.d_model, self.sizes.d_latent
        shapes: dict[str, tuple[int, ...]] = {"gate_DE": (d, self.sizes.pool)}
        if self.family.gate_bias:
            shapes["gate_bias_E"] = (self.sizes.pool,)
        gated = self.family.layout.gated
        shapes["w_gate_up_ED2F" if gated else "w_up_EDF"] = (e, width_in, 2 * f if gated else f)
        shapes["w_down_EFD"] = (e, f, width_in)
        if self.family.layout.biases:
            shapes |= {"b_gate_up_E2F": (e, 2 * f), "b_down_ED": (e, width_in)}
        if latent:
            shapes |= {"latent_down_DL": (d, latent), "latent_up_LD": (latent, d)}
        if width := self.sizes.d_shared:
            up = SHARED_NAMES["w_gate_up_ED2F" if gated else "w_up_EDF"]
            shapes |= {up: (d, 2 * width if gated else width), "shared_w_down_FD": (width, d)}
            if self.family.shared_gate:
                shapes["shared_gate_D1"] = (d, 1)
        return shapes


SHARED_NAMES = {
    "w_gate_up_ED2F": "shared_w_gate_up_D2F",
    "w_up_EDF": "shared_w_up_DF",
    "w_down_EFD": "shared_w_down_FD",
}


def layers_in(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Indices of the MoE layers of a model.

    Raises
    ------
    CheckpointError
        If the configuration's `model_type` is unknown or a value is not allowed.
    """
    _, family, config = family_of(config, LOADABLE)
    return family.moe_layers(family.values(config))


def layer_spec(config: Mapping[str, Any], layer: int, layout: str = PUBLISHED) -> LayerSpec:
    """What layer number `layer`, counted from 0, consists of in one of its family's layouts.

    Raises
    ------
    CheckpointError
        If the layer is dense or out of range (the message says which ones are MoE), the
        `model_type` is unknown or a value of the configuration is not supported.
    """
    model_type, family, config = family_of(config, LOADABLE)
    values = family.values(config)
    n_layers = family.n_layers(values)
    whole_number = isinstance(layer, (int, np.integer)) and not isinstance(layer, bool)
    inside = whole_number and 0 <= layer < n_layers
    if not inside or not family.is_moe(values, layer):
        what = (
            "which is a dense layer"
            if inside
            else f"allowed is a whole number in 0..{n_layers - 1}"
        )
        spans = _spans(family.moe_layers(values))
        raise CheckpointError(f"layer: got {quoted(layer)}, {what}; MoE layers are {spans}")
    if family.by_table(values, layer):
        raise CheckpointError(
            f"layer: got {layer}, whose experts come from a table of token ids, allowed is a layer "
            "whose gate chooses"
        )
    for key, allowed in family.only.items():
        values.choice(key, allowed)
    family = family.as_said(values)
    sizes = family.sizes(values, layer)
    router = _router(family, family.router_options(values, layer), sizes)
    stored = family.layouts()[layout]
    return LayerSpec(model_type, layout, stored, sizes, router, _activation(family, values))


def layer_specs(config: Mapping[str, Any], layer: int) -> list[LayerSpec]:
    """The same in every layout, the published one first; the errors are those of `layer_spec`."""
    spec = layer_spec(config, layer)
    layouts = spec.family.layouts().items()
    return [replace(spec, layout=name, family=family) for name, family in layouts]


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


def _router(family: Family, options: Mapping[str, Any], sizes: Sizes) -> Router:
    try:
        router = make_router(family.router, **options)
        router.check(sizes.pool)
    except ValueError as error:
        raise CheckpointError(f"config.json: router: {error}") from error
    return router


def _activation(family: Family, values: ConfigValues) -> str:
    keys = [key for key in family.defaults if f"{{{key}" in family.activation]
    return family.activation.format(**{key: values.option(key) for key in keys})
