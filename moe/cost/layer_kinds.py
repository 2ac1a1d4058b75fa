"""Which kind each layer of a model is, by the lists and rules of published configurations."""

from __future__ import annotations

from ..checkpoints.config import ConfigValues
from ..checkpoints.nemotron_family import NEMOTRON_LETTERS, nemotron_kinds
from .mixed_layers import FULL, INDEXED, LINEAR, OLD_NAMES, SLIDING, Kinds

V4_KINDS = {
    0: SLIDING, 4: "compressed_sparse_attention", 128: "heavily_compressed_attention",
}  # fmt: skip


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


def alternating(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """Full and linear attention in turn."""
    return tuple(LINEAR if layer % 2 else FULL for layer in range(n_layers))


def all_linear(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """Linear attention alone."""
    return (LINEAR,) * n_layers


def jamba(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """Full attention once in a period, by an offset."""
    period, offset = values.whole("attn_layer_period"), values.whole("attn_layer_offset", 0)
    return tuple(FULL if layer % period == offset else LINEAR for layer in range(n_layers))


def kimi(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """By a list of those with full attention, counted from 1; else every fourth but the first."""
    full = values.wholes("linear_attn_config.full_attn_layers")
    if full is None:
        full = frozenset(range(5, n_layers + 1, 4))
    return tuple(FULL if layer + 1 in full else LINEAR for layer in range(n_layers))


def mimo(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """Full attention in the first layer and in every sixth."""
    return tuple(SLIDING if layer and (layer + 1) % 6 else FULL for layer in range(n_layers))


def lara(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """Five kinds in turn."""
    return tuple((LINEAR, SLIDING, LINEAR, FULL, SLIDING)[n % 5] for n in range(n_layers))


def dots_note(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """An indexer in the first two layers and in every fourth."""
    return tuple(INDEXED[0] if n < 2 or n % 4 == 1 else SLIDING for n in range(n_layers))


def nemotron(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """As the file says, under the names here."""
    names = {**OLD_NAMES, **NEMOTRON_LETTERS}
    return tuple(names.get(kind, kind) for kind in nemotron_kinds(values, n_layers))


def gemma(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """Every sixth layer sees all of the text, and the last one in any case."""
    return tuple(SLIDING if n % 6 and n < n_layers else FULL for n in range(1, n_layers + 1))


def v4(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """By published ratios of compression, else two heavily compressed ones and then in turn."""
    ratios = values.each("compress_ratios", n_layers, low=0, more=True)
    if ratios is None:
        return tuple(V4_KINDS[4] if n > 2 and n % 2 else V4_KINDS[128] for n in range(n_layers))
    for ratio in ratios:
        if ratio not in V4_KINDS:
            raise values.wrong("compress_ratios", ratio, " or ".join(map(str, V4_KINDS)))
    return tuple(V4_KINDS[ratio] for ratio in ratios)
