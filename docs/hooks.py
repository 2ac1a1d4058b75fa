"""What MkDocs does beside its settings: formulas become MathML, and every method gets its place.

Lessons become pages, pictures and notebooks below lessons/, from the texts of `moe.lessons`.

Formulas stand in fenced blocks named `math`, which GitHub renders as they are. Browsers render
MathML themselves, so the site loads no script and asks no other server for one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from posixpath import dirname, join, normpath
from typing import Any

import moe
from docs.generator import api, boxes, gallery, lessons, search, slides
from moe.lessons.links import from_the_site

REGISTRIES: dict[str, dict[str, type[Any]]] = {"routers": moe.ROUTERS, "balancers": moe.BALANCERS}

# What latex2mathml does not know, in words that it knows and that mean the same.
REWORDED = {
    r"\begin{aligned}": r"\begin{align*}",
    r"\end{aligned}": r"\end{align*}",
    r"{arg\,max}": "{argmax}",
    r"\Big(": r"\left(",
    r"\Big)": r"\right)",
    r"\Big\|": r"\|",
}
# What it leaves as it was after \big, \Big and the like.
LEFT_OVER = {r">\{<": ">{<", r">\}<": ">}<"}


def on_config(config: Any) -> Any:
    """Register the fence, and fill folders into the navigation."""
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault(
        "custom_fences", []
    )
    fences.append({"name": "math", "class": "math", "format": mathml_block})
    config.nav = filled(config.nav)
    return config


def filled(nav: list[Any]) -> list[Any]:
    """Return a navigation with its folders' pages in their places, however deep they stand."""
    made: list[Any] = []
    for entry in nav:
        ((title, place),) = entry.items()
        if isinstance(place, list):
            made.append({title: filled(place)})
        else:
            made.append({title: FOLDERS[place]() if place in FOLDERS else place})
    return made


def methods(folder: str) -> list[dict[str, str]]:
    """Return the places of a registry's methods in the navigation."""
    return [
        {kind.title: f"methods/{folder}/{name}.md"} for name, kind in REGISTRIES[folder].items()
    ]


# What stands for a folder that mkdocs.yml names.
FOLDERS: dict[str, Callable[[], list[dict[str, str]]]] = {
    lessons.FOLDER: lessons.navigation,
    api.FOLDER: api.navigation,
    **{folder: partial(methods, folder) for folder in REGISTRIES},
}


def on_files(files: Any, config: Any) -> Any:
    """Add what lessons and slides are made into, so that the check of links knows it."""
    from mkdocs.structure.files import File

    for path, content in (lessons.files() | slides.files()).items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **about: Any) -> str:
    """Put lessons, figures and slides where texts name them; tell the search what is explained."""
    page.meta["tags"] = search.tags().get(page.file.src_uri, [])
    return slides.on_the_site(gallery.on_the_site(from_the_site(markdown)))


def on_page_content(html: str, page: Any, files: Any, **about: Any) -> str:
    """Put pictures into boxes that scroll where they would get too small to be read."""

    def content_of(source: str) -> bytes:
        path = normpath(join(dirname(page.file.src_uri), source))
        return bytes(files.get_file_from_path(path).content_bytes)

    return boxes.boxed(html, content_of)


def mathml_block(source: str, *args: Any, **options: Any) -> str:
    """Return a fenced formula as MathML on a line of its own."""
    return f'<div class="formula">{mathml(source)}</div>'


def mathml(source: str) -> str:
    """Return LaTeX as MathML.

    Raises
    ------
    SuperFencesException
        If it holds a command that the converter does not know; others the fence would swallow.
    """
    from latex2mathml.converter import convert
    from pymdownx.superfences import SuperFencesException

    for there, here in REWORDED.items():
        source = source.replace(there, here)
    source = re.sub(r"\\mathcal ([A-Z])", r"\\mathcal{\1}", source)
    made = convert(source, display="block")
    for there, here in LEFT_OVER.items():
        made = made.replace(there, here)
    if "\\" in made:
        raise SuperFencesException(f"formula: got {source!r}, of which something was left: {made}")
    return made
