"""How published tensors map to a layer's arrays: each tensor is a view of an array.

One view serves both loading and exporting, so that the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

View = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Sizes:
    """Sizes of one layer: D, F, E, the shared expert's width or 0, experts that return x.

    `d_latent` is L, the width of what latent experts get and give, or 0.
    """

    d_model: int
    d_expert: int
    n_experts: int
    d_shared: int = 0
    n_identity: int = 0
    d_latent: int = 0

    @property
    def routed(self) -> Sizes:
        """The same as the routed experts see them: D is the width of what they get."""
        return replace(self, d_model=self.d_latent or self.d_model)

    @property
    def pool(self) -> int:
        """Experts that the gate chooses from, those that return x at the end."""
        return self.n_experts + self.n_identity


@dataclass(frozen=True)
class Slot:
    """One published tensor.

    Attributes
    ----------
    name, shape
        Name and shape in the file, without the layer's prefix.
    array
        Name of the layer's array that holds it.
    view
        Returns the part of that array, with axes in the order of the file. If the file interleaves
        gate and up, the view has one axis more than `shape`.
    factor
        Power of two by which the array is the file's tensor, and the file's gradient the array's.
    """

    name: str
    shape: tuple[int, ...]
    array: str
    view: View
    factor: float = 1.0

    def put(self, array: np.ndarray, tensor: np.ndarray) -> None:
        """Write a tensor of the file into the layer's array."""
        part = self.view(array)
        part[...] = tensor.reshape(part.shape)
        self.scale(array)

    def scale(self, array: np.ndarray) -> None:
        """Multiply what the file had, and the array now has, by the factor."""
        if self.factor != 1:
            self.view(array)[...] *= self.factor

    def get(self, array: np.ndarray, gradient: bool = False) -> np.ndarray:
        """Copy the tensor out of the layer's array, or out of its gradient.

        Zeros stand for experts that the file has room for, and that compute nothing.
        """
        part = self.view(array)
        if self.factor != 1:
            part = part * (self.factor if gradient else 1 / self.factor)
        if len(self.shape) == 3 and part.shape[0] < self.shape[0]:
            whole_part = np.zeros(self.shape, part.dtype)
            whole_part[: part.shape[0]] = part
            return whole_part
        return part.copy().reshape(self.shape)


@dataclass(frozen=True)
class Layout:
    """How a family stores its experts.

    Attributes
    ----------
    title
        Description for the documentation.
    slots
        Makes the slots of the routed experts from the sizes.
    biases
        Whether experts have biases.
    gated
        Whether they have a gate projection.
    """

    title: str
    slots: Callable[[Sizes], Iterator[Slot]]
    biases: bool = False
    gated: bool = True


def whole(array: np.ndarray) -> np.ndarray:
    """Return the array itself."""
    return array


def transposed(array: np.ndarray) -> np.ndarray:
    """Swap the last two axes, since linear layers are stored as (out, in)."""
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


def network_slots(
    names: tuple[str, ...], prefix: str, width: int, d: int, gated: bool
) -> Iterator[Slot]:
    """The matrices of one network: gate, up and down; gate and up in one, and down; up and down."""
    if len(names) == 3:
        gate, up, down = names
        yield from linear_slots((gate, up, down), prefix, width, d)
        return
    rows, first = (2 * width, "w_gate_up_ED2F") if gated else (width, "w_up_EDF")
    yield Slot(f"{prefix}{names[0]}.weight", (rows, d), first, transposed)
    yield Slot(f"{prefix}{names[1]}.weight", (d, width), "w_down_EFD", transposed)


def _per_expert(names: tuple[str, str, str], sizes: Sizes) -> Iterator[Slot]:
    for expert in range(sizes.n_experts):
        prefix = f"experts.{expert}."
        for slot in linear_slots(names, prefix, sizes.d_expert, sizes.d_model):
            yield replace(slot, view=_of_expert(expert, slot.view))


def _up_down(sizes: Sizes) -> Iterator[Slot]:
    for expert in range(sizes.n_experts):
        names, prefix = ("up_proj", "down_proj"), f"experts.{expert}."
        for slot in network_slots(names, prefix, sizes.d_expert, sizes.d_model, gated=False):
            yield replace(slot, view=_of_expert(expert, slot.view))


