"""How published tensors lie in a layer's arrays: one view of the array per tensor, both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

View = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Sizes:
    """Sizes of one layer: D, F, E and the width of the shared expert (0: there is none)."""

    d_model: int
    d_expert: int
    n_experts: int
    d_shared: int = 0


@dataclass(frozen=True)
class Slot:
    """One published tensor.

    Attributes
    ----------
    name, shape
        As in the file, the layer's prefix left out.
    array
        Name of the layer's array that holds it.
    view
        Gives the part of that array, axes in the order of the file. Where the file interleaves
        gate and up, the view has one axis more than `shape`.
    """

    name: str
    shape: tuple[int, ...]
    array: str
    view: View

    def put(self, array: np.ndarray, tensor: np.ndarray) -> None:
        """Write a tensor of the file into the layer's array."""
        part = self.view(array)
        part[...] = tensor.reshape(part.shape)

    def get(self, array: np.ndarray) -> np.ndarray:
        """Copy the tensor out of the layer's array, or out of its gradient."""
        return self.view(array).copy().reshape(self.shape)


@dataclass(frozen=True)
class Layout:
    """How a family stores its experts.

    Attributes
    ----------
    title
        In words, for the documentation.
    slots
        Makes the slots of the routed experts from the sizes.
    biases
        Whether experts have biases.
    """

    title: str
    slots: Callable[[Sizes], Iterator[Slot]]
    biases: bool = False


def whole(array: np.ndarray) -> np.ndarray:
    """The array itself."""
    return array


def transposed(array: np.ndarray) -> np.ndarray:
    """The last two axes swapped: linear layers are stored as (out, in)."""
    return array.swapaxes(-1, -2)


def linear_slots(names: tuple[str, str, str], prefix: str, width: int, d: int) -> Iterator[Slot]:
    """The three (out, in) matrices of one network: gate, up, down, in the order of `names`."""
    gate, up, down = names

    def half(start: int) -> View:
        return lambda array: transposed(array[..., start : start + width])

    gate_up, last = "w_gate_up_ED2F", "w_down_EFD"
    yield Slot(f"{prefix}{gate}.weight", (width, d), gate_up, half(0))
    yield Slot(f"{prefix}{up}.weight", (width, d), gate_up, half(width))
    yield Slot(f"{prefix}{down}.weight", (d, width), last, transposed)


def _per_expert(names: tuple[str, str, str], sizes: Sizes) -> Iterator[Slot]:
    for expert in range(sizes.n_experts):
        prefix = f"experts.{expert}."
        for slot in linear_slots(names, prefix, sizes.d_expert, sizes.d_model):
            yield replace(slot, view=_of_expert(expert, slot.view))


def _of_expert(expert: int, view: View) -> View:
    return lambda array: view(array[expert])


def _fused(sizes: Sizes) -> Iterator[Slot]:
    e, d, f = sizes.n_experts, sizes.d_model, sizes.d_expert
    yield Slot("experts.gate_up_proj", (e, d, 2 * f), "w_gate_up_ED2F", whole)
    yield Slot("experts.down_proj", (e, f, d), "w_down_EFD", whole)


def _fused_rows(sizes: Sizes) -> Iterator[Slot]:
    e, d, f = sizes.n_experts, sizes.d_model, sizes.d_expert
    yield Slot("input_linear.weight", (e, 2 * f, d), "w_gate_up_ED2F", transposed)
    yield Slot("output_linear.weight", (e, d, f), "w_down_EFD", transposed)


def _alternating(array: np.ndarray) -> np.ndarray:
    """Halves (..., 2F) as pairs (..., F, 2), a view."""
    halves = array.reshape(*array.shape[:-1], 2, array.shape[-1] // 2)
    return transposed(halves)


def _interleaved(sizes: Sizes) -> Iterator[Slot]:
    e, d, f = sizes.n_experts, sizes.d_model, sizes.d_expert
    yield Slot("experts.gate_up_proj", (e, d, 2 * f), "w_gate_up_ED2F", _alternating)
    yield Slot("experts.gate_up_proj_bias", (e, 2 * f), "b_gate_up_E2F", _alternating)
    yield Slot("experts.down_proj", (e, f, d), "w_down_EFD", whole)
    yield Slot("experts.down_proj_bias", (e, d), "b_down_ED", whole)


USUAL_NAMES = ("gate_proj", "up_proj", "down_proj")
MIXTRAL_NAMES = ("w1", "w3", "w2")

PROJ = Layout(
    "one (out, in) matrix each: gate_proj, up_proj, down_proj", partial(_per_expert, USUAL_NAMES)
)
W123 = Layout(
    "one (out, in) matrix each: w1 gate, w3 up, w2 down", partial(_per_expert, MIXTRAL_NAMES)
)
FUSED = Layout("all in one: (E, D, 2F), gate half first, and (E, F, D)", _fused)
FUSED_ROWS = Layout("all in one: (E, 2F, D), gate half first, and (E, D, F)", _fused_rows)
INTERLEAVED = Layout(
    "all in one: (E, D, 2F), gate and up alternate, and (E, F, D); biases",
    _interleaved,
    biases=True,
)
