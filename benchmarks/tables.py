"""Results as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from .measure import PASSES, names_in

SAID = {True: "[green]yes[/green]", False: "[red]no[/red]", None: "not measured"}


def peers_tables(results: Mapping[str, Any]) -> list[Table]:
    """Milliseconds of each implementation, one table a pass, a row a shape."""
    figures, shapes = results["figures"], list(results["settings"]["shapes"])
    made = []
    for passed in PASSES:
        found = {shape: names_in(figures, f"{shape}/{passed}/ms") for shape in shapes}
        names = list(dict.fromkeys(name for row in found.values() for name in row))
        table = Table("shape", *names, title=f"{passed}, milliseconds")
        for shape in shapes:
            cells = (_spread(figures.get(f"{shape}/{passed}/ms/{name}")) for name in names)
            table.add_row(shape, *cells)
        made.append(table)
    return made


def _spread(figure: Mapping[str, float] | None) -> str:
    if figure is None:
        return ""
    median, low, high = (f"{figure[key]:.3g}" for key in ("median", "low", "high"))
    return median if low == high else f"{median} ({low} to {high})"


def targets_table(results: Mapping[str, Any]) -> Table:
    """Every target beside what was measured."""
    table = Table("what", "measured", "target", "met", title="Targets")
    for row in results["targets"]:
        measured = "" if row["measured"] is None else f"{row['measured']:.3g}"
        sign = "≥" if row["at_least"] else "≤"
        table.add_row(row["what"], measured, f"{sign} {row['target']:g}", SAID[row["met"]])
    return table


def against_table(rows: Sequence[tuple[str, float, float, float]]) -> Table:
    """Older figures beside newer ones; milliseconds only mean something on a machine at rest."""
    table = Table("figure", "then", "now", "now / then", title="Against older results")
    for name, then, now, ratio in rows:
        table.add_row(name, f"{then:.4g}", f"{now:.4g}", f"{ratio:.3f}")
    return table
