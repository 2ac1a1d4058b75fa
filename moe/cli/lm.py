"""`moe lm`: a small language model is trained, sampled, judged and timed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..lm.data import CORPORA
from ..lm.settings import LMTrainSettings
from .kernels import prepare_kernels
from .lm_reason import distil, reason
from .output import Json, err, json_line, out, say, show, table
from .settings import with_flags

if TYPE_CHECKING:
    from ..lm.training import Evaluation, LMRecord

# How a reader calls what the model's fields call n_heads and the like.
SPELLED = {"n_heads": "--heads", "n_layers": "--layers", "n_experts": "--experts"}
Folder = Annotated[Path, typer.Argument(help="Folder that moe lm train wrote, or a checkpoint.")]

lm = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")


@lm.callback()
def _lm() -> None:
    """A small language model of bytes: train it, let it write, judge it, time it.

    Example: moe lm train --steps 400 --out run
    """


def _train(
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the run: its state, its steps and the model."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder.")
    ] = False,
    json_output: Json = False,
    **options: Any,
) -> None:
    """Train a language model, with a line of JSON for each step.

    Killed at any moment, a run in a folder goes on with --resume, to the same bits.

    Example: moe lm train --steps 400 --out run
    """
    from ..lm.run_folder import model_of, publish, train_in
    from ..lm.training import LMTrainer

    settings = LMTrainSettings(**options)
    if resume and folder is None:
        raise ValueError("resume: got no folder, allowed is it with --out DIR")
    prepare_kernels()
    if folder is None:
        _follow(LMTrainer(settings).run(), settings, json_output)
        return
    _follow(train_in(folder, settings, resume), settings, json_output)
    if why := publish(model_of(folder), folder):
        err.print(f"moe: the run is kept, and no published layout can hold it: {why}")
    if not json_output:
        out.print(f"All is in {folder}: moe lm sample {folder}", soft_wrap=True)


def _follow(records: Iterator[LMRecord], settings: LMTrainSettings, json_output: bool) -> None:
    """Draw the progress, print the records, and at last what the run came to."""
    columns = [TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()]
    record, bits = None, None
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("training", total=settings.steps)
        for record in records:
            bits = record.held_out or bits
            if json_output:
                json_line(record)
            progress.update(bar, completed=record.done, description=record.words(bits))
    if record is not None and not json_output:
        say(record.words(bits))


@lm.command()
def sample(
    folder: Folder,
    prompt: Annotated[str, typer.Option(help="Text to go on from.")] = "\n",
    n: Annotated[int, typer.Option(help="Bytes to write.", min=1)] = 400,
    temperature: Annotated[
        float, typer.Option(help="1 draws from the model's chances, 0 takes the likeliest.", min=0)
    ] = 0.8,
    seed: Annotated[int, typer.Option(help="Same seed, same text.", min=0)] = 0,
    json_output: Json = False,
) -> None:
    """Let a model write, byte by byte.

    Example: moe lm sample run --prompt "def " --temperature 0.5
    """
    from ..lm.run_folder import model_of
    from ..lm.writing import write

    prepare_kernels()
    pieces = write(model_of(folder), prompt, n, temperature, seed)
    if json_output:
        json_line({"prompt": prompt, "text": "".join(pieces)})
        return
    typer.echo(prompt, nl=False)
    for piece in pieces:
        typer.echo(piece, nl=False)
    typer.echo()


@lm.command("eval")
def evaluate(
    folder: Folder,
    text: Annotated[
        str | None, typer.Option(help="Path of a text file to judge by instead of the run's text.")
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help=f"Text to judge by: {', '.join(CORPORA)}.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Say how well a model foretells held-out text, in bits a byte, for each domain.

    Example: moe lm eval run --json
    """
    from ..lm.run_folder import model_of, windows_of
    from ..lm.training import evaluate as judge

    prepare_kernels()
    model = model_of(folder)
    found = judge(model, windows_of(folder, model.config.context, corpus, text))
    show(found, json_output, *_evaluation_parts(found))


