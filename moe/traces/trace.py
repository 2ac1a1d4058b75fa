"""`Trace`: which experts a model's layers chose for the tokens of some text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import CheckpointError
from ..numbers import plural
from ..routing import Routing

MAX_EXPERTS = 1 << 20
MAX_LAYERS = 4096
MAX_TOKEN_TEXT = 256
MAX_NAME = 256
NO_EXPERT = -1


@dataclass(frozen=True, eq=False)  # compared by identity: arrays have no single truth value
class Trace:
    """Routing of N tokens in L MoE layers, each token with up to K experts, best first.

    `make_trace` builds one from arrays of any whole-number or floating type.

    Attributes
    ----------
    model
        Name of the model.
    layers
        Number of each recorded layer in its model, L of them, ascending.
    n_experts
        E, the same in all layers.
    expert_LNK
        Chosen experts, int16 (int32 from 32,768 experts on), as asked for before any capacity.
        -1 where a token has fewer than K, which routers without a fixed k leave at the end; so a
        trace is the same at any width K that holds its choices.
    weight_LNK
        Their weights, float32; 0 where the expert is -1.
    logits_LNE
        The router's raw logits, float32, or None.
    token_ids_N
        Number of each token in its vocabulary, int64, or None.
    tokens
        Text of each token, N of them.
    sequence_N
        Number of the document that a token belongs to, int32; its tokens stand together, in order.
    domain_N
        Number of each token's domain, int32, or None.
    domains
        Names of the domains.
    context
        Most tokens that the model saw at once, a token itself included, or None.

    Raises
    ------
    CheckpointError
        If a shape, type or value is not as described.
    """

    model: str
    layers: tuple[int, ...]
    n_experts: int
    expert_LNK: np.ndarray
    weight_LNK: np.ndarray
    logits_LNE: np.ndarray | None
    token_ids_N: np.ndarray | None
    tokens: tuple[str, ...]
    sequence_N: np.ndarray
    domain_N: np.ndarray | None = None
    domains: tuple[str, ...] = ()
    context: int | None = None

    def __post_init__(self) -> None:
        _check_names(self)
        _check_experts(self)
        _check_floats("weights", self.weight_LNK, self.expert_LNK.shape)
        if (self.weight_LNK[self.expert_LNK == NO_EXPERT] != 0).any():
            raise CheckpointError("weights: got a weight without an expert, allowed there is 0")
        if self.logits_LNE is not None:
            shape = (self.n_layers, self.n_tokens, self.n_experts)
            _check_floats("logits", self.logits_LNE, shape)
        _check_tokens(self)
        _check_domains(self)

    @property
    def n_layers(self) -> int:
        """Recorded layers, L."""
        return len(self.layers)

    @property
    def n_tokens(self) -> int:
        """Tokens, N."""
        return int(self.expert_LNK.shape[1])

    @cached_property
    def count_LN(self) -> np.ndarray:
        """Experts that each token has in each layer, (L, N) int64."""
        return np.asarray((self.expert_LNK >= 0).sum(axis=2))

    @property
    def k(self) -> int:
        """Most experts that a token has."""
        return int(self.count_LN.max(initial=0))

    @property
    def mean_k(self) -> float:
        """Experts that a token has, on average over tokens and layers."""
        return float(self.count_LN.mean()) if self.count_LN.size else 0.0

    @cached_property
    def start_S(self) -> np.ndarray:
        """Position of the first token of each sequence, (S,) int64."""
        return np.flatnonzero(np.diff(self.sequence_N, prepend=self.sequence_N[:1] - 1))

    def routing(self, layer_index: int) -> Routing:
        """Return one layer's routing; `layer_index` counts the recorded layers from 0.

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        if not 0 <= layer_index < self.n_layers:
            raise ValueError(
                f"layer_index: got {layer_index}, allowed is a whole number in "
                f"0..{self.n_layers - 1}"
            )
        expert_NK = self.expert_LNK[layer_index]
        return Routing.from_choices(
            expert_NK,
            self.weight_LNK[layer_index],
            self.n_experts,
            logits_NE=None if self.logits_LNE is None else self.logits_LNE[layer_index],
            listed_NK=None if (expert_NK >= 0).all() else expert_NK >= 0,
        )

    def part(self, at_n: np.ndarray) -> Trace:
        """Return the trace of some of its tokens: their places, ascending."""
        return replace(
            self,
            expert_LNK=self.expert_LNK[:, at_n],
            weight_LNK=self.weight_LNK[:, at_n],
            logits_LNE=None if self.logits_LNE is None else self.logits_LNE[:, at_n],
            token_ids_N=None if self.token_ids_N is None else self.token_ids_N[at_n],
            tokens=tuple(self.tokens[n] for n in at_n.tolist()),
            sequence_N=self.sequence_N[at_n],
            domain_N=None if self.domain_N is None else self.domain_N[at_n],
        )

    def layer_index(self, layer: int) -> int:
        """Return the place among the recorded layers of the model's layer of that number.

        Raises
        ------
        ValueError
            If it was not recorded; the message lists those that were.
        """
        if layer not in self.layers:
            raise ValueError(f"layer: got {layer}, allowed is one of {_listed(self.layers)}")
        return self.layers.index(layer)

    def describe(self) -> str:
        """One line for people."""
        domains = f", {len(self.domains)} domains" if self.domain_N is not None else ""
        layers = plural(self.n_layers, "MoE layer")
        fixed = not self.count_LN.size or self.count_LN.min() == self.k
        some = f"{self.k}" if fixed else f"on average {self.mean_k:.2f}"
        return (
            f"{self.model or 'a model'}: {self.n_tokens:,} tokens, {layers}, "
            f"{some} of {self.n_experts} experts per token{domains}"
        )


