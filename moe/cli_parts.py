"""What the command line's files share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table

MAX_WIDTH = 10_000  # columns: wider than any table


class Screen(Console):
    """A console on which a table that it is too narrow for becomes a list: no cell is cut."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; see rich."""
        super().print(*map(self._readable, objects), **options)

    def _readable(self, thing: Any) -> Any:
        if not isinstance(thing, Table):
            return thing
        wide = self.options.update_width(MAX_WIDTH)
        fits = Measurement.get(self, wide, thing).minimum <= self.width
        return thing if fits else Group(*_lines(thing))


def _lines(table: Table) -> Iterator[Any]:
    """What a table says, a cell a line and a paragraph a row."""
    if table.title:
        yield table.title
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        for column, cell in zip(table.columns, cells, strict=True):
            yield f"{column.header}: {cell}" if column.header else cell
        yield ""
    if table.caption:
        yield table.caption


err = Screen(stderr=True)
out = Screen()
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
