"""Where the tensors of one layer stand in a checkpoint, and in which layout."""

from __future__ import annotations

from itertools import islice

from ..errors import CheckpointError
from .family import PUBLISHED
from .files import Checkpoint
from .layer_spec import LayerSpec, layer_specs
from .layouts import Slot
from .nearest import ending
from .strict_json import quoted

# What may stand before "layers.N.": causal models, bare models, text models inside larger ones.
PREFIXES = (
    "model.", "", "language_model.model.", "model.language_model.", "language_model.",
    "language.model.", "thinker.model.", "backbone.", "transformer.",
)  # fmt: skip
FEW = 12  # more than a layer has tensors whose experts are stacked
BLOCKS, SCALES = "_blocks", "_scales"  # of a tensor in MXFP4


def find_layer(
    checkpoint: Checkpoint, layer: int, prefix: str | None = None
) -> tuple[LayerSpec, str]:
    """What a layer consists of in the layout in which it is stored, and its tensors' prefix.

    Parameters
    ----------
    checkpoint
        An open checkpoint.
    layer
        Number of the layer.
    prefix
        What stands before "layers.N."; None tries `PREFIXES`.

    Raises
    ------
    CheckpointError
        If there is no such MoE layer, its gate is not there, or its layout cannot be told.
    """
    if not isinstance(prefix, str | None):
        raise CheckpointError(f"prefix: got {quoted(prefix)}, allowed is a text")
    specs = layer_specs(checkpoint.config, layer)
    places = [
        (spec, layers)
        for spec in specs
        for start in (PREFIXES if prefix is None else (prefix,))
        if (layers := start + spec.family.place(layer)) + spec.gate in checkpoint
    ]
    if not places:
        raise _no_gate(checkpoint, specs, PREFIXES[0] if prefix is None else prefix, layer)
    for spec, prefix in places:
        name = _first_expert(spec, prefix)
        if name in checkpoint or name + BLOCKS in checkpoint:
            same = [place for place in places if _first_expert(*place) == name]
            return _by_shape(checkpoint, same) if len(same) > 1 else (spec, prefix)
    return places[0]


def _no_gate(
    checkpoint: Checkpoint, specs: list[LayerSpec], start: str, layer: int
) -> CheckpointError:
    """The error for a gate that is not there, under a name that some tensor ends in."""
    gates = tuple(spec.family.place(layer) + spec.gate for spec in specs)
    near = ending(checkpoint.names, gates)
    return checkpoint.missing(
        start + next((gate for gate in gates if near.endswith(gate)), gates[0])
    )


def _first_expert(spec: LayerSpec, prefix: str) -> str:
    """Name of the first tensor of the experts."""
    return prefix + next(spec.expert_slots()).name


def _by_shape(checkpoint: Checkpoint, places: list[tuple[LayerSpec, str]]) -> tuple[LayerSpec, str]:
    """The place whose tensors are all there in their shapes, of those with the same first expert.

    Layouts share names: (E, D, 2F) and (E, 2F, D) are told by the shapes. The reference library
    takes every tensor that has the shape of its own layout for one. Where another tensor shows
    that this one has the published order, that is wrong, and refused here.
    """
    fitting = [place for place in places if _fits(checkpoint, *place)]
    spec, prefix = (fitting or places)[0]
    if fitting and spec.layout == PUBLISHED:
        own = {slot.name: slot for slot in _first_slots(places[-1][0])}
        for slot in _first_slots(spec):
            other = own.get(slot.name, slot)
            if len(slot.shape) == 3 and slot.shape == other.shape and slot.view is not other.view:
                raise CheckpointError(
                    f"tensor {quoted(prefix + slot.name)}: got shape {slot.shape}, whose axes the "
                    "reference library takes in another order than the layer's other tensor has, "
                    "allowed is its own layout"
                )
    return spec, prefix


def _fits(checkpoint: Checkpoint, spec: LayerSpec, prefix: str) -> bool:
    """Whether the tensors are there, in their shapes."""
    return all(
        prefix + slot.name in checkpoint and checkpoint.shape(prefix + slot.name) == slot.shape
        for slot in _first_slots(spec)
    )


def _first_slots(spec: LayerSpec) -> list[Slot]:
    """Slots of the gate and of stacked experts; not those of more experts than a file can hold."""
    return list(islice(spec.slots(), FEW))