def make_trace(
    expert_LNK: Any,
    weight_LNK: Any,
    n_experts: int,
    token_ids_N: Any = None,
    *,
    model: str = "",
    layers: Sequence[int] | None = None,
    logits_LNE: Any = None,
    tokens: Sequence[str] | None = None,
    sequence_N: Any = None,
    domain_N: Any = None,
    domains: Sequence[str] = (),
    context: int | None = None,
) -> Trace:
    """Build a trace from arrays of any whole-number or floating type.

    Parameters
    ----------
    layers, tokens, sequence_N
        By default 0, 1, ...; the tokens' numbers as text, or their places; one sequence.

    Raises
    ------
    CheckpointError
        If the arrays don't fit together, or hold what a trace may not.
    """
    # Compared before the cast: 70,000 experts would wrap around in 16 bits.
    wide = n_experts if isinstance(n_experts, int) else 0
    experts = _whole("experts", expert_LNK, 3)
    if experts.size and (experts.min() < NO_EXPERT or experts.max() >= max(wide, 0)):
        raise CheckpointError(
            f"experts: got numbers from {experts.min()} to {experts.max()}, "
            f"allowed are 0..{n_experts - 1}, and -1 for none"
        )
    ids = None if token_ids_N is None else _fit("token_ids", token_ids_N, np.int64)
    n_tokens = experts.shape[1]
    sequence = np.zeros(n_tokens, np.int32)
    if tokens is None:
        tokens = list(map(str, range(n_tokens) if ids is None else ids.tolist()))
    if sequence_N is not None:
        sequence = _fit("sequences", sequence_N, np.int32)
    return Trace(
        model=model,
        layers=tuple(range(len(experts))) if layers is None else tuple(map(int, layers)),
        n_experts=n_experts,
        expert_LNK=experts.astype(expert_type(wide)),
        weight_LNK=_real("weights", weight_LNK),
        logits_LNE=None if logits_LNE is None else _real("logits", logits_LNE),
        token_ids_N=ids,
        tokens=tuple(map(str, tokens)),
        sequence_N=sequence,
        domain_N=None if domain_N is None else _fit("domain", domain_N, np.int32),
        domains=tuple(domains),
        context=context,
    )


