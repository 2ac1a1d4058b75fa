"""What a family says of how its layers mix tokens: kinds of layers, and parts beside attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..checkpoints.config import ConfigValues
from ..checkpoints.family import Family
from .shape import Mixer

Formula = Callable[[ConfigValues], int]
Kinds = Callable[[ConfigValues, int], tuple[str, ...]]  # of each layer, for their number

LINEAR, FULL, SLIDING = "linear_attention", "full_attention", "sliding_attention"
INDEXED = ("indexed_attention", "deepseek_sparse_attention")
BLOCKS = "minimax_m3_sparse"
OLD_NAMES = {"mamba": LINEAR, "attention": FULL}  # that published files have for them


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
    cache, width, state, window, absorbed
        Formulas of what it keeps for a token, of its multiply-adds for each token that a token
        sees, of the state and the window that it keeps for a sequence, and of those multiply-adds
        in decoding: see `Mixer`. None is nothing.
    """

    title: str
    params: Formula
    cache: Formula | None = None
    width: Formula | None = None
    state: Formula | None = None
    window: Formula | None = None
    absorbed: Formula | None = None

    def of(self, values: ConfigValues, layers: int, beside: bool = False) -> Mixer:
        """Layers of this kind in a model."""
        names = ("cache", "width", "state", "window", "absorbed")
        formulas = {name: getattr(self, name) for name in names}
        figures = {name: formula(values) for name, formula in formulas.items() if formula}
        return Mixer(self.title, layers, self.params(values), beside=beside, **figures)


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
    other
        What stands between layers, for a number of layers: all of its weights.
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
    other: Callable[[ConfigValues, int], int] | None = None
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
        plain |= {*INDEXED, BLOCKS} if self.beside and self.beside.title else set()
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


def mixing_notes(mixers: tuple[Mixer, ...], n_layers: int, other: int = 0) -> list[str]:
    """Sentences on what mixes tokens and has a cost beside that of its matrices."""
    instead, beside = "{} of {} layers have {} instead of attention", "{} of {} layers have {}"
    streams = f"Further residual streams are counted with the norms: {other:,} parameters."
    kept = [next((k for k in ("state", "window") if getattr(one, k)), "") for one in mixers]
    return [streams] * bool(other) + [
        (beside if mixer.beside else instead).format(mixer.layers, n_layers, mixer.title)
        + f": its parameters {f'and its {keeps} ' if keeps else ''}are counted, "
        + (
            "attention as attention to all of the text, so that its operations are upper bounds."
            if mixer.beside or mixer.width
            else f"the operations on its {keeps or 'state'} are not."
        )
        for mixer, keeps in zip(mixers, kept, strict=True)
        if mixer.title
    ]