def _evaluation_parts(found: Evaluation) -> Iterator[RenderableType]:
    rows = [{"domain": name, "bits a byte": bits} for name, bits in found.domains.items()]
    yield table(rows, right=("bits a byte",), number=".3f", title="Held-out text")
    yield f"{found.bits_per_byte:.3f} bits a byte over {found.tokens:,} bytes"


@lm.command()
def trace(
    folder: Folder,
    out_file: Annotated[
        str, typer.Option("--out", help="Where to write: a path ending in .npz or .parquet.")
    ],
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="A text file, or a folder of them; may be given more than once. Each file is a "
            "domain. Without one it is held-out text of the run's domains."
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Most bytes of each domain.", min=1)] = 4096,
    json_output: Json = False,
) -> None:
    """Record which experts each layer of a model chooses, for moe analyze.

    Example: moe lm trace run --out trace.npz
    """
    from ..data.documents import read_documents
    from ..lm.run_folder import model_of, windows_of
    from ..lm.tracing import held_out_documents, record_model, shortened
    from ..traces import check_ending, save_trace

    check_ending(out_file)
    given = read_documents(text or [])
    prepare_kernels()
    model = model_of(folder)
    documents = (
        shortened(given, max_tokens)
        if given
        else held_out_documents(windows_of(folder, model.config.context), max_tokens)
    )
    recorded = record_model(model, documents, folder.resolve().name)
    save_trace(recorded, out_file)
    summary = {
        "out": out_file, "layers": recorded.layers, "n_tokens": recorded.n_tokens,
        "n_experts": recorded.n_experts, "k": recorded.k, "domains": recorded.domains,
    }  # fmt: skip
    following = f"written to {out_file}; next: moe analyze {out_file}"
    show(summary, json_output, recorded.describe(), following)


lm.command("train")(
    with_flags(LMTrainSettings, *(one.name for one in fields(LMTrainSettings)), spelled=SPELLED)(
        _train
    )
)


def _bench(
    d_expert: Annotated[
        int | None, typer.Option(help="Width inside an expert; by default 4 times --d-model.")
    ] = None,
    activation: Annotated[
        str, typer.Option(help="What an expert computes: swiglu, gelu or relu.")
    ] = "relu",
    learning_rate: Annotated[float, typer.Option(help="AdamW's rate.")] = 1e-3,
    blocks: Annotated[int, typer.Option(help="Blocks of steps, of about 0.4 s each.", min=1)] = 7,
    pytorch: Annotated[
        bool,
        typer.Option("--pytorch", help="Time the same model in PyTorch too, in turn with it."),
    ] = False,
    dense_too: Annotated[
        bool,
        typer.Option("--dense-too", help="Time dense models of equal active and total size too."),
    ] = False,
    json_output: Json = False,
    **options: Any,
) -> None:
    """Time whole training steps: forward, backward, clipping, AdamW and balance.

    Without a choice of experts they are those of a model that many write first: ReLU, four times
    as wide as the model. With --pytorch the same model, from equal weights, takes turns with it.

    Example: moe lm bench --d-model 128 --heads 8 --layers 8 --experts 8 --context 32 --batch 16
    """
    from ..lm.bench import bench_settings, measure

    settings = bench_settings(
        **options, d_expert=d_expert, activation=activation, learning_rate=learning_rate
    )
    prepare_kernels()
    with err.status("timing"):
        found = measure(settings, blocks, pytorch, dense_too)
    rows = found.rows()
    show(found, json_output, table(rows, right=tuple(rows[0]), number=",.4g"), found.words())


lm.command("bench")(
    with_flags(
        LMTrainSettings, "d_model", "n_heads", "n_layers", "n_experts", "k", "context", "batch",
        "router", "balance", "balance_rate", "dense", "optimizer", "seed",
        spelled=SPELLED,
    )(_bench)
)  # fmt: skip
lm.command("reason")(reason)
lm.command("distil")(distil)