def trace_of_routings(
    routings: Sequence[Routing], token_ids_N: np.ndarray | None = None, **described: Any
) -> Trace:
    """Build a trace from one `Routing` per layer, all of the same tokens and number of experts.

    Experts are those asked for, before any capacity; `described` are keywords of `make_trace`.

    Raises
    ------
    ValueError
        If there is no routing, or they differ in tokens or experts.
    """
    sizes = {(routing.n_tokens, routing.n_experts) for routing in routings}
    if len(sizes) != 1:
        raise ValueError(f"routings: got sizes {sorted(sizes)}, allowed is one size for all")
    ((n_tokens, n_experts),) = sizes
    k = max(int(routing.rank_A.max(initial=0)) + 1 for routing in routings)
    expert_LNK = np.full((len(routings), n_tokens, k), NO_EXPERT, np.int32)
    weight_LNK = np.zeros(expert_LNK.shape, np.float32)
    for layer, routing in enumerate(routings):
        place = layer, routing.token_A, routing.rank_A
        expert_LNK[place] = routing.expert_A if routing.asked_A is None else routing.asked_A
        weight_LNK[place] = routing.weight_A
    logits = [routing.logits_NE for routing in routings if routing.logits_NE is not None]
    if len(logits) == len(routings):
        described = {"logits_LNE": np.stack(logits)} | described
    return make_trace(expert_LNK, weight_LNK, n_experts, token_ids_N, **described)


def expert_type(n_experts: int) -> type[np.int16] | type[np.int32]:
    """Type of the array of experts: int16 where that is enough."""
    return np.int16 if n_experts <= np.iinfo(np.int16).max + 1 else np.int32


def _whole(name: str, value: Any, n_axes: int) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.ndim != n_axes:
        raise CheckpointError(
            f"{name}: got {array.dtype} of shape {array.shape}, "
            f"allowed are whole numbers with {n_axes} axes"
        )
    return array


def _fit(name: str, value: Any, kind: type[np.int32] | type[np.int64]) -> np.ndarray:
    """Whole numbers, one per token, in a type that holds them all."""
    array, limits = _whole(name, value, 1), np.iinfo(kind)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise CheckpointError(
            f"{name}: got numbers beyond {limits.bits} bits, allowed are smaller ones"
        )
    return array.astype(kind)


