"""A lesson's text is taken apart; what is not well formed is refused in one line."""

from __future__ import annotations

import re

import pytest

from moe.lessons import Part, lesson, readability_of
from moe.lessons.links import from_the_site, in_notebooks, on_the_site
from moe.lessons.reader import parse_lesson

HEAD = "---\ntitle: What: is it?\nminutes: 25\nneeds: b, c\n---\n"
BODY = """Some *prose*.

```python
print(1)
```
```text
1
```

## More

```question a.first
How many of {n}?
```
"""


def test_parts_come_in_order() -> None:
    read = parse_lesson("a", HEAD + BODY)
    assert (read.title, read.minutes, read.needs) == ("What: is it?", 25, ("b", "c"))
    assert read.parts == (
        Part("prose", "Some *prose*.\n"),
        Part("python", "print(1)\n"),
        Part("text", "1\n"),
        Part("prose", "## More\n"),
        Part("question", "How many of {n}?\n", "a.first"),
    )
    assert parse_lesson("a", HEAD.replace(" b, c", "") + "Text.\n").needs == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BODY, "head of lesson a: got"),
        (HEAD.replace("minutes", "hours") + BODY, "allowed is title, minutes, needs"),
        (HEAD.replace("25", "many") + BODY, "head of lesson a: got"),
        (HEAD + "```sh\nls\n```\n", "fence of lesson a: got 'sh', allowed is one of python"),
        (HEAD + "```\nls\n```\n", "fence of lesson a: got '', allowed is one of python"),
        (HEAD + "```question\nHow?\n```\n", "question of lesson a: got '', allowed is a.SOMETHING"),
        (HEAD + "```figure b.one\nC.\n```\n", "figure of lesson a: got 'b.one', allowed is a."),
        (HEAD + "```python\nprint(1)\n", "fence of lesson a: got one without an end"),
    ],
)
def test_a_text_that_is_not_well_formed_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_lesson("a", text)


def test_a_lesson_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="lesson: got 'none', allowed is one of letters"):
        lesson("none")


def test_links_are_put_where_the_text_is_shown() -> None:
    source = "[a](../../../docs/a.md#b), [b](b.md#c), [c](https://c.org/d.md)"
    assert on_the_site(source) == "[a](../a.md#b), [b](b.md#c), [c](https://c.org/d.md)"
    assert in_notebooks(source) == "a, [b](b.ipynb#c), [c](https://c.org/d.md)"
    assert from_the_site("[x](../moe/lessons/course/x.md)") == "[x](lessons/x.md)"


def test_sentences_and_words_are_counted() -> None:
    text = HEAD + "One two three. Four (five) six `a.b c`!\n\n- seven\n- eight [nine ten](x.md)\n"
    read = readability_of(parse_lesson("a", text))
    assert (read.words, read.sentences, read.longest) == (11, 4, 4)
    assert read.longest_sentence == "Four (five) six X!"
    syllables = 12  # seven has two
    assert read.grade == pytest.approx(0.39 * 11 / 4 + 11.8 * syllables / 11 - 15.59)
