"""Pages of tables: drop policies, and the ablation."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from docs.generator.ablation import WORSE, read, table_rows, words
from docs.generator.method_charts import assignment
from docs.generator.method_runs import cap_common, common_batch
from moe.balance.aux import SCALES
from moe.capacity import DROP_POLICIES, Capacity
from moe.pictures.figure import Figure
from moe.studies.causality import CausalityRow, ProbeSettings, causality_rows

from . import order, studies
from .docstrings import module_prose, of_class, to_markdown, values_of
from .methods import example_section, link, math_block, options_section, page_text, table
from .symbols import BALANCERS

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
        "# Capacity and drop policies",
        to_markdown(doc.prose),
    ]
    if doc.example:
        parts.append(example_section(doc))
    # Its values have the section below to themselves.
    drop = doc.parameters["drop"].partition("\n")[0].rstrip(":") + "; see the policies below."
    parts.append(
        options_section(Capacity, replace(doc, parameters=doc.parameters | {"drop": drop}))
    )
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
    return page_text("moe/capacity.py", *parts)


@cache
def probed() -> list[CausalityRow]:
    """Return what the probe finds, which takes seconds, once."""
    return causality_rows()


def causality_page() -> str:
    """Return the table of what methods claim of the future, and what the probe finds."""
    rows = probed()
    settings = ProbeSettings()
    cells = [
        [
            row.kind,
            link("routers", row.name, up="")
            if row.kind == "router"
            else f"[`{row.name}`](capacity.md#{row.name})",
            "yes" if row.claims else "no",
            "yes" if row.found else "no",
            f"{row.changed:.0%}",
        ]
        for row in rows
    ]
    found = [row for row in rows if not row.found]
    return page_text(
        "moe/studies/causality.py",
        "# Does the future change the past?",
        to_markdown(module_prose(causality_rows)),
        f"Here {settings.n_early} tokens stay and the {settings.n_future} after them change, with "
        f"{settings.n_experts} experts. {len(found)} of {len(rows)} methods let the future in; "
        f"{sum(row.claims != row.found for row in rows)} behave otherwise than they claim.",
        table(["Kind", "Method", "Claims causal", "Found causal", "Tokens changed"], cells),
    )


def scales_page() -> str:
    """Return the published scales of the auxiliary loss, with their values at uniform load."""
    ks = (1, 2, 8)
    cells = [
        [f"`{name}`", *(f"{scale.at_uniform(k):g}" for k in ks), to_markdown(scale.source)]
        for name, scale in SCALES.items()
    ]
    parts = [
        "# Scales of the auxiliary loss",
        "The auxiliary loss of " + link("balancers", "aux", up="") + " multiplies each expert's "
        "share of the choices, f, with the mean of its probability, P. Publications count f "
        "differently, so that the same coefficient means different strengths. The table gives "
        "the value at uniform load for a coefficient of 1.",
        table(["Scale", *(f"k\u00a0=\u00a0{k}" for k in ks), "Source"], cells),
        "As their sources write them, T tokens, E experts and k choices a token:",
    ]
    for name, scale in SCALES.items():
        parts.append(f"`{name}`\n\n{math_block(scale.wording, BALANCERS, 'scale')}")
    return page_text("moe/balance/aux.py", *parts)


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
    return page_text(
        f"docs/{results.name}",
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
        "where they run, so what is dropped costs nothing. The seconds are of one machine, which "
        "may have had other work too.",
        table(list(shown[0]), cells),
        f"Data {conditions['data']}, {versions}. One seed: small differences mean nothing.",
        *order.section(rows, studies.read("order")),
    )
