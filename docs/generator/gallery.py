"""All pictures of the documentation on one page, each with the command that draws it.

Figures of lessons are drawn when the site is built, so the page holds their fences, as lessons do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from moe.capacity import DROP_POLICIES
from moe.lessons import lessons, show
from moe.lessons.links import COURSE

from . import lm_comparison, speed, strengths
from .docstrings import to_markdown
from .lessons import FOLDER
from .methods import KINDS, page_text

PAGE = "gallery.md"
POSTER = "img/collapse.png"
_FENCE = re.compile(r"^```figure ([\w.]+)\n```$", re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """A picture of the gallery.

    Attributes
    ----------
    title, page
        What explains it, and where that stands, from docs/.
    image
        The picture as Markdown.
    command
        What draws it.
    """

    title: str
    page: str
    image: str
    command: str

    def __str__(self) -> str:
        return f"**[{self.title}]({self.page})**\n\n{self.image}\n\n```\n{self.command}\n```"


def of_lessons() -> Iterator[Shown]:
    """Yield the lessons' figures, in the course's order."""
    for one in lessons():
        for part in one.of("figure"):
            fence = f"```figure {part.name}\n```"
            command = f"moe lesson {one.name} --figures ."
            yield Shown(one.title, f"{COURSE}{one.name}.md", fence, command)


def of_methods(alts: dict[str, str]) -> dict[str, list[Shown]]:
    """Return the pictures that lie below docs/ by the titles of their sections."""

    def one(path: str, page: str, title: str) -> Shown:
        words = to_markdown(alts[path])
        return Shown(title, page, f"![{words}]({path})", f"python -m docs.generator --only {path}")

    made = {
        kind.folder.capitalize(): [
            one(
                f"methods/{kind.folder}/{name}.svg",
                f"methods/{kind.folder}/{name}.md",
                kind.registry[name].title,
            )
            for name in kind.registry
        ]
        for kind in KINDS
    }
    made["Who gets in where experts are full"] = [
        one(f"methods/capacity-{drop}.svg", "methods/capacity.md", f"Drop policy {drop}")
        for drop in DROP_POLICIES
    ]
    made["Measured"] = [
        Shown(
            "Two runs",
            "index.md",
            f"![Two runs on the same seed]({POSTER})",
            "python docs/figures.py",
        ),
        one(strengths.PICTURE, strengths.PAGE, "How strong a balancer must be"),
        one(lm_comparison.PICTURE, lm_comparison.PAGE, "A mixture against dense models"),
        one(speed.PICTURE, speed.PAGE, "How fast"),
    ]
    return made


def page(alts: dict[str, str]) -> str:
    """Return the page, given what each picture below docs/ says in words."""
    sections = {"Lessons": list(of_lessons())} | of_methods(alts)
    parts = [f"## {title}\n\n" + "\n\n".join(map(str, shown)) for title, shown in sections.items()]
    return page_text(
        "docs/generator/gallery.py",
        "# Gallery",
        f"All {sum(map(len, sections.values()))} figures of these pages. Each title leads to the "
        "page that explains the figure, and below it stands the command that draws it. Those that "
        "begin with `python` want a checkout of the repository, and put the picture where it was. "
        "Take what you need for a talk: the licence is MIT.",
        *parts,
    )


def on_the_site(text: str) -> str:
    """Return a page with the fences of lessons' figures as pictures."""

    def put(fence: re.Match[str]) -> str:
        words = show(fence[1]).figure.alt.replace("[", "(").replace("]", ")")
        return f"![{words}]({FOLDER}/{fence[1]}.svg)"

    return _FENCE.sub(put, text)