def _stacked_up_down(sizes: Sizes) -> Iterator[Slot]:
    e, d, f = sizes.n_experts, sizes.d_model, sizes.d_expert
    yield Slot("experts.up_proj", (e, f, d), "w_up_EDF", transposed)
    yield Slot("experts.down_proj", (e, d, f), "w_down_EFD", transposed)


def _of_expert(expert: int, view: View) -> View:
    return lambda array: view(array[expert])


def _fused(names: tuple[str, str], sizes: Sizes) -> Iterator[Slot]:
    e, d, f = sizes.n_experts, sizes.d_model, sizes.d_expert
    yield Slot(names[0], (e, d, 2 * f), "w_gate_up_ED2F", whole)
    yield Slot(names[1], (e, f, d), "w_down_EFD", whole)


def _fused_biases(sizes: Sizes) -> Iterator[Slot]:
    e, d, f = sizes.n_experts, sizes.d_model, sizes.d_expert
    yield from _fused(STACKED_NAMES, sizes)
    yield Slot("experts.gate_up_proj_bias", (e, 2 * f), "b_gate_up_E2F", whole)
    yield Slot("experts.down_proj_bias", (e, d), "b_down_ED", whole)


def _rows(sizes: Sizes) -> Iterator[Slot]:
    """DBRX: the experts' rows one below the other, gate and up apart, down the other way round."""
    e, d, f = sizes.n_experts, sizes.d_model, sizes.d_expert
    for name, start in (("w1", 0), ("v1", f)):
        part = partial(_transposed_part, _columns(start, f))
        yield Slot(f"experts.mlp.{name}", (e * f, d), "w_gate_up_ED2F", part)
    yield Slot("experts.mlp.w2", (e * f, d), "w_down_EFD", whole)


def _fused_rows(names: tuple[str, str], sizes: Sizes) -> Iterator[Slot]:
    e, d, f = sizes.n_experts, sizes.d_model, sizes.d_expert
    # The library gives experts that return x a gate and an up matrix, which nothing reads.
    yield Slot(names[0], (sizes.pool, 2 * f, d), "w_gate_up_ED2F", transposed)
    yield Slot(names[1], (e, d, f), "w_down_EFD", transposed)


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


NO_EXPERTS = Layout("none", lambda sizes: iter(()))
USUAL_NAMES = ("gate_proj", "up_proj", "down_proj")
MIXTRAL_NAMES = ("w1", "w3", "w2")

PROJ = Layout(
    "one (out, in) matrix each: gate_proj, up_proj, down_proj", partial(_per_expert, USUAL_NAMES)
)
W123 = Layout(
    "one (out, in) matrix each: w1 gate, w3 up, w2 down", partial(_per_expert, MIXTRAL_NAMES)
)
STACKED_NAMES = ("experts.gate_up_proj", "experts.down_proj")
FUSED = Layout(
    "all in one: (E, D, 2F), gate half first, and (E, F, D)", partial(_fused, STACKED_NAMES)
)
FUSED_ROWS = Layout(
    "all in one: (E, 2F, D), gate half first, and (E, D, F)",
    partial(_fused_rows, ("input_linear.weight", "output_linear.weight")),
)
STACKED = Layout(
    "all in one: (E, 2F, D), gate half first, and (E, D, F)", partial(_fused_rows, STACKED_NAMES)
)
ROWS = Layout("all in one, thrice (EF, D): w1 gate, v1 up, w2 down", _rows)
UP_DOWN = Layout("one (out, in) matrix each: up_proj, down_proj", _up_down, gated=False)
STACKED_UP_DOWN = Layout("all in one: (E, F, D) and (E, D, F)", _stacked_up_down, gated=False)
FUSED_BIASES = Layout(
    "all in one: (E, D, 2F), gate half first, and (E, F, D); biases", _fused_biases, biases=True
)
FC = Layout(
    "all in one: (E, D, 2F), gate half first, and (E, F, D)",
    partial(_fused, ("experts.fc1.weight", "experts.fc2.weight")),
)
INTERLEAVED = Layout(
    "all in one: (E, D, 2F), gate and up alternate, and (E, F, D); biases",
    _interleaved,
    biases=True,
)