def _real(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind != "f":
        raise CheckpointError(f"{name}: got dtype {array.dtype}, allowed are floating numbers")
    with np.errstate(over="ignore"):  # what overflows float32 is refused as infinite
        return array.astype(np.float32)


def _check_names(trace: Trace) -> None:
    _check_text("model", trace.model, MAX_NAME)
    whole = isinstance(trace.n_experts, int) and not isinstance(trace.n_experts, bool)
    if not whole or not 1 <= trace.n_experts <= MAX_EXPERTS:
        raise CheckpointError(
            f"n_experts: got {trace.n_experts!r}, allowed is a whole number in 1..{MAX_EXPERTS}"
        )
    check_layers(trace.layers)
    if trace.context is not None and not (type(trace.context) is int and trace.context >= 1):
        raise CheckpointError(
            f"context: got {str(trace.context)[:40]}, allowed is a whole number >= 1"
        )


def check_layers(layers: Sequence[int]) -> None:
    """Raise a CheckpointError unless these can be the numbers of a trace's layers."""
    rising = all(a < b for a, b in pairwise(layers))
    if not 1 <= len(layers) <= MAX_LAYERS or not rising or layers[0] < 0:
        raise CheckpointError(
            f"layers: got {_listed(layers)}, allowed are 1 to {MAX_LAYERS} numbers "
            "from 0 on, ascending"
        )


def _check_experts(trace: Trace) -> None:
    array, wanted = trace.expert_LNK, expert_type(trace.n_experts)
    fits = array.ndim == 3 and len(array) == trace.n_layers and array.dtype == wanted
    if not fits or not 1 <= array.shape[2] <= trace.n_experts:
        raise CheckpointError(
            f"experts: got {array.dtype} of shape {array.shape}, allowed is "
            f"{np.dtype(wanted)} of ({trace.n_layers} layers, tokens, 1..{trace.n_experts})"
        )
    if array.size and (array.min() < NO_EXPERT or array.max() >= trace.n_experts):
        raise CheckpointError(
            f"experts: got numbers from {array.min()} to {array.max()}, "
            f"allowed are 0..{trace.n_experts - 1}, and -1 for none"
        )
    if (np.diff((array < 0).astype(np.int8), axis=2) < 0).any():
        raise CheckpointError("experts: got -1 before an expert, allowed is -1 at the end only")
    ordered = np.sort(array, axis=2)
    if ((np.diff(ordered, axis=2) == 0) & (ordered[:, :, 1:] >= 0)).any():
        raise CheckpointError("experts: got one expert twice for a token, allowed is once")


def _check_floats(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.dtype != np.float32 or array.shape != shape:
        raise CheckpointError(
            f"{name}: got {array.dtype} of shape {array.shape}, allowed is float32 of {shape}"
        )
    if not np.isfinite(array).all():
        raise CheckpointError(f"{name}: got NaN or infinity, allowed are finite numbers only")


def _check_tokens(trace: Trace) -> None:
    n_tokens = trace.n_tokens
    for name, array, kind in (
        ("token_ids", trace.token_ids_N, np.int64),
        ("sequences", trace.sequence_N, np.int32),
    ):
        if array is None:
            continue
        if array.dtype != kind or array.shape != (n_tokens,):
            raise CheckpointError(
                f"{name}: got {array.dtype} of shape {array.shape}, "
                f"allowed is {np.dtype(kind)} of ({n_tokens},), one per token"
            )
    if len(trace.start_S) != len(np.unique(trace.sequence_N)):
        raise CheckpointError("sequences: got one in two places, allowed are tokens that adjoin")
    if len(trace.tokens) != n_tokens:
        raise CheckpointError(f"tokens: got {len(trace.tokens)}, allowed are {n_tokens}")
    for text in set(trace.tokens):
        _check_text("tokens", text, MAX_TOKEN_TEXT)


def _check_domains(trace: Trace) -> None:
    for text in trace.domains:
        _check_text("domains", text, MAX_NAME)
    if len(set(trace.domains)) != len(trace.domains):
        raise CheckpointError("domains: got one name twice, allowed is once")
    array = trace.domain_N
    if array is None:
        return
    if array.dtype != np.int32 or array.shape != (trace.n_tokens,):
        raise CheckpointError(
            f"domain: got {array.dtype} of shape {array.shape}, allowed is int32 of "
            f"({trace.n_tokens},), one per token"
        )
    if array.size and (array.min() < 0 or array.max() >= len(trace.domains)):
        raise CheckpointError(
            f"domain: got numbers from {array.min()} to {array.max()}, allowed are "
            f"those of the {len(trace.domains)} names in domains, from 0"
        )


def _check_text(name: str, text: Any, longest: int) -> None:
    """Text that every format keeps as it is: no NUL, which numpy drops, and no lone surrogate."""
    if not isinstance(text, str) or len(text) > longest:
        raise CheckpointError(
            f"{name}: got {str(text)[:40]!r}, allowed is text of at most {longest} characters"
        )
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise CheckpointError(f"{name}: got {text[:40]!r}, allowed is text that UTF-8 can hold")


def _listed(layers: Sequence[int]) -> str:
    shown = ", ".join(map(str, layers[:20]))
    return f"{shown}, ..." if len(layers) > 20 else shown or "none"
