"""One changed number of each kind is noticed: an output, a figure, a question, a slip."""

from __future__ import annotations

from dataclasses import replace

from moe.lessons import Slip, lesson, question_of, show
from moe.lessons.reader import parse_lesson
from tests.lessons.expected import of_lesson, ran, wrong_drawing, wrong_numbers

HEAD = "---\ntitle: T\nminutes: 25\nneeds:\n---\n"


def test_a_changed_output_is_noticed() -> None:
    shown = "```python\nprint(6 * 7)\n```\n```text\n{}\n```\n"
    assert not ran(parse_lesson("a", HEAD + shown.format(42))).wrong
    (said,) = ran(parse_lesson("a", HEAD + shown.format(43))).wrong
    assert "prints '42\\n'" in said
    whole = lesson("letters")
    parts = [
        replace(one, text=one.text.replace("101", "102")) if one.kind == "text" else one
        for one in whole.parts[:6]
    ]
    assert ran(replace(whole, parts=tuple(parts))).wrong


def test_a_changed_figure_is_noticed() -> None:
    shown, drawn = show("letters.learning"), of_lesson("letters").FIGURES["learning"]()
    losses = shown.figure.data["losses"]
    other = [row | {"value": 1.01 * row["value"]} for row in losses]
    changed = replace(
        shown, figure=replace(shown.figure, data=shown.figure.data | {"losses": other})
    )
    assert not list(wrong_drawing(shown, drawn))
    assert list(wrong_drawing(changed, drawn))
    words = shown.figure.alt.replace("5.55", "5.56")
    assert list(wrong_drawing(replace(shown, figure=replace(shown.figure, alt=words)), drawn))
    assert list(wrong_drawing(replace(shown, caption="Some loss."), drawn))


def test_a_changed_question_is_noticed() -> None:
    asked, (worked,) = question_of("letters.third"), of_lesson("letters").QUESTIONS["third"]
    assert not list(wrong_numbers(asked, worked))
    (said,) = wrong_numbers(replace(asked, form=lambda values: 0.51), worked)
    assert said == "right: is 0.51, worked out is 0.5"


def test_a_changed_slip_is_noticed() -> None:
    asked, (worked,) = question_of("letters.third"), of_lesson("letters").QUESTIONS["third"]
    first, *others = asked.slips
    moved = Slip(first.name, lambda values: 0.6, first.says)
    assert list(wrong_numbers(replace(asked, slips=(moved, *others)), worked))
    assert list(wrong_numbers(replace(asked, slips=tuple(others)), worked))
