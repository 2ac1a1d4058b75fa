"""What the command line's files share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.segment import Segment
from rich.table import Table

CUT = "…"  # what rich puts where it leaves out the rest


class Screen(Console):
    """A console on which a table that it is too narrow for becomes a list: no cell is cut."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; see rich."""
        super().print(*map(self._readable, objects), **options)

    def _readable(self, thing: Any) -> Any:
        if not isinstance(thing, Table) or self._fits(thing):
            return thing
        thing.box, thing.padding, thing.show_edge = SIMPLE_HEAD, 0, False
        return thing if self._fits(thing) else Group(*_lines(thing))

    def _fits(self, table: Table) -> bool:
        """Whether all letters and digits of its cells are seen."""
        lines = list(Segment.split_lines(self.render(table)))
        shown = "".join(segment.text for line in lines for segment in line)
        cells = [str(cell) for one in table.columns for cell in (one.header, *one.cells)]
        written = "".join(self.render_str(cell).plain for cell in cells)
        whole = _letters(written) <= _letters(shown) and shown.count(CUT) <= written.count(CUT)
        return whole and max(map(Segment.get_line_length, lines)) <= self.width


def _letters(text: str) -> Counter[str]:
    return Counter(filter(str.isalnum, text))


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
