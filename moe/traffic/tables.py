"""Tables of how published models route, measured by `python -m benchmarks.real_routing`.

Each carries its source with commit and licence. Loads are counts; what they say of experts that
tokens read together is exact and computed here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import check_choice
from .measure import reads_of_loads

FOLDER = Path(__file__).resolve().parent / "tables"
TABLES = ("v2-lite", "olmoe", "mixtral")


@dataclass(frozen=True, eq=False)  # compared by identity: `load_table` gives each once
class RoutingTable:
    """How a model routes text of several tasks or domains.

    Attributes
    ----------
    model, source, commit, path, licence, command
        Whose routing, where it was published, under what licence, and what computed this table.
    n_experts, k, layers
        E, K and the numbers of the layers.
    tokens
        Tokens of each domain.
    loads
        How many of them chose each expert in each layer, (L, E) lists by domain.
    template
        Tokens left out at the head of each document, by domain.
    sizes, in_a_row, n_windows
        Numbers N of consecutive tokens; experts that they read by domain, mean over windows and
        layers, None where there are few windows; and how many windows there are.
    shared
        Share of a token's experts that the one before it had, by domain and layer.
    """

    model: str
    source: str
    commit: str
    path: str
    licence: str
    command: str
    n_experts: int
    k: int
    layers: list[int]
    tokens: dict[str, int]
    loads: dict[str, list[list[int]]]
    template: dict[str, int]
    sizes: list[int]
    in_a_row: dict[str, list[float | None]]
    n_windows: dict[str, list[int]]
    shared: dict[str, list[float]]

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains."""
        return tuple(self.loads)

    @cached_property
    def chosen_DLE(self) -> np.ndarray:
        """Chance that a token of a domain chooses each expert, (D, L, E)."""
        return np.stack([np.array(self.loads[d]) / self.tokens[d] for d in self.domains])

    @cached_property
    def share_DLE(self) -> np.ndarray:
        """Share of a domain's assignments at each expert, (D, L, E)."""
        return self.chosen_DLE / self.chosen_DLE.sum(axis=2, keepdims=True)

    @property
    def mixed_LE(self) -> np.ndarray:
        """Chance that a token of any domain, each as likely, chooses each expert."""
        return np.asarray(self.chosen_DLE.mean(axis=0))

    @cached_property
    def batch_DS(self) -> np.ndarray:
        """Experts that N tokens of one domain read, taken at random, mean over layers, (D, S)."""
        return np.stack([
            reads_of_loads(np.array(self.loads[d]), self.tokens[d], self.sizes).mean(axis=0)
            for d in self.domains
        ])  # fmt: skip

    @cached_property
    def in_a_row_DS(self) -> np.ndarray:
        """Experts that N consecutive tokens read, (D, S); NaN is unknown."""
        return np.array([self.in_a_row[d] for d in self.domains], float).reshape(
            len(self.domains), -1
        )

    def max_vio(self) -> dict[str, float]:
        """Busiest expert over the mean, less 1, mean over layers, by domain and in an equal mix."""
        share = dict(zip(self.domains, self.share_DLE, strict=True))
        share["mix"] = self.share_DLE.mean(axis=0)
        return {
            name: float((share_LE.max(axis=1) * self.n_experts - 1).mean())
            for name, share_LE in share.items()
        }

    def rank_share(self) -> np.ndarray:
        """Share of the assignments at a domain's busiest expert, the next, ..., (E,).

        Means are over domains and layers.
        """
        return np.asarray(np.sort(self.share_DLE, axis=2)[:, :, ::-1].mean(axis=(0, 1)))


@cache
def load_table(name: str) -> RoutingTable:
    """Return a shipped table by its name.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    check_choice("table", name, TABLES)
    return table_of(json.loads((FOLDER / f"{name}.json").read_text("utf-8")))


def table_of(written: Mapping[str, Any]) -> RoutingTable:
    """Return a table from what its file holds."""
    return RoutingTable(**{field.name: written[field.name] for field in fields(RoutingTable)})
