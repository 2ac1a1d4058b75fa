"""One page per method: what its docstring, its class and a run of it say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields
from typing import Any

import moe
from docs.generator.method_charts import assignment, cure
from docs.generator.method_runs import SHORT, common_batch, first_suited, route_common, short_run
from moe.pictures.figure import Figure
from moe.training import suits

from . import symbols
from .docstrings import Docstring, module_prose, of_class, to_cell, to_markdown

NO_BALANCE = "none"
LATEX_LINES = {
    r"\begin{aligned}": "\\begin{aligned}\n",
    r"\\": "\\\\\n",
    r"\end{aligned}": "\n\\end{aligned}",
}
NUMBER = re.compile(r"-?[\d,.]+%?")
Registry = dict[str, type[Any]]


@dataclass(frozen=True)
class Kind:
    """A registry: the folder of its pages, its name in code, and what fills a page."""

    folder: str
    registry: Registry
    make: str
    facts: Callable[[type[Any]], Iterator[tuple[str, str]]]
    figure: Callable[[str], Figure]
    figure_words: str
    symbols: dict[str, str]


def page_text(source: str, *parts: str) -> str:
    """Return a Markdown page of these parts, which says what it is made from."""
    made = f"<!-- Made by `make pages` from {source}: edit there. -->"
    return "\n\n".join([made, *parts]) + "\n"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; columns of numbers stand to the right."""
    numbers = [
        bool(rows) and all(NUMBER.fullmatch(row[i]) for row in rows) for i in range(len(head))
    ]
    lines = [head, ["---:" if number else "---" for number in numbers], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def math_block(latex: str, meanings: dict[str, str], name: str) -> str:
    """Return LaTeX as GitHub and the site render it, a line of formula a line of text.

    Below it stands what its symbols mean; see `symbols.line`.
    """
    said = symbols.line(latex, meanings, name)
    for mark, lines in LATEX_LINES.items():
        latex = latex.replace(mark, lines)
    return f"```math\n{latex.strip()}\n```\n\n{said}"


def link(folder: str, name: str, text: str = "", up: str = "../") -> str:
    """Link to a method's page from another page."""
    return f"[{text or f'`{name}`'}]({up}{folder}/{name}.md)"


def lead(method: type[Any]) -> str:
    """First line of the method's module, else of its class, as Markdown.

    A module with several methods in it speaks of none in particular.
    """
    registry = {**moe.ROUTERS, **moe.BALANCERS}
    alone = [m for m in registry.values() if m.__module__ == method.__module__] == [method]
    prose = module_prose(method) if alone else of_class(method).prose
    text = prose.partition("\n")[0]
    _, colon, words = text.partition(": ")
    if alone and colon:  # the page's title has said the name
        text = words[0].upper() + words[1:]
    return to_markdown(text)


def router_facts(router: type[moe.Router]) -> Iterator[tuple[str, str]]:
    """Facts of a router for the table at the head of its page."""
    if router.causal:
        yield "Causal", "yes: a later token never changes where an earlier one goes"
    else:
        yield "Causal", "no: a later token can change where an earlier one goes"
    learnt = [*router.projections, *router.choice_params]
    yield "Learns", ", ".join(f"`{name}`" for name in learnt) or "nothing"
    if router.straight_through:
        yield "Gradient", "an estimate by its paper's rule, not the derivative of the choice"


def balancer_facts(balancer: type[moe.Balancer]) -> Iterator[tuple[str, str]]:
    """Facts of a balancer for the table at the head of its page."""
    yield "Acts by", " and ".join(acts_by(balancer)) or "nothing"
    if balancer.rate_name:
        strength = getattr(balancer(), balancer.rate_name)
        yield (
            "Strength",
            f"`{balancer.rate_name}`: {strength:g}; {balancer.short_run_rate:g} in runs of "
            "hundreds of steps",
        )


def acts_by(balancer: type[moe.Balancer]) -> list[str]:
    """Means that a balancer has, in words."""
    means = []
    if balancer._loss is not moe.Balancer._loss:
        means.append("a loss with a gradient at the logits")
    if balancer.param_loss is not moe.Balancer.param_loss:
        means.append("a loss on the router's own parameters")
    if balancer.update is not moe.Balancer.update:
        means.append("a step after each batch, without gradient")
    return means


def router_figure(name: str) -> Figure:
    """Where the common batch goes."""
    return assignment(moe.ROUTERS[name].title, route_common(name), common_batch()[1])


def balancer_figure(name: str) -> Figure:
    """MaxVio of a short run without and with the balancer."""
    router = first_suited(name)
    title = f"{moe.BALANCERS[name].title}, router {router}"
    return cure(title, short_run(router, NO_BALANCE), short_run(router, name))


ROUTERS = Kind(
    "routers",
    moe.ROUTERS,
    "make_router",
    router_facts,
    router_figure,
    "The same 32 tokens of six kinds (synthetic, common kinds first) for every router, the same "
    "seed and the same fresh gate where it has one, with its training noise. Taller marks are "
    "larger weights; the dashed line is the fair share.",
    symbols.ROUTERS,
)
BALANCERS = Kind(
    "balancers",
    moe.BALANCERS,
    "make_balancer",
    balancer_facts,
    balancer_figure,
    f"Two runs of {SHORT['steps']} steps on the same seed and synthetic text, {SHORT['n_experts']} "
    "experts, with the strength for short runs. MaxVio is how far the busiest expert is above the "
    "fair share, in fair shares.",
    symbols.BALANCERS,
)
KINDS = (ROUTERS, BALANCERS)


def default_of(method: type[Any], option: str) -> str:
    """Return an option's default as code."""
    (field,) = (f for f in fields(method) if f.name == option)
    assert field.default is not MISSING
    exact = repr(field.default)
    endless = isinstance(field.default, float) and len(exact) > 8
    return f"`{field.default:.4g}`" if endless else f"`{exact}`"


def options_section(method: type[Any], doc: Docstring) -> str:
    """Section with a method's options, their defaults and meanings."""
    rows = [
        [f"`{f.name}`", default_of(method, f.name), to_cell(doc.parameters.get(f.name, ""))]
        for f in fields(method)
    ]
    return f"## Options\n\n{table(['Option', 'Default', 'Meaning'], rows)}"


def example_section(doc: Docstring) -> str:
    """Section with the worked example, which runs in the tests."""
    return f"## Example\n\n```pycon\n{doc.example}\n```"


def method_page(kind: Kind, name: str, alt: str, measured: str = "") -> str:
    """Return the page of one method.

    Parameters
    ----------
    alt
        What its figure says in words.
    measured
        What studies found of it, if there are any.
    """
    method = kind.registry[name]
    doc = of_class(method)
    facts = [
        ("Name", f"`{name}`, `moe.{kind.make}({name!r})`".replace("'", '"')),
        *kind.facts(method),
        ("Source", to_markdown(method.source)),
    ]
    parts = [
        f"# {to_markdown(method.title)}",
        f"*{lead(method)}*",
        "\n".join(f"- {what}: {fact}" for what, fact in facts),
    ]
    if to_markdown(doc.prose) != lead(method):
        parts.append(to_markdown(doc.prose))
    if method.formula:
        parts.append(f"## Formula\n\n{math_block(method.formula, kind.symbols, name)}")
    parts.append(f"## Picture\n\n![{to_markdown(alt)}]({name}.svg)\n\n{kind.figure_words}")
    if measured:
        parts.append(f"## Measured\n\n{measured}")
    if doc.example:
        parts.append(example_section(doc))
    if fields(method):
        parts.append(options_section(method, doc))
    return page_text(f"{method.__module__.replace('.', '/')}.py", *parts, suited(kind, name))


def suited(kind: Kind, name: str) -> str:
    """Section on what the method goes together with."""
    if kind is ROUTERS:
        names = [b for b in moe.BALANCERS if b != NO_BALANCE and suits(b, name)]
        title, folder, nothing = "Balancers that suit it", "balancers", "None can act on it."
    else:
        names = [r for r in moe.ROUTERS if suits(name, r)]
        title, folder, nothing = "Routers that it suits", "routers", "It can act on none."
    links = ", ".join(link(folder, other) for other in names)
    return f"## {title}\n\n{links or nothing}"


def index_page() -> str:
    """Return the list of all methods."""
    routers = [
        [
            link("routers", name, to_markdown(router.title), up=""),
            lead(router),
            "yes" if router.causal else "no",
        ]
        for name, router in moe.ROUTERS.items()
    ]
    balancers = [
        [link("balancers", name, to_markdown(balancer.title), up=""), lead(balancer)]
        for name, balancer in moe.BALANCERS.items()
    ]
    return page_text(
        "moe/routers and moe/balance",
        "# Methods",
        f"{len(routers)} routers decide which experts a token goes to; {len(balancers)} balancers "
        "keep the load even; a [capacity](capacity.md) says who gets in where experts are full. "
        "The [ablation](../ablation.md) trains them on the same text and seed. A method is "
        "*causal* if no later token can change where an earlier one goes; a [probe](causality.md) "
        "checks it. How libraries scale the auxiliary loss has [its own table](scales.md).",
        "## Routers",
        table(["Router", "In one line", "Causal"], routers),
        "## Balancers",
        table(["Balancer", "In one line"], balancers),
    )
