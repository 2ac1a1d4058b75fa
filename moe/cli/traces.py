"""`moe trace` and `moe analyze`: record or import routing, and say what a recording shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.styled import Styled
from rich.table import Table

from ..routers import make_router
from ..training import TrainSettings
from .groups import by_default
from .output import Json, err, show, table
from .unused import refuse_unused

if TYPE_CHECKING:
    from ..traces import Trace
    from ..traces.myths import MythCheck
    from ..traces.reads import BatchReads
    from ..traces.report import TraceReport

trace = typer.Typer(cls=by_default("record"), no_args_is_help=True, rich_markup_mode="rich")


@trace.callback()
def _trace() -> None:
    """Record who goes where in a model, or import what others recorded.

    moe trace --model MODEL is short for moe trace record --model MODEL. Both commands take --json.

    Example: moe trace --model ./my-mixtral --text prose.txt --out trace.npz
    """


@trace.command()
def record(
    typed: typer.Context,
    model: Annotated[
        str,
        typer.Option(
            help="A model folder, the name of a model in the local cache, or 'tiny', which trains "
            "this project's tiny text model first."
        ),
    ],
    out_file: Annotated[
        str, typer.Option("--out", help="Where to write: a path ending in .npz or .parquet.")
    ],
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="A text file, or a folder of them; may be given more than once. Each "
            "file is a domain."
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of each file.", min=1)] = 4096,
    context: Annotated[int, typer.Option(help="Tokens that a model sees at once.", min=1)] = 1024,
    steps: Annotated[int, typer.Option(help="Training steps of 'tiny'.")] = 300,
    balance: Annotated[str, typer.Option(help="Balancing of 'tiny': see moe balancers.")] = "bias",
    router: Annotated[str, typer.Option(help="Router of 'tiny': see moe routers.")] = "topk",
    k: Annotated[int, typer.Option(help="Experts per token of 'tiny'.")] = 2,
    n_experts: Annotated[int, typer.Option(help="Experts of 'tiny'.")] = 16,
    seed: Annotated[int, typer.Option(help="Seed of 'tiny'.")] = 0,
    json_output: Json = False,
) -> None:
    """Record which experts a model chooses for the tokens of some text.

    Models other than 'tiny' need torch and transformers: pip install 'moescope[hf]'. Nothing is
    downloaded.

    Example: moe trace --model ./my-mixtral --text prose.txt --text code.txt --out trace.npz
    """  # fmt: skip
    from ..data.documents import read_documents
    from ..traces import check_ending, save_trace
    from ..traces.record import TINY, record_tiny

    check_ending(out_file)
    of_tiny = "steps", "balance", "router", "k", "n_experts", "seed"
    if model == TINY:
        refuse_unused(typed, "none with tiny, whose context is its own", "context")
    else:
        refuse_unused(typed, "one with --model tiny only", *of_tiny)
    documents = read_documents(text or [])
    if model == TINY:
        settings = TrainSettings(
            router=router, k=k, balance=balance, n_experts=n_experts, steps=steps, seed=seed
        )
        with err.status("training the tiny model"):
            recorded = record_tiny(settings, documents, max_tokens)
    else:
        from ..traces.record_hf import record_hf

        if not documents:
            raise ValueError("text: got none, allowed is at least one file or folder")
        with err.status("running the model"):
            recorded = record_hf(model, documents, max_tokens, context)
    save_trace(recorded.trace, out_file)
    written = recorded.trace
    summary = {
        "out": out_file, "model": written.model, "layers": written.layers,
        "n_tokens": written.n_tokens, "n_experts": written.n_experts, "k": written.k,
        "domains": written.domains, "notes": recorded.notes,
    }  # fmt: skip
    following = f"written to {out_file}; next: moe analyze {out_file}"
    show(summary, json_output, written.describe(), *recorded.notes, following)


@trace.command(name="import")
def import_(
    path: Annotated[Path, typer.Argument(help="A file or a folder, as its kind asks for.")],
    kind: Annotated[
        str, typer.Option("--from", help="What wrote it: esft, vllm, sglang, olmoe or parquet.")
    ],
    out_file: Annotated[
        str,
        typer.Option(
            "--out",
            help="Where to write: a path ending in .npz or .parquet; of olmoe's loads, which are "
            "no trace, in .csv or .json.",
        ),
    ],
    n_experts: Annotated[
        int | None, typer.Option(help="Experts of a layer, where the file does not say it.")
    ] = None,
    k: Annotated[int | None, typer.Option(help="Experts of a token (esft, sglang).")] = None,
    n_layers: Annotated[int | None, typer.Option(help="Layers of the model (sglang).")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Most rows of each file (parquet); by default 65,536.")
    ] = None,
    token_ids: Annotated[
        str | None, typer.Option(help="A Parquet file with the column token_id (parquet).")
    ] = None,
    json_output: Json = False,
) -> None:
    """Turn what a public recorder wrote into a trace, or into loads if it counted only.

    Files are read as if they came from a stranger: nothing in them is run.

    Example: moe trace import --from esft ./ESFT --out v2-lite.npz
    """
    from ..traces import check_ending, save_trace
    from ..traces.importers import Loads, find_importer, import_trace
    from ..traces.importers.base import check_loads_ending

    # Before anything is read: that may take a while.
    check = check_loads_ending if find_importer(kind).gives == "loads" else check_ending
    check(out_file)
    asked = {
        "n_experts": n_experts, "k": k, "n_layers": n_layers, "max_tokens": max_tokens,
        "token_ids": token_ids,
    }  # fmt: skip
    with err.status("reading"):
        options = {name: value for name, value in asked.items() if value is not None}
        found = import_trace(kind, path, **options)
        if isinstance(found, Loads):
            found.save(out_file)
        else:
            save_trace(found.trace, out_file)
    summary: dict[str, Any] = {"out": out_file, "from": kind, "notes": found.notes}
    if isinstance(found, Loads):
        summary |= {"layers": found.layers, "domains": found.files, "loads": found.load_LE.tolist()}
        words, following = found.describe(), f"moe place {out_file}"
    else:
        written = found.trace
        summary |= {
            "layers": written.layers, "n_tokens": written.n_tokens, "k": written.k,
            "n_experts": written.n_experts, "domains": written.domains,
        }  # fmt: skip
        words, following = written.describe(), f"moe analyze {out_file}"
    said = f"written to {out_file}; next: {following}"
    show(summary, json_output, words, *found.notes, said)


def analyze(
    typed: typer.Context,
    file: Annotated[
        str, typer.Argument(help="A trace, a .csv of router logits, or a checkpoint's folder.")
    ],
    against: Annotated[
        str | None,
        typer.Option(
            help="A later trace of the same text, such as the final checkpoint's, for "
            "router saturation."
        ),
    ] = None,
    placement: Annotated[
        str | None,
        typer.Option(
            help="Where experts live: a number of devices, or a JSON file of device "
            "numbers, one per expert (or such a list per layer)."
        ),
    ] = None,
    router: Annotated[str, typer.Option(help="Router for a .csv of logits.")] = "topk",
    k: Annotated[int | None, typer.Option(help="Experts per token for a .csv of logits.")] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Also say how many experts a batch of so many tokens reads, and with how few it "
            "would do if tokens kept fewer choices and shared the others."
        ),
    ] = None,
    myths: Annotated[bool, typer.Option(help="Also hold two sayings against the trace.")] = True,
    json_output: Json = False,
) -> None:
    """Say what a trace shows: load, co-activation, specialisation, repetition, each beside chance.

    Of a checkpoint's folder it lists the MoE layers.

    Example: moe analyze final.npz --placement 8
    """  # fmt: skip
    if Path(file).is_dir():
        from ..checkpoints.report import layer_rows

        refuse_unused(
            typed, "none with a folder", "against", "placement", "router", "k", "batch", "myths"
        )
        rows = layer_rows(file)
        show(rows, json_output, _table(rows))
        return
    from ..traces.myths import check_myths
    from ..traces.reads import batch_reads
    from ..traces.report import analyse_trace, read_placement

    if not any(_is_logits(path) for path in (file, against) if path is not None):
        refuse_unused(typed, "one with a .csv of logits only", "router", "k")
    trace = _read(file, router, k)
    other = None if against is None else _read(against, router, k)
    device_LE = None if placement is None else read_placement(placement, trace)
    report = analyse_trace(trace, other, device_LE)
    checks = check_myths(trace) if myths else []
    reads = [] if batch is None else list(batch_reads(trace, batch))
    answer = report.as_json() | {"myths": checks} | ({} if batch is None else {"reads": reads})
    parts = (*_report_parts(report, checks), *_read_parts(reads))
    show(answer, json_output, trace.describe(), *parts)


def _report_parts(report: TraceReport, checks: list[MythCheck]) -> Iterator[RenderableType]:
    """The layers as a table with its legend, and what the trace says of each myth."""
    from ..traces.report import LEGEND

    yield _table(report.rows())
    yield Styled(LEGEND, "dim")
    for check in checks:
        yield f"“{check.claim}” {check.answer}"
        if check.note:
            yield Styled(check.note, "dim")


def _read_parts(reads: list[BatchReads]) -> Iterator[RenderableType]:
    """What a batch reads, by the choices that each token keeps."""
    if reads:
        titles = {
            "domain": "domain", "k0": "kept", "experts": "experts read",
            "choices": "choices left", "gate_mass": "gate mass left",
        }  # fmt: skip
        rows = [asdict(one) for one in reads]
        yield table(rows, titles, right=titles, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _is_logits(file: str) -> bool:
    return file.lower().endswith(".csv")


def _read(file: str, router: str, k: int | None) -> Trace:
    from ..traces import LOCAL_BYTES, load_trace, read_logits_csv

    if not _is_logits(file):
        return load_trace(file, LOCAL_BYTES)
    options = {} if k is None else {"k": k}
    return read_logits_csv(file, make_router(router, **options), model=file)


def _table(rows: list[dict[str, Any]]) -> Table:
    return table(rows, right=rows[0], box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
