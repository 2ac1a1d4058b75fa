"""How every command prints: JSON on stdout if it is asked for, else tables and sentences."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.segment import Segment
from rich.table import Table

CUT = "…"  # what rich puts where it leaves out the rest
# Orders to the terminal, such as to colour what follows, to name its window or to write backwards.
_ORDERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """Text that may hold what stands in a file, such as a name, without orders to the terminal."""
    return _ORDERS.sub("?", text)


class Screen(Console):
    """A console that is never too narrow: a table that does not fit becomes a list."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; see rich."""
        super().print(*map(self._readable, objects), **options)

    def _readable(self, thing: Any) -> Any:
        if isinstance(thing, str):
            return harmless(thing)
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
    """What a table says, with one line per cell and one paragraph per row."""
    if table.title:
        yield table.title
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        for column, cell in zip(table.columns, cells, strict=True):
            yield f"{column.header}: {cell}" if column.header else cell
        yield ""
    if table.caption:
        yield table.caption


# Names of files and models may hold square brackets, which are no markup of rich's.
err = Screen(stderr=True, markup=False)
out = Screen(markup=False)
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def show(data: Any, json_output: bool, *parts: RenderableType) -> None:
    """Print data as one JSON document, or the parts that say the same to people.

    Parameters
    ----------
    data
        Lists, dicts and dataclasses; of a dataclass with an `as_json`, what that returns.
    json_output
        Whether JSON was asked for.
    *parts
        Tables and sentences, in the order in which they are printed.
    """
    if json_output:
        json_line(data)
        return
    say(*parts)


def show_lines(records: Iterable[Any], json_output: bool, *parts: RenderableType) -> None:
    """Print records as JSON, one per line, or the parts that say the same to people."""
    if not json_output:
        say(*parts)
        return
    for record in records:
        json_line(record)


def say(*parts: RenderableType) -> None:
    """Print tables and sentences for people."""
    for part in parts:
        out.print(part)


def json_line(data: Any) -> None:
    """Print data as one line of JSON at once, so that a reader can follow a long command."""
    typer.echo(json.dumps(data, default=_plain))


def _plain(record: Any) -> Any:
    return record.as_json() if hasattr(record, "as_json") else asdict(record)


def table(
    rows: Sequence[dict[str, Any]],
    columns: dict[str, str] | None = None,
    *,
    number: str | Callable[[float], str] = ".3g",
    right: Container[str] = (),
    unbroken: Container[str] = (),
    **look: Any,
) -> Table:
    """Lay out rows.

    Parameters
    ----------
    rows
        At least one; all have the same names.
    columns
        Names to show, with the titles of their columns; by default all names, as they are.
    number
        See `cell`.
    right, unbroken
        Names whose column is set flush right, and names whose cells stay on one line.
    **look
        Title, caption and the like of rich's Table.
    """
    columns = columns or {name: name for name in rows[0]}
    laid_out = Table(**look)
    for name, title in columns.items():
        justify: Any = "right" if name in right else "left"
        laid_out.add_column(harmless(title), justify=justify, no_wrap=name in unbroken)
    for row in rows:
        laid_out.add_row(*(cell(row[name], number) for name in columns))
    return laid_out


def cell(value: Any, number: str | Callable[[float], str] = ".3g") -> str:
    """Write one value of a table.

    Parameters
    ----------
    value
        None is a dash, a truth value yes or no, a dict its names and values.
    number
        A format of floats, or a function that writes every number.
    """
    if value is None:
        return "–"
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in value.items())
    if callable(number):
        return number(value)
    return format(value, number) if isinstance(value, float) else str(value)


def spaced(names: Iterable[str]) -> dict[str, str]:
    """Return titles of columns: that of `kb_per_token` is 'kb per token'."""
    return {name: name.replace("_", " ") for name in names}
