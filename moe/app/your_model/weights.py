"""A small uploaded checkpoint: what is in it, and one of its layers at work on random inputs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from ...checkpoints.archives import Limits, open_archive
from ...checkpoints.layer_spec import layers_in
from ...checkpoints.load import read_layer
from ...errors import CheckpointError
from ...layer import MoELayer
from .story import Drawn, load_words, loads_of
from .upload import MAX_BYTES, MAX_MB

LIMITS = Limits(packed_bytes=MAX_MB * 2**20, unpacked_bytes=MAX_BYTES, entries=200)
N_INPUTS = 2048
LAYER = re.compile(r"(?:^|\.)layers\.(\d{1,5})\.")
LISTED = 50  # tensors of a file without a configuration
NOT_TEXT = (
    "These inputs are random numbers, not text: they show that the layer runs and how its gate "
    "leans, not how evenly it would share real work. For that, record a trace with `moe trace`."
)


@dataclass(frozen=True)
class Contents:
    """What a checkpoint holds: its kind, its MoE layers, and its tensors if it has no kind."""

    model_type: str
    layers: tuple[int, ...]
    tensors: list[dict[str, str]]
    words: str


@dataclass(frozen=True, eq=False)
class LayerRun:
    """A layer's sizes, and the load of its experts on random inputs."""

    title: str
    sizes: list[dict[str, str]]
    loads: Drawn
    words: str


def read_contents(raw: bytes) -> Contents:
    """List the MoE layers of a checkpoint; of a bare file, its tensors.

    Raises
    ------
    CheckpointError
        If it is broken, too large, of an unknown kind or without MoE layers.
    """
    with open_archive(raw, LIMITS) as checkpoint:
        if checkpoint.config:
            every = layers_in(checkpoint.config)
            kind = str(checkpoint.config["model_type"])
            stored = {int(n) for name in checkpoint.names for n in LAYER.findall(name)}
            layers = tuple(layer for layer in every if layer in stored)
            if not layers:
                raise CheckpointError(
                    f"archive: got tensors of none of the {len(every)} MoE layers that config.json "
                    "names, allowed is one or more"
                )
            words = (
                f"A checkpoint of the kind {kind}, with {len(layers)} of the model's {len(every)} "
                "MoE layers."
            )
            return Contents(kind, layers, [], words)
        sizes = {name: math.prod(checkpoint.shape(name)) for name in checkpoint.names}
        largest = sorted(sizes, key=lambda name: -sizes[name])[:LISTED]
        rows = [
            {
                "Tensor": name,
                "Shape": " × ".join(map(str, checkpoint.shape(name))),
                "Type": checkpoint.dtype(name),
                "Parameters": f"{sizes[name]:,}",
            }
            for name in largest
        ]
        return Contents(
            "",
            (),
            rows,
            f"{len(sizes)} tensors with {sum(sizes.values()):,} numbers in all. A bare file does "
            "not say what model it belongs to, so no layer can be run: pack the whole folder, "
            "with its config.json, as .zip.",
        )


def run_layer(raw: bytes, layer: int) -> LayerRun:
    """Run one MoE layer's router on random inputs, and count its parameters.

    The inputs are as after a normalisation: independent normal numbers of variance one.

    Raises
    ------
    CheckpointError
        If the layer cannot be read.
    """
    with open_archive(raw, LIMITS) as checkpoint:
        moe = read_layer(checkpoint, layer)
    x_ND = np.random.default_rng(0).standard_normal((N_INPUTS, moe.d_model))
    routing = moe.route(x_ND.astype(moe.dtype))
    load_E = routing.proposed_load
    per_token = routing.n_assignments / N_INPUTS
    return LayerRun(
        f"layer {layer}, on random inputs",
        _sizes(moe, per_token),
        loads_of(f"layer {layer}", load_E),
        f"{moe.router.title}: {per_token:g} of {moe.n_experts} experts for each input. "
        f"{load_words(load_E)}",
    )


def _sizes(layer: MoELayer, per_token: float) -> list[dict[str, str]]:
    """Parameters of each part, stored and used for one token."""
    count = {"Router": 0, "Shared expert": 0, "Experts": 0}
    for name, array in layer.params.items():
        routed = name.startswith(("w_", "b_"))
        part = "Experts" if routed else "Shared expert" if name.startswith("shared_") else "Router"
        count[part] += array.size
    used = count | {"Experts": round(count["Experts"] * per_token / layer.n_experts)}
    rows = [(part, count[part], used[part]) for part in count if count[part]]
    rows.append(("All", sum(count.values()), sum(used.values())))
    return [
        {"Part": part, "Parameters stored": f"{stored:,}", "Used for a token": f"{active:,}"}
        for part, stored, active in rows
    ]
