"""The API reference: every public name with its signature, its docstring and its methods.

Public is what `tests/api_snapshot.txt` promises, but for the functions in which pages of the app
put their own findings into words.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from .docstrings import entries, sections, to_cell, to_markdown
from .methods import page_text, table
from .tables import HERE

FOLDER = "api"
SNAPSHOT = HERE.parent / "tests" / "api_snapshot.txt"
PAGES_OF_THE_APP = "moe.app."
LINE = 88  # a longer signature has a line for each parameter
# Sections that are lists, with the heads of their tables.
LISTED = {
    "Parameters": ["Parameter", "Meaning"],
    "Attributes": ["Attribute", "Meaning"],
    "Class attributes": ["Class attribute", "Meaning"],
    "Raises": ["Raises", "When"],
}


@dataclass(frozen=True)
class Group:
    """A page of the reference: its name, its title, and the rooms of `moe/` that it shows."""

    name: str
    title: str
    rooms: tuple[str, ...]


GROUPS = (
    Group(
        "layers",
        "Layers",
        ("layer", "dense", "routing", "capacity", "upcycling", "pruning", "opportunistic", "saved"),
    ),
    Group("methods", "Routers and balancers", ("routers", "balance")),
    Group("training", "Training", ("training", "optim", "data")),
    Group("language-model", "Language model", ("lm",)),
    Group("checkpoints", "Checkpoints", ("checkpoints", "errors")),
    Group("gates", "Checks of a gate", ("gates", "porting")),
    Group("metrics", "Metrics and traces", ("metrics", "traces")),
    Group("cost", "Cost, machines, clusters", ("cost", "cluster", "scaling", "speed")),
    Group("studies", "Studies", ("studies",)),
    Group("lessons", "Lessons and questions", ("lessons",)),
)


@dataclass(frozen=True)
class Public:
    """A public name as users write it, what it stands for, and the room where it lives."""

    name: str
    value: Any
    room: str


def public() -> list[Public]:
    """Return all public names but those of the app's pages, in the order of the alphabet."""
    lines = SNAPSHOT.read_text("utf-8").splitlines()
    names = [
        line.removeprefix("class ").partition("(")[0].partition(":")[0]
        for line in lines
        if line[:1] != " "
    ]
    # Code that users copy may import a name from where a module's names stand already.
    full = {name if name.startswith("moe.") else f"moe.{name}" for name in names}
    return [
        found(name)
        for name in sorted(full, key=str.casefold)
        if not name.startswith(PAGES_OF_THE_APP) and name != "moe.__version__"
    ]


def found(name: str) -> Public:
    """Look a full name up; of a table, which has no module of its own, the name says the room."""
    import moe

    module, _, own = name.rpartition(".")
    value = getattr(importlib.import_module(module), own)
    home = getattr(value, "__module__", "") or ""
    if not home.startswith("moe."):
        inside = {n: place for place, all_of in moe._HOME.items() for n in all_of}
        home = f"moe.{inside[own]}" if module == "moe" else module
    return Public(name, value, home.split(".")[1])


def pages() -> dict[str, str]:
    """Return the reference's pages by path."""
    names, made = public(), {}
    used = [group for group in GROUPS if any(one.room in group.rooms for one in names)]
    for group in used:
        own = [one for one in names if one.room in group.rooms]
        parts = [part for one in own for part in entry(one) if part]
        made[f"{FOLDER}/{group.name}.md"] = page_text(
            "the docstrings of " + ", ".join(f"moe/{room}" for room in group.rooms),
            f"# {group.title}",
            *parts,
        )
    made[f"{FOLDER}/index.md"] = index(used, names)
    return made


def navigation() -> list[dict[str, str]]:
    """Return the reference's places in the site's navigation."""
    made = pages()
    listed = [(group.title, f"{FOLDER}/{group.name}.md") for group in GROUPS]
    return [
        {"All names": f"{FOLDER}/index.md"},
        *({title: path} for title, path in listed if path in made),
    ]


