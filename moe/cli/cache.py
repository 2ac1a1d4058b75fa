"""`moe cache`: experts that do not all fit in fast memory, replayed under every policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.styled import Styled

from ..errors import shown
from .output import Json, err, show, table
from .unused import refuse_unused

if TYPE_CHECKING:
    from ..expert_cache.replay import CacheResult

RULES = (
    "Of each task the first half is the past, and the second is replayed. Each layer's cache "
    "begins empty, and a token asks for its experts one after another, best first."
)
MOST_DIGITS = 9
CAPTION = (
    "hits: requests for which nothing was read; layers: worst to best; in time: with those read "
    "ahead; reads, waits: experts that a token's way through all layers reads, and waits for"
)


def cache(
    typed: typer.Context,
    file: Annotated[str, typer.Argument(help="A trace: see moe trace.")],
    slots: Annotated[
        list[str] | None,
        typer.Option(
            help="Experts of a layer that find room: numbers, with commas between; may be given "
            "more than once. By default an eighth, a quarter and half of them."
        ),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="Policies, with commas between; all that the trace allows by default."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="For tokens a second: a name from `moe models`, or a config.json.")
    ] = "",
    gpu: Annotated[str, typer.Option(help="Fast memory: a key from `moe hardware`.")] = "rtx-4090",
    link: Annotated[
        str, typer.Option(help="What experts are read over: a link from `moe hardware`.")
    ] = "pcie4-x16",
    precision: Annotated[str, typer.Option(help="Of the weights: bf16, fp8 or 4-bit.")] = "4-bit",
    context: Annotated[int, typer.Option(help="Tokens so far.")] = 4096,
    json_output: Json = False,
) -> None:
    """Replay a trace with a cache of experts, and say how often each policy has them there.

    Example: moe cache trace.npz --slots 8,16,32 --model deepseek-v2-lite --link ssd
    """
    from ..cost import find_gpu
    from ..cost.links import find_link
    from ..cost.rows import find_model
    from ..expert_cache.replay import replay, usual_slots
    from ..expert_cache.speed import ASSUMPTIONS, cache_speed, check_model
    from ..traces import LOCAL_BYTES, load_trace

    sizes = [_whole(text) for text in _listed(slots)]
    config = find_model(model) if model else None
    if config is None:
        refuse_unused(typed, "one with --model only", "gpu", "link", "precision", "context")
    machine, way = find_gpu(gpu), find_link(link)
    trace = load_trace(file, LOCAL_BYTES)
    if config is not None:
        check_model(config, trace)
    rows: list[dict[str, Any]] = []
    results: list[CacheResult] = []
    room: dict[int, str] = {}
    replayed = replay(trace, sizes or usual_slots(trace.n_experts), _listed(policy))
    with err.status("replaying"):
        for result in replayed:
            results.append(result)
            row = result.as_json()
            if config is not None:
                speed = cache_speed(
                    *result.per_layer(), result.slots, config, machine, way, precision, context
                )
                row |= speed.as_json()
                room[result.slots] = speed.room_words(result.slots, config, machine)
            rows.append(row)
    notes = [RULES, *room.values(), *(ASSUMPTIONS if config is not None else ())]
    by_size = table(_shown(rows), right=_shown(rows)[0], number=".1f", caption=CAPTION)
    parts: list[RenderableType] = [trace.describe(), by_size]
    if len(results[0].tasks) > 1:
        tasks = [_by_task(result) for result in results]
        parts.append(table(tasks, right=tasks[0], title="hit rate by task"))
    show(rows, json_output, *parts, *(Styled(note, "dim") for note in notes))


def _listed(given: list[str] | None) -> list[str]:
    """Words of an option that takes several, each on its own or with commas between."""
    return [word.strip() for text in given or () for word in text.split(",")]


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > MOST_DIGITS:
        raise ValueError(f"slots: got {shown(text)}, allowed are whole numbers >= 1")
    return int(text)


def _shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The columns that fit on a screen, rates in percent."""
    columns = {"reads_per_token": "reads", "waits_per_token": "waits", "tokens_per_s": "tokens/s"}
    return [
        {
            "slots": str(row["slots"]),
            "policy": row["policy"],
            "hits": f"{row['hit_rate']:.1%}",
            "layers": _span(row["hit_rate_by_layer"].values()),
            "in time": f"{row['ready_rate']:.1%}",
        }
        | {title: row[name] for name, title in columns.items() if name in row}
        for row in rows
    ]


def _span(rates: Any) -> str:
    return f"{min(rates):.0%}–{max(rates):.0%}"


def _by_task(result: CacheResult) -> dict[str, Any]:
    rates = zip(result.tasks, result.hit_rate_T.tolist(), strict=True)
    return {"slots": str(result.slots), "policy": result.policy} | {
        task: f"{rate:.1%}" for task, rate in rates
    }
