"""Commands about cost: `moe models`, `cost`, `decode`, `hardware` and `check-numbers`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table

from ..cost import Check, TrainingCost, find_gpu
from ..cost import rows as cost_rows
from ..numbers import short, span_words
from ..traffic import EVEN
from .output import Json, show, table
from .settings import with_flags

ENDS = ("low", "mid", "high")
PARAMETERS = {
    "title": "model", "total_params": "total", "published_total": "published",
    "active_with_input": "active", "active_head_only": "head only", "active_neither": "neither",
    "published_active": "published",
}  # fmt: skip
BOUNDS = {
    "title": "model", "fits": "fits", "needed_bytes": "needs bytes",
    "bytes_per_token": "a token reads", "experts_touched": "experts", "tokens_per_s": "tokens/s",
    "limit": "limit",
}  # fmt: skip
RESULTS = {
    "gpu_hours": "GPU-hours", "dollars": "dollars", "energy_mwh": "MWh", "days": "days",
    "mfu": "utilisation",
}  # fmt: skip


def models(json_output: Json = False) -> None:
    """List published models: parameters by formula beside the published ones.

    Example: moe models --json
    """
    rows = cost_rows.model_rows()
    parameters = table(
        [_marked(row) for row in rows],
        PARAMETERS,
        number=short,
        unbroken=("title",),
        caption="Active parameters: with the table of input embeddings, with the output matrix "
        "only, with neither; * marks the convention of the published figure",
    )
    exceptions = (f"{row['name']}: {row['exception']}" for row in rows if row["exception"])
    show(rows, json_output, parameters, *exceptions)


def _marked(row: dict[str, Any]) -> dict[str, Any]:
    """A model with its active parameters marked in the convention of the published figure."""
    convention = f"active_{row['published_convention']}"
    return row | {convention: f"{short(row[convention])}*"}


@with_flags(
    TrainingCost, "tokens", "gpu", "context", "causal", "formula", "mtp", "precision",
    "extra_hours", "n_gpus",
)  # fmt: skip
def cost(
    model: Annotated[str, typer.Argument(help="A name from `moe models`, or a config.json.")],
    mfu: Annotated[
        str, typer.Option(help="Utilisation of the peak: VALUE or LOW:MIDDLE:HIGH.")
    ] = "",
    price: Annotated[
        str, typer.Option(help="Dollars per GPU and hour: VALUE or LOW:MIDDLE:HIGH.")
    ] = "",
    json_output: Json = False,
    **options: Any,
) -> None:
    """Estimate what training a model costs, as a range, with every assumption named.

    Example: moe cost deepseek-v3 --tokens 14.8e12 --gpu h800 --price 2
    """
    if mfu:
        options["mfu"] = cost_rows.parse_range("mfu", mfu)
    if price:
        options["dollars_per_hour"] = cost_rows.parse_range("price", price)
    row = cost_rows.training_row(TrainingCost(cost_rows.find_model(model), **options))
    show(row, json_output, *_training_parts(row))


def _training_parts(row: dict[str, Any]) -> Iterator[RenderableType]:
    """The cost of a training and its range, what is published of it, and the assumptions."""
    yield (
        f"{row['model']} on {row['gpu']}: {row['tokens']:.3g} tokens, "
        f"{row['flops_per_token']:.4g} operations each, {row['train_flops']:.4g} in all"
    )
    yield cost_rows.parameter_words(row)
    yield _ranges(row)
    if row["published_gpu_hours"]:
        yield cost_rows.published_words(row)
    yield from _notes([row])
    yield _assumptions(row["assumptions"])


def _notes(rows: list[dict[str, Any]]) -> Iterator[str]:
    """What the figures leave out, each sentence once, with the models that it is about.

    Of several models it is not said in how many of their layers, which would keep them apart.
    """
    named: dict[str, list[str]] = {}
    for row in rows:
        for note in row["notes"]:
            text = re.sub(r"^\d+ of \d+ layers", "layers", note) if len(rows) > 1 else note
            titles = named.setdefault(text, [])
            if (title := row.get("title") or row["model"]) not in titles:
                titles.append(title)
    for note, models in named.items():
        yield f"{', '.join(models)}: {note}"


def _ranges(row: dict[str, Any]) -> Table:
    results = [
        {"": title, "low": row[f"{key}_low"], "middle": row[key], "high": row[f"{key}_high"]}
        for key, title in RESULTS.items()
        if key in row
    ]
    return table(results, number=short)


def _assumptions(assumptions: list[dict[str, Any]]) -> Table:
    rows = [
        assumption | {"value": span_words(*(assumption["value"][end] for end in ENDS))}
        for assumption in assumptions
    ]
    return table(rows, title="Assumptions")


def decode(
    model: Annotated[
        str, typer.Argument(help="A name from `moe models`, or a config.json; all if left out.")
    ] = "",
    gpu: Annotated[str, typer.Option(help="A key from `moe hardware`.")] = "m3-ultra",
    n_gpus: Annotated[int, typer.Option(help="GPUs that share the model.")] = 1,
    batch: Annotated[int, typer.Option(help="Sequences at once.")] = 1,
    context: Annotated[int, typer.Option(help="Tokens of each so far.")] = 4096,
    precision: Annotated[str, typer.Option(help="Of the weights: bf16, fp8 or 4-bit.")] = "4-bit",
    traffic: Annotated[
        str,
        typer.Option(
            help="How popular experts are: even, as measured (v2-lite, v2-lite-mixed, olmoe, "
            "mixtral) or as in a trace's file."
        ),
    ] = EVEN,
    json_output: Json = False,
) -> None:
    """Say whether a model fits on a machine, and how many tokens a second it can write at most.

    Example: moe decode deepseek-v2-lite --gpu rtx-4090 --batch 16 --traffic v2-lite
    """
    rows = cost_rows.decoding_rows(
        find_gpu(gpu),
        [cost_rows.find_model(model)] if model else None,
        batch=batch,
        context=context,
        precision=precision,
        n_gpus=n_gpus,
        traffic=traffic,
    )
    caption = "Bounds: full bandwidth, full peak, free links between GPUs"
    columns = BOUNDS if traffic == EVEN else BOUNDS | {"experts_even": "experts if even"}
    bounds = table(rows, columns, number=short, unbroken=("title",), caption=caption)
    popularity = dict.fromkeys(row["traffic"] for row in rows if "traffic" in row)
    show(rows, json_output, bounds, *popularity, *_notes(rows))


def hardware(json_output: Json = False) -> None:
    """List accelerators and machines: peaks, memory, bandwidths in one direction, power.

    Example: moe hardware --json
    """
    rows = cost_rows.hardware_rows()
    columns = {name: name for name in rows[0] if name not in ("sources", "checks", "kind")}
    caption = "Sources of every figure: moe hardware --json"
    show(rows, json_output, table(rows, columns, number=short, caption=caption))


def check_numbers(json_output: Json = False) -> None:
    """Compare every computed figure with the published one; exit code 1 if one differs unlisted.

    Example: moe check-numbers
    """
    checks = cost_rows.check_rows()
    rows = [asdict(check) | {"difference": check.difference} for check in checks]
    show(rows, json_output, *_check_parts(checks))
    if any(check.verdict == "differs" for check in checks):
        raise typer.Exit(1)


def _check_parts(checks: list[Check]) -> Iterator[RenderableType]:
    """Computed beside published figures, and why those differ that do."""
    rows = [
        {
            "figure": check.what,
            "computed": span_words(check.low, check.computed, check.high),
            "published": f"{short(check.published)} {check.unit}",
            "difference": check.comparison,
            "verdict": check.verdict,
        }
        for check in checks
    ]
    yield table(rows, caption="Sources, and how they were read: moe check-numbers --json")
    for check in checks:
        if check.verdict in {"listed", "differs"}:
            yield f"{check.what}: {check.note}"