def index(groups: list[Group], names: list[Public]) -> str:
    """Return the page that lists all names."""
    parts = []
    for group in groups:
        rows = [
            [f"[`{one.name}`]({group.name}.md#{anchor(one.name)})", to_cell(lead(one.value))]
            for one in names
            if one.room in group.rooms
        ]
        parts += [f"## {group.title}", table(["Name", "In one line"], rows)]
    return page_text(
        "tests/api_snapshot.txt",
        "# API reference",
        f"The {len(names)} names that the library promises: a change of one is a change for users, "
        "and stands in the changelog. Arrays carry their shape in their names: N tokens, D model "
        "width, F expert width, E experts, K per token, A assignments; `logits_NE` is (N, E).",
        *parts,
    )


def anchor(name: str) -> str:
    """Return the anchor that both GitHub and MkDocs give to a name's heading."""
    return name.replace(".", "").lower()


def lead(value: Any) -> str:
    """First line of a docstring; of a table, how many it holds."""
    if isinstance(value, dict):
        return f"{len(value)} by name."
    if isinstance(value, tuple):
        return f"{len(value)} of them."
    return (inspect.getdoc(value) or "").partition("\n")[0]


def entry(one: Public) -> Iterator[str]:
    """Return the parts of a name's entry: heading, signature, docstring, methods."""
    yield f"## `{one.name}`"
    if isinstance(one.value, dict):
        yield "A table by name: " + ", ".join(f"`{key}`" for key in one.value) + "."
        return
    if isinstance(one.value, tuple):
        yield "A tuple of " + ", ".join(f"`{type(part).__name__}`" for part in one.value) + "."
        return
    own = one.name.rpartition(".")[2]
    yield code(own, one.value)
    yield from described(one.value)
    if not inspect.isclass(one.value):
        return
    if is_dataclass(one.value) and (helps := field_rows(one.value)):
        yield table(["Field", "Default", "Meaning"], helps)
    for member, what in sorted(vars(one.value).items()):
        raw = what.__func__ if isinstance(what, classmethod | staticmethod) else what
        shown = member == "__call__" or not member.startswith("_")
        if not shown or not (inspect.isfunction(raw) or isinstance(what, property)):
            continue
        yield f"### `{own}.{member}`"
        if inspect.isfunction(raw):
            yield code(member, raw)
        yield from described(what.fget if isinstance(what, property) else raw)


def described(value: Any) -> Iterator[str]:
    """Return a docstring's sections as Markdown."""
    said = sections(value.__doc__)
    yield to_markdown(said.pop("", "").strip())
    example = said.pop("Examples", "")
    for title, text in said.items():
        if title in LISTED:
            rows = [[f"`{names}`", to_cell(meaning)] for names, meaning in entries(text)]
            yield table(LISTED[title], rows)
        else:
            yield f"*{title}*: {to_markdown(' '.join(text.split()))}"
    if example:
        yield f"```pycon\n{example.strip()}\n```"


def field_rows(kind: type[Any]) -> list[list[str]]:
    """Return fields that carry their meaning with them, as those of settings do."""
    return [
        [f"`{one.name}`", f"`{default(one.default)}`", to_cell(one.metadata["help"])]
        for one in fields(kind)
        if one.metadata.get("help")
    ]


def code(name: str, value: Any) -> str:
    """Return a signature as code; in lines of its own for each parameter if it is long."""
    try:
        signature = inspect.signature(value)
    except ValueError:
        return f"```py\n{name}\n```"
    shown, named_only = [], False
    for one in signature.parameters.values():
        if one.name in ("self", "cls"):
            continue
        if one.kind is one.KEYWORD_ONLY and not named_only:
            shown.append("*")
        named_only |= one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        shown.append(parameter(one))
    result = "" if inspect.isclass(value) else returned(signature)
    line = f"{name}({', '.join(shown)}){result}"
    if len(line) > LINE:
        line = f"{name}(\n" + "".join(f"    {part},\n" for part in shown) + f"){result}"
    return f"```py\n{line}\n```"


def parameter(one: inspect.Parameter) -> str:
    """Return a parameter with its type and default."""
    stars = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
    typed = "" if one.annotation is one.empty else f": {one.annotation}"
    value = "" if one.default is one.empty else f" = {default(one.default)}"
    return f"{stars}{one.name}{typed}{value}"


def default(value: Any) -> str:
    """Return a default as code; one that is made anew for each call as three dots."""
    text = repr(value)
    return "..." if text.startswith("<") else text


def returned(signature: inspect.Signature) -> str:
    """Return what a function returns, as its annotation says it."""
    given = signature.return_annotation
    return "" if given is signature.empty else f" -> {given}"
