"""Commands about cost: `moe models`, `cost`, `decode`, `hardware` and `check-numbers`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from .output import Json, out

COLUMNS = (
    ("total_params", "total"),
    ("published_total", "published"),
    ("active_with_input", "active"),
    ("active_head_only", "head only"),
    ("active_neither", "neither"),
    ("published_active", "published"),
)
RESULTS = (
    ("gpu_hours", "GPU-hours"),
    ("dollars", "dollars"),
    ("energy_mwh", "MWh"),
    ("days", "days"),
    ("mfu", "utilisation"),
)


def add_cost_commands(cli: typer.Typer) -> None:
    """Register the commands of this file."""
    for command in (models, cost, decode, hardware):
        cli.command()(command)
    cli.command("check-numbers")(check_numbers)


def models(json_output: Json = False) -> None:
    """List published models: parameters by formula beside the published ones.

    Example: moe models --json
    """
    from ..cost.rows import model_rows

    rows = model_rows()
    if json_output:
        typer.echo(json.dumps(rows))
        return
    table = Table(
        caption="Active parameters: with the table of input embeddings, with the output matrix "
        "only, with neither; * marks the convention of the published figure"
    )
    table.add_column("model", no_wrap=True)
    for _, title in COLUMNS:
        table.add_column(title)
    for row in rows:
        marked = f"active_{row['published_convention']}"
        cells = (f"{_cell(row[key])}{'*' if key == marked else ''}" for key, _ in COLUMNS)
        table.add_row(row["title"], *cells)
    out.print(table)
    for row in rows:
        if row["exception"]:
            out.print(f"{row['name']}: {row['exception']}", markup=False)


def cost(
    model: Annotated[str, typer.Argument(help="A name from `moe models`, or a config.json.")],
    tokens: Annotated[float, typer.Option(help="Training tokens; 0: the published number.")] = 0.0,
    gpu: Annotated[str, typer.Option(help="A key from `moe hardware`.")] = "h800",
    mfu: Annotated[
        str, typer.Option(help="Utilisation of the peak: VALUE or LOW:MIDDLE:HIGH.")
    ] = "",
    price: Annotated[
        str, typer.Option(help="Dollars per GPU and hour: VALUE or LOW:MIDDLE:HIGH.")
    ] = "",
    context: Annotated[int, typer.Option(help="Tokens of a sequence.")] = 4096,
    causal: Annotated[
        bool, typer.Option(help="Attention counts only the tokens before, or all.")
    ] = True,
    formula: Annotated[str, typer.Option(help="'counted', or '6ND' for the rule of thumb.")] = (
        "counted"
    ),
    mtp: Annotated[bool, typer.Option("--mtp", help="Count multi-token prediction.")] = False,
    precision: Annotated[
        str, typer.Option(help="Whose peak the utilisation is of: bf16, fp8 or fp4.")
    ] = "bf16",
    extra_hours: Annotated[
        float, typer.Option(help="GPU-hours beside pre-training, such as post-training.")
    ] = 0.0,
    n_gpus: Annotated[int, typer.Option(help="GPUs of the cluster, to get days.")] = 0,
    json_output: Json = False,
) -> None:
    """Estimate what training a model costs, as a range, with every assumption named.

    Example: moe cost deepseek-v3 --tokens 14.8e12 --gpu h800 --price 2
    """
    from ..cost import TrainingCost
    from ..cost.rows import find_model, parameter_words, parse_range, published_words, training_row

    ranges: dict[str, Any] = {}
    if mfu:
        ranges["mfu"] = parse_range("mfu", mfu)
    if price:
        ranges["dollars_per_hour"] = parse_range("price", price)
    settings = TrainingCost(
        model=find_model(model),
        tokens=tokens,
        gpu=gpu,
        context=context,
        causal=causal,
        formula=formula,
        mtp=mtp,
        precision=precision,
        extra_hours=extra_hours,
        n_gpus=n_gpus,
        **ranges,
    )
    row = training_row(settings)
    if json_output:
        typer.echo(json.dumps(row))
        return
    out.print(
        f"{row['model']} on {row['gpu']}: {row['tokens']:.3g} tokens, "
        f"{row['flops_per_token']:.4g} operations each, {row['train_flops']:.4g} in all"
    )
    out.print(parameter_words(row))
    _print_ranges(row)
    if row["published_gpu_hours"]:
        out.print(published_words(row))
    _print_notes([row])
    _print_assumptions(row["assumptions"])


def _print_notes(rows: list[dict[str, Any]]) -> None:
    """What the figures leave out, each sentence once, with the models that it is about."""
    named: dict[str, list[str]] = {}
    for row in rows:
        for note in row["notes"]:
            named.setdefault(note, []).append(row.get("title") or row["model"])
    for note, models in named.items():
        out.print(f"{', '.join(models)}: {note}", markup=False)


def _print_ranges(row: dict[str, Any]) -> None:
    table = Table()
    for title in ("", "low", "middle", "high"):
        table.add_column(title)
    for key, title in RESULTS:
        if key in row:
            values = (row[f"{key}_low"], row[key], row[f"{key}_high"])
            table.add_row(title, *map(_cell, values))
    out.print(table)


def _print_assumptions(assumptions: list[dict[str, Any]]) -> None:
    table = Table(title="Assumptions")
    for title in ("name", "value", "unit", "source"):
        table.add_column(title)
    for row in assumptions:
        value = row["value"]
        ends = dict.fromkeys(_cell(value[end]) for end in ("low", "mid", "high"))
        table.add_row(row["name"], " / ".join(ends), row["unit"], row["source"])
    out.print(table)


def decode(
    model: Annotated[
        str, typer.Argument(help="A name from `moe models`, or a config.json; all if left out.")
    ] = "",
    gpu: Annotated[str, typer.Option(help="A key from `moe hardware`.")] = "m3-ultra",
    n_gpus: Annotated[int, typer.Option(help="GPUs that share the model.")] = 1,
    batch: Annotated[int, typer.Option(help="Sequences at once.")] = 1,
    context: Annotated[int, typer.Option(help="Tokens of each so far.")] = 4096,
    precision: Annotated[str, typer.Option(help="Of the weights: bf16, fp8 or 4-bit.")] = "4-bit",
    json_output: Json = False,
) -> None:
    """Say whether a model fits on a machine, and how many tokens a second it can write at most.

    Example: moe decode --gpu m3-ultra --precision 4-bit
    """
    from ..cost import find_gpu
    from ..cost.rows import decoding_rows, find_model

    rows = decoding_rows(
        find_gpu(gpu),
        [find_model(model)] if model else None,
        batch=batch,
        context=context,
        precision=precision,
        n_gpus=n_gpus,
    )
    if json_output:
        typer.echo(json.dumps(rows))
        return
    table = Table(caption="Bounds: full bandwidth, full peak, free links between GPUs")
    table.add_column("model", no_wrap=True)
    for title in ("fits", "needs bytes", "a token reads", "experts", "tokens/s", "limit"):
        table.add_column(title)
    for row in rows:
        figures = ("needed_bytes", "bytes_per_token", "experts_touched", "tokens_per_s")
        fits = "yes" if row["fits"] else "no"
        table.add_row(row["title"], fits, *(_cell(row[key]) for key in figures), row["limit"])
    out.print(table)
    _print_notes(rows)


def hardware(json_output: Json = False) -> None:
    """List accelerators and machines: peaks, memory, bandwidths in one direction, power.

    Example: moe hardware --json
    """
    from ..cost.rows import hardware_rows

    rows = hardware_rows()
    if json_output:
        typer.echo(json.dumps(rows))
        return
    hidden = {"sources", "checks", "kind"}
    table = Table(caption="Sources of every figure: moe hardware --json")
    for key in rows[0]:
        if key not in hidden:
            table.add_column(key)
    for row in rows:
        table.add_row(*(_cell(value) for key, value in row.items() if key not in hidden))
    out.print(table)


def check_numbers(json_output: Json = False) -> None:
    """Compare every computed figure with the published one; exit code 1 if one differs unlisted.

    Example: moe check-numbers
    """
    from ..cost.rows import check_rows

    checks = check_rows()
    if json_output:
        typer.echo(
            json.dumps([asdict(check) | {"difference": check.difference} for check in checks])
        )
    else:
        _print_checks(checks)
    if any(check.verdict == "differs" for check in checks):
        raise typer.Exit(1)


def _print_checks(checks: list[Any]) -> None:
    table = Table(caption="Sources, and how they were read: moe check-numbers --json")
    for title in ("figure", "computed", "published", "difference", "verdict"):
        table.add_column(title)
    for check in checks:
        span = (check.low, check.computed, check.high)
        ends = dict.fromkeys(map(_cell, span))
        table.add_row(
            check.what,
            " / ".join(ends),
            f"{_cell(check.published)} {check.unit}",
            check.comparison,
            check.verdict,
        )
    out.print(table)
    for check in checks:
        if check.verdict in {"listed", "differs"}:
            out.print(f"{check.what}: {check.note}", markup=False)


def _cell(value: Any) -> str:
    from ..numbers import short

    if value is None:
        return "–"
    return value if isinstance(value, str) else short(value)
