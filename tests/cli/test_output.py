"""One way to print: JSON if it is asked for, else tables and sentences."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from moe.cli.output import cell, harmless, json_line, say, show, show_lines, spaced, table


@dataclass(frozen=True)
class Load:
    expert: int
    share: float


@dataclass(frozen=True)
class Report:
    loads: tuple[Load, ...]

    def as_json(self) -> dict[str, object]:
        return {"loads": self.loads, "n": len(self.loads)}


LOADS = (Load(0, 0.75), Load(1, 0.25))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"), ("[b]", "[b]"), (True, "yes"), (False, "no"), (12345, "12345"),
        (0.123456, "0.123"), ({"k": 2, "scale": None}, "k=2, scale=None"),
    ],
)  # fmt: skip
def test_a_cell_is_written_by_what_it_holds(value: object, written: str) -> None:
    assert cell(value) == written


def test_numbers_of_a_cell_have_a_format_or_a_function() -> None:
    assert [cell(value, ",.5g") for value in (12345.6, 12345)] == ["12,346", "12345"]
    assert [cell(value, lambda v: f"<{v}>") for value in (1.5, 2, True)] == ["<1.5>", "<2>", "yes"]


def test_a_table_shows_the_columns_that_it_is_asked_for() -> None:
    rows = [vars(load) for load in LOADS]
    assert [column.header for column in table(rows).columns] == ["expert", "share"]
    (column,) = table(rows, {"share": "of all"}, right=("share",)).columns
    assert (column.header, column.justify) == ("of all", "right")
    assert list(column.cells) == ["0.75", "0.25"]
    assert spaced(["kb_per_token"]) == {"kb_per_token": "kb per token"}


def test_json_is_one_document_or_a_line_per_record(capsys: pytest.CaptureFixture[str]) -> None:
    loads = [{"expert": 0, "share": 0.75}, {"expert": 1, "share": 0.25}]
    show(Report(LOADS), True, "not printed")
    assert json.loads(capsys.readouterr().out) == {"loads": loads, "n": 2}
    show_lines(LOADS, True, "not printed")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == loads
    with pytest.raises(TypeError):
        json_line(object())


def test_people_read_the_parts_with_square_brackets_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for printed in (show, show_lines):
        printed(LOADS, False, "models/[bold]a", table([{"file": "[red]b"}]))
        text = capsys.readouterr().out
        assert "models/[bold]a" in text and "[red]b" in text


ORDERS = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e\u2066\r\x00\x7f"


def test_names_from_files_give_a_terminal_no_orders(capsys: pytest.CaptureFixture[str]) -> None:
    """A name in a file could colour what follows, rename the window or turn the line around."""
    assert harmless(ORDERS) == "?]0;title??[2J?31m?????"
    assert harmless("two\nlines,\ta tab, “é” and 日本") == "two\nlines,\ta tab, “é” and 日本"
    rows = [{ORDERS: ORDERS, "b": ORDERS}]
    say(f"a model {ORDERS}", table(rows, {"b": ORDERS}), table(rows))
    said = capsys.readouterr().out
    assert "title" in said and not set(said) & set(ORDERS) - set("]0;title[2J31m")
