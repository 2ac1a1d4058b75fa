"""Pages of the lessons: all of them in a table, and each with its questions folded."""

from __future__ import annotations

from collections.abc import Iterator

from moe.lessons import lesson, lessons, make_notebook, prompt, question_of, show
from moe.lessons.links import COURSE, on_the_site
from moe.lessons.question import filled
from moe.lessons.reader import PROSE, Lesson, Part

from .docstrings import linked
from .methods import page_text

PAGE, FOLDER = "lessons.md", "lessons"


def page() -> str:
    """Return the page that lists the lessons."""
    rows = [
        f"| {number} | [{one.title}]({COURSE}{one.name}.md) | {one.minutes} | "
        f"{', '.join(map(str, _numbers(one))) or '–'} |"
        for number, one in enumerate(lessons())
    ]
    return page_text(
        "moe/lessons/course/",
        "# Lessons",
        "Each begins with a number that you guess, runs in half an hour, and tests an explanation "
        "instead of telling it. All code runs in the tests, and its output is compared.",
        "\n".join(["| | Lesson | Minutes | After |", "|---|---|---|---|", *rows]),
        "A lesson is a page here, a notebook (the link is at its top), and a command: "
        "`moe lesson` lists them, `moe lesson letters` shows one. With `--student NAME` the "
        "questions have that student's own numbers, on the screen and in the notebook "
        "(`--notebook FILE`); `--answer letters.third=0.5` judges an answer, and says what a "
        "wrong one reveals. `--json` gives teachers all of it as data.",
    )


def navigation() -> list[dict[str, str]]:
    """Return the lessons' places in the site's navigation."""
    return [{"All lessons": PAGE}, *({one.title: f"{FOLDER}/{one.name}.md"} for one in lessons())]


def files() -> dict[str, str | bytes]:
    """Return all files below lessons/ by their paths: pages, pictures and notebooks."""
    made: dict[str, str | bytes] = {}
    for one in lessons():
        made[f"{FOLDER}/{one.name}.md"] = lesson_page(one)
        made[f"{FOLDER}/{one.name}.ipynb"] = make_notebook(one.name)
        for part in one.of("figure"):
            made[f"{FOLDER}/{part.name}.svg"] = show(part.name).svg()
    return made


def lesson_page(one: Lesson) -> str:
    """Return a lesson as Markdown for MkDocs."""
    needs = [
        f"[lesson {number}]({name}.md)"
        for number, name in zip(_numbers(one), one.needs, strict=True)
    ]
    before = f" Before it: {', '.join(needs)}." if needs else ""
    head = f"*{one.minutes} minutes.{before}* [This lesson as a notebook]({one.name}.ipynb)"
    parts = "\n\n".join(text for part in one.parts for text in _markdown(part))
    return f"# {one.title}\n\n{head}\n\n{on_the_site(parts)}\n"


def _numbers(one: Lesson) -> list[int]:
    order = [other.name for other in lessons()]
    return [order.index(lesson(name).name) for name in one.needs]


def _markdown(part: Part) -> Iterator[str]:
    """What a part becomes: paragraphs, with blank lines between them."""
    if part.kind == PROSE:
        yield linked(part.text.strip())
    elif part.kind == "figure":
        shown = show(part.name)
        words = shown.figure.alt.replace("[", "(").replace("]", ")")
        yield f"![{words}]({part.name}.svg)"
        yield f"*{' '.join(shown.caption.split())}*"
    elif part.kind == "question":
        yield from _folded(part.name)
    else:
        yield f"```{part.kind}\n{part.text}```"


def _folded(name: str) -> Iterator[str]:
    """A question, and behind a fold every number that is known, with what it reveals."""
    asked = question_of(name)
    values = asked.values(name)
    answers = [(asked.form(values), f"**Right.** {filled(asked.why, values)}")]
    answers += [(slip.form(values), filled(slip.says, values)) for slip in asked.slips]
    yield '!!! question "Your number first"'
    yield _indented(prompt(name), 1)
    yield '    ??? note "Then open the number nearest to yours"'
    for number, says in sorted(answers):
        yield f'        ??? quote "{number:.4g}{asked.unit and " " + asked.unit}"'
        yield _indented(says, 3)


def _indented(text: str, depth: int) -> str:
    return "\n".join("    " * depth + line for line in text.splitlines())
