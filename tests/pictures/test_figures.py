"""Every figure holds the numbers of the record that it was made of, and draws what it says.

Nothing may be sent or drawn that is not in the figure's row of the table, so that swapped series,
wrong labels, wrong units or a wrong mark of the best do not pass.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moe.app.start import chart as start
from moe.app.your_model import tinted_text
from moe.app.your_model.text import Token
from moe.pictures.palette import INK
from tests.pictures import records
from tests.pictures.spec import calculated, fields, marks
from tests.pictures.table import TABLE, Shown, shares_of_the_work

ROOT = Path(__file__).resolve().parent.parent.parent
NO_FIGURES = {  # public functions that return none
    "moe.sweeps.chart.write_figure": "tests/sweeps/test_report.py",
    "moe.app.learn.chart.on_page": "tests/app/learn/test_page.py",
    **dict.fromkeys(
        [f"docs.generator.strength_chart.{name}" for name in ("chosen", "lengths", "points")],
        "tests/docs/test_strengths.py",
    ),
}


def public_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Public functions of every file that is named a chart; reads the tree."""
    for path in [*ROOT.glob("moe/**/*.py"), *ROOT.glob("docs/generator/*.py")]:
        if path.stem.endswith(("chart", "charts")):
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            for name, member in vars(module).items():
                own = inspect.isfunction(member) and member.__module__ == module.__name__
                if own and not name.startswith("_"):
                    yield f"{module.__name__}.{name}", member


def test_every_chart_has_a_row() -> None:
    public = dict(public_functions())
    figures = {name for name, f in public.items() if f.__annotations__["return"] == "Figure"}
    assert figures == set(TABLE)
    assert set(public) == figures | set(NO_FIGURES)


ROWS = [(name, make) for name, makers in TABLE.items() for make in makers]
MAKERS = [make for _, make in ROWS]


@pytest.mark.parametrize("make", MAKERS, ids=[make.__name__ for make in MAKERS])
def test_a_figure_shows_its_record(make: Callable[[], Shown]) -> None:
    shown = make()
    figure, spec = shown.figure, shown.figure.spec()
    sent = json.loads(json.dumps(figure.data))
    assert set(sent) == set(shown.data)
    for name, rows in shown.data.items():
        assert len(sent[name]) == len(rows), name
        for at, (row, wanted) in enumerate(zip(sent[name], rows, strict=True)):
            assert row == {
                key: pytest.approx(value, rel=1e-5, abs=1e-6) if is_number(value) else value
                for key, value in wanted.items()
            }, (name, at)
    drawn = [(mark.kind, mark.data, mark.channels) for mark in marks(spec)]
    assert drawn == shown.drawn
    assert calculated(spec) == dict(shown.said)
    for name, field in fields(spec):
        assert all(field in row for row in sent[name]), (name, field)
    for words in shown.told:
        assert words in figure.alt
    assert figure.title and len(figure.alt) > 40
    assert sum(map(len, sent.values())) <= 4000  # marks that a browser paints smoothly
    keys = {name for mark in marks(spec) for name in mark.channels}
    assert not {"shape", "strokeDash"} <= keys  # a key would show one drawn over the other
    for ink in INK.values():
        assert not isinstance(figure.themed(ink).get("height"), dict)  # or Vega warns


def is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def test_a_sheet_is_a_picture() -> None:
    for name, make in ROWS:
        if name.endswith(".poster"):
            assert b"<svg" in make().figure.image("svg")
    assert shares_of_the_work().figure.image("png").startswith(b"\x89PNG")


def test_a_figure_is_drawn_with_the_letters_of_its_theme() -> None:
    routing = records.sentence()
    for ink in INK.values():
        colours = json.dumps(start.load_bars(routing, ink=ink).themed(ink))
        assert ink in colours
        assert all(other not in colours for other in INK.values() if other != ink)


def test_tinted_text_has_the_number_and_the_colour_of_each_expert() -> None:
    tokens = [
        Token("a", 9, "expert 9"),
        Token("\n", 1, "expert 1"),
        Token("c", 2, "two", lit=False),
    ]
    ratio_E = np.array([0.5] * 9 + [3.0])
    html = tinted_text.tinted_text(tokens, "what <is> shown", ratio_E)
    assert '<span class="t crowded" title="expert 9"><bdi>a</bdi><small>9</small></span>' in html
    assert '<span class="t below" title="expert 1"><bdi>⏎</bdi><small>1</small></span>' in html
    assert '<span class="t off" title="two"><bdi>c</bdi><small>&nbsp;</small></span>' in html
    assert 'aria-label="what &lt;is&gt; shown"' in html
    assert tinted_text.printable("a b\x00") == "a␣b·"
