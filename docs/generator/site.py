"""All generated files of the documentation, and where they stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from html import escape
from pathlib import Path

from moe.capacity import DROP_POLICIES
from moe.errors import check_choice
from moe.pictures.figure import Figure

from . import (
    after_training,
    api,
    article,
    checkpoints,
    cluster,
    collapse,
    cost,
    expert_cache,
    gallery,
    glossary,
    golden,
    lessons,
    lm_comparison,
    lm_tokens,
    real_routing,
    reasoning,
    scaling,
    speed,
    steps,
    strengths,
    tried,
)
from .methods import KINDS, index_page, method_page
from .tables import (
    HERE,
    RESULTS,
    ablation_page,
    capacity_page,
    causality_page,
    policy_figure,
    scales_page,
)

METHODS = "methods"
DESC = re.compile(r"<desc>(.*?)</desc>", re.DOTALL)


def figures() -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Path of every picture below docs/, and what computes and draws it."""
    for kind in KINDS:
        for name in kind.registry:
            yield f"{METHODS}/{kind.folder}/{name}.svg", partial(kind.figure, name)
    for drop in DROP_POLICIES:
        yield f"{METHODS}/capacity-{drop}.svg", partial(policy_figure, drop)
    yield speed.PICTURE, speed.figure
    yield strengths.PICTURE, strengths.figure
    yield lm_comparison.PICTURE, lm_comparison.figure


def method_pages(alts: dict[str, str]) -> dict[str, str]:
    """Text of the page of every method by path, given what each picture says in words."""
    return {
        f"{METHODS}/{kind.folder}/{name}.md": method_page(
            kind, name, alts[f"{METHODS}/{kind.folder}/{name}.svg"], tried.measured(name)
        )
        for kind in KINDS
        for name in kind.registry
    }


def pages(alts: dict[str, str]) -> dict[str, str]:
    """Text of every generated page by path, given what each picture says in words."""
    made = method_pages(alts)
    made[f"{METHODS}/index.md"] = index_page()
    made[f"{METHODS}/capacity.md"] = capacity_page(
        {drop: alts[f"{METHODS}/capacity-{drop}.svg"] for drop in DROP_POLICIES}
    )
    made[f"{METHODS}/causality.md"] = causality_page()
    made[f"{METHODS}/scales.md"] = scales_page()
    made[after_training.PAGE] = after_training.page()
    made[checkpoints.PAGE] = checkpoints.page()
    made[cluster.PAGE] = cluster.page()
    made[article.PAGE] = article.page()
    made[gallery.PAGE] = gallery.page(alts)
    made[glossary.PAGE] = glossary.page()
    made[golden.PAGE] = golden.page()
    made[lessons.PAGE] = lessons.page()
    made[steps.PAGE] = steps.page()
    made["ablation.md"] = ablation_page()
    made[cost.PAGE] = cost.page()
    made[expert_cache.PAGE] = expert_cache.page()
    made[real_routing.PAGE] = real_routing.page()
    made[collapse.PAGE] = collapse.page()
    made[reasoning.PAGE] = reasoning.page()
    made[scaling.PAGE] = scaling.page()
    made[strengths.PAGE] = strengths.page(alts[strengths.PICTURE])
    made[tried.PAGE] = tried.page()
    made[lm_comparison.PAGE] = lm_comparison.page(alts[lm_comparison.PICTURE])
    made[lm_tokens.PAGE] = lm_tokens.page()
    made[speed.PAGE] = speed.page(alts[speed.PICTURE])
    return made | api.pages()


def svg(figure: Figure) -> str:
    """Draw a figure: numbers cut to what can be seen, and its words inside."""
    text = figure.image("svg", 600).decode()
    text = re.sub(r"\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}", text)
    text = re.sub(r' (aria-\w+|role|pointer-events)="[^"]*"', "", text)  # an image says its alt
    head, _, rest = text.partition(">")
    words = f"<title>{escape(figure.title)}</title><desc>{escape(figure.alt)}</desc>"
    return f"{head}>{words}{rest}\n"


def described(text: str) -> str:
    """Return the words inside a picture that `svg` drew."""
    match = DESC.search(text)
    return match[1] if match else ""


def render() -> dict[str, str]:
    """Every generated file by its path below docs/."""
    drawn = {path: make() for path, make in figures()}
    return {path: svg(figure) for path, figure in drawn.items()} | pages(
        {path: figure.alt for path, figure in drawn.items()}
    )


def draw(name: str) -> Path:
    """Draw one picture by its path below docs/, and return where it is.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    made = dict(figures())
    check_choice("picture", name, made)
    write({name: svg(made[name]())})
    return HERE / name


def render_speed() -> dict[str, str]:
    """The page on speed and its picture, which need no run."""
    figure = speed.figure()
    return {speed.PICTURE: svg(figure), speed.PAGE: speed.page(figure.alt)}


def stale(files: dict[str, str]) -> list[Path]:
    """Files among the generated ones that nothing makes any more."""
    folders = (METHODS, api.FOLDER)
    there = [p for folder in folders for p in (HERE / folder).rglob("*") if p.is_file()]
    return [path for path in there if path.relative_to(HERE).as_posix() not in files]


def write(files: dict[str, str]) -> list[Path]:
    """Write what differs from what is there, and return its paths."""
    changed = []
    for name, text in files.items():
        path = HERE / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            changed.append(path)
    return changed


__all__ = [
    "HERE",
    "METHODS",
    "RESULTS",
    "described",
    "draw",
    "figures",
    "method_pages",
    "pages",
    "render",
    "render_speed",
    "stale",
]
