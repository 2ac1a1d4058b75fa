"""Pages of tables: drop policies, and the ablation."""

from __future__ import annotations

from pathlib import Path

from moe.capacity import DROP_POLICIES, Capacity
from moe.charts.figure import Figure
from moe.charts.methods import assignment
from moe.lab.ablation import WORSE, read, table_rows, words
from moe.lab.methods import cap_common, common_batch

from .docstrings import of_class, to_markdown, values_of
from .methods import MADE, example_section, link, options_section, table

HERE = Path(__file__).resolve().parent.parent
RESULTS = HERE / "ablation.jsonl"


def policy_figure(drop: str) -> Figure:
    """Which assignments of the common batch get in."""
    return assignment(f"Drop policy {drop}", cap_common(drop), common_batch()[1])


def capacity_page(alts: dict[str, str]) -> str:
    """Return the page on drop policies; `alts` holds what each one's figure says in words."""
    doc = of_class(Capacity)
    meanings = values_of(doc.parameters["drop"])
    parts = [
        MADE.format(source="moe/capacity.py"),
        "# Capacity and drop policies",
        to_markdown(doc.prose),
    ]
    if doc.example:
        parts.append(example_section(doc))
    parts.append(options_section(Capacity, doc))
    parts.append(
        "## Policies\n\nThe pictures show one batch of 32 tokens (synthetic, in order of kind), "
        "routed by top-k with room for the fair share only. Hollow marks were dropped."
    )
    for drop in DROP_POLICIES:
        causal = Capacity(drop=drop).causal
        parts += [
            f"### {to_markdown(drop)}",
            to_markdown(meanings[drop]),
            "Causal." if causal else "Not causal: a later token can displace an earlier one.",
            f"![{to_markdown(alts[drop])}](capacity-{drop}.svg)",
        ]
    return "\n\n".join(parts) + "\n"


def ablation_page(results: Path = RESULTS) -> str:
    """Return the ablation's page, made from its results only."""
    conditions, rows = read(results)
    shown = table_rows(rows)
    settings = conditions["settings"]
    versions = ", ".join(f"{name} {number}" for name, number in conditions["versions"].items())
    cells = [
        [
            link("methods/routers", row["router"], up=""),
            link("methods/balancers", row["balance"], up=""),
            *list(row.values())[2:],
        ]
        for row in shown
    ]
    parts = [
        MADE.format(source=f"docs/{results.name}"),
        "# Every router, with and without balancing",
        "Made by `make pages ARGS=--ablation`, which trains each router alone and with every "
        f"balancer that suits it, and keeps finished rows in `docs/{results.name}` ({len(rows)} "
        "runs).",
        *words(rows),
        "## Table",
        f"Same text, seed and settings in every row: {settings['n_experts']} experts, k = "
        f"{settings['k']} where a router takes it, {settings['steps']} steps of "
        f"{settings['batch']} tokens, room per expert {settings['capacity_factor']:g} times the "
        f"fair share, drop policy `{settings['drop']}`.",
        "The second row of a router is its best balancer: the lowest MaxVio among those that suit "
        f"it, at their strength for short runs, whose held-out loss is at most {WORSE:.0%} above "
        "that without one. A router with one row has no better.",
        "Loss, MaxVio, dropped share and operations are means over the last 20 steps. MaxVio is of "
        "what the router asks for; the operations are those of the layer's forward pass, counted "
        "where they run, so what is dropped costs nothing. The seconds are of one machine that had "
        "other work too.",
        table(list(shown[0]), cells),
        f"Data {conditions['data']}, {versions}. One seed: small differences mean nothing.",
    ]
    return "\n\n".join(parts) + "\n"
