"""How well the law predicts a task that it never saw: fitted to all but one, for each in turn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .law import (
    Locality,
    chosen_by_law,
    fit_locality,
    fit_spread,
    reads_at_random,
    reads_in_a_row,
)
from .tables import RoutingTable


@dataclass(frozen=True)
class HeldOut:
    """Experts that a task's tokens read, measured, and by a law fitted to the other tasks.

    Attributes
    ----------
    domain
        The task that was left out.
    consecutive
        Whether the tokens follow each other.
    spread, locality
        What the other tasks gave; None where the tokens are taken at random.
    sizes, measured, law, even
        Numbers of tokens, and experts that they read: measured, by the law, by the even formula.
    """

    domain: str
    consecutive: bool
    spread: float
    locality: Locality | None
    sizes: tuple[int, ...]
    measured: tuple[float, ...]
    law: tuple[float, ...]
    even: tuple[float, ...]

    @property
    def law_error(self) -> float:
        """Largest error of the law, relative."""
        return _largest(self.law, self.measured)

    @property
    def even_error(self) -> float:
        """Largest error of the even formula, relative."""
        return _largest(self.even, self.measured)

    def words(self) -> str:
        """One line for people."""
        how = "one after another" if self.consecutive else "of one task"
        return (
            f"{self.domain}, {how}: at most {self.law_error:+.1%} (even {self.even_error:+.1%}), "
            f"spread {self.spread:.2f}"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and lists."""
        return {
            "domain": self.domain, "consecutive": self.consecutive, "spread": self.spread,
            "sizes": self.sizes, "measured": self.measured, "law": self.law, "even": self.even,
            "law_error": self.law_error, "even_error": self.even_error,
        }  # fmt: skip


@cache
def held_out(table: RoutingTable) -> tuple[HeldOut, ...]:
    """Leave out each domain in turn: at random, and in a row where that was measured."""
    n_domains, sizes = len(table.domains), np.array(table.sizes)
    even_RE = np.full((1, table.n_experts), table.k / table.n_experts)
    rows = []
    for left in range(n_domains):
        others = [d for d in range(n_domains) if d != left]
        spread = fit_spread(table.n_experts, table.k, sizes, table.batch_DS[others])
        law_RE = chosen_by_law(table.n_experts, table.k, spread)[None]
        rows.append(
            _row(table.domains[left], spread, None, sizes, table.batch_DS[left],
                 reads_at_random(law_RE, sizes)[0], reads_at_random(even_RE, sizes)[0])
        )  # fmt: skip
        known_S = np.isfinite(table.in_a_row_DS[left])
        if not known_S.any():
            continue
        locality = fit_locality(
            [table.chosen_DLE[d] for d in others], sizes, table.in_a_row_DS[others]
        )
        rows.append(
            _row(table.domains[left], spread, locality, sizes[known_S],
                 table.in_a_row_DS[left][known_S],
                 reads_in_a_row(law_RE, locality, sizes[known_S])[0],
                 reads_at_random(even_RE, sizes[known_S])[0])
        )  # fmt: skip
    return tuple(rows)


def _row(
    domain: str, spread: float, locality: Locality | None, sizes: np.ndarray, measured: np.ndarray,
    law: np.ndarray, even: np.ndarray,
) -> HeldOut:  # fmt: skip
    values = [tuple(values_S.tolist()) for values_S in (sizes, measured, law, even)]
    return HeldOut(domain, locality is not None, spread, locality, *values)


def _largest(made: tuple[float, ...], measured: tuple[float, ...]) -> float:
    """Error of largest size, with its sign."""
    error_S = np.array(made) / np.array(measured) - 1
    return float(error_S[np.abs(error_S).argmax()])