@dataclass(frozen=True)
class Order:
    """Order of axes in arrays that hold all experts at once, for `MoELayer.from_arrays`.

    Attributes
    ----------
    title
        Description for messages.
    down_axes
        Axes of `down_proj`, 'EDF' or 'EFD', from which the sizes are read.
    slots
        Makes the slots from the sizes and from whether the experts are gated; slots of biases
        need not be filled.
    gated_only
        Whether experts without a gate projection are not supported.
    """

    title: str
    down_axes: str
    slots: Callable[[Sizes, bool], Iterator[Slot]]
    gated_only: bool = True


def _linears(sizes: Sizes, gated: bool) -> Iterator[Slot]:
    e, d, f = sizes.n_experts, sizes.d_model, sizes.d_expert
    up, up_bias = ("w_gate_up_ED2F", "b_gate_up_E2F") if gated else ("w_up_EDF", "b_up_EF")
    for place, name in enumerate(USUAL_NAMES[:2] if gated else USUAL_NAMES[1:2]):
        part = _columns(place * f, f)
        yield Slot(name, (e, f, d), up, partial(_transposed_part, part))
        yield Slot(f"{name}_bias", (e, f), up_bias, part)
    yield Slot("down_proj", (e, d, f), "w_down_EFD", transposed)
    yield Slot("down_proj_bias", (e, d), "b_down_ED", whole)


def _columns(start: int, width: int) -> View:
    return lambda array: array[..., start : start + width]


def _transposed_part(part: View, array: np.ndarray) -> np.ndarray:
    return transposed(part(array))


def _all_in_one(layout: Callable[[Sizes], Iterator[Slot]], sizes: Sizes, _: bool) -> Iterator[Slot]:
    """The slots of a layout without "experts." in their names, and with slots of biases."""
    names = []
    for slot in layout(sizes):
        names.append(slot.name.removeprefix("experts."))
        yield replace(slot, name=names[-1])
    if "down_proj_bias" not in names:
        e, d, f = sizes.n_experts, sizes.d_model, sizes.d_expert
        yield Slot("gate_up_proj_bias", (e, 2 * f), "b_gate_up_E2F", whole)
        yield Slot("down_proj_bias", (e, d), "b_down_ED", whole)


ORDERS = {
    "torch": Order(
        "gate_proj and up_proj (E, F, D), down_proj (E, D, F), as nn.Linear keeps them",
        "EDF",
        _linears,
        gated_only=False,
    ),
    "transformers": Order(
        "gate_up_proj (E, 2F, D), gate half first, and down_proj (E, D, F)",
        "EDF",
        partial(_all_in_one, STACKED.slots),
    ),
    "llama4": Order(
        "gate_up_proj (E, D, 2F), gate half first, and down_proj (E, F, D)",
        "EFD",
        partial(_all_in_one, FUSED.slots),
    ),
    "gpt_oss": Order(
        "gate_up_proj (E, D, 2F), gate and up alternate, and down_proj (E, F, D)",
        "EFD",
        partial(_all_in_one, _interleaved),
    ),
}


def gate_slots(d_model: int, width: int) -> Iterator[Slot]:
    """Slots of the gate in every order except the layer's; both biases may be missing."""
    yield Slot("gate", (width, d_model), "gate_DE", transposed)
    yield Slot("gate_bias", (width,), "gate_bias_E", whole)
    yield Slot("select_bias", (width,), "select_bias_E", whole)


def latent_slots(
    d_model: int,
    d_latent: int,
    names: tuple[str, str] = ("latent_down_proj", "latent_up_proj"),
) -> Iterator[Slot]:
    """Slots of the products that lead to latent experts and back."""
    yield Slot(names[0], (d_latent, d_model), "latent_down_DL", transposed)
    yield Slot(names[1], (d_model, d_latent), "latent_up_LD", transposed)


def shared_slots(d_model: int, width: int, gated: bool) -> Iterator[Slot]:
    """Slots of the shared experts, which form one network; its gate, the last, may be missing."""
    for slot in _linears(Sizes(d_model, width, 1), gated):
        if not slot.name.endswith("_bias"):
            name = f"shared_{slot.array.replace('_ED', '_D').replace('_EF', '_F')}"
            yield Slot(f"shared_{slot.name}", slot.shape[1:], name, slot.view)
    yield Slot("shared_gate", (1, d_model), "shared_gate_D1", transposed)
