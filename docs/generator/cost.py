"""The page on cost: models, hardware and published figures, from the package's own tables."""

from __future__ import annotations

from moe.app.five_million.story import V3
from moe.app.real_models.story import contradiction_words
from moe.cost import CONVENTIONS, GPUS, MODELS, Check, Gpu, ModelConfig, TrainingCost, check_numbers
from moe.cost.hardware import FIGURES
from moe.numbers import short, span_words

from .docstrings import to_cell
from .methods import page_text, table

PAGE = "cost.md"
MARKS = {"verified": "", "second-hand": "†", "unverified": "‡"}
MARKED = "† quoted by others, ‡ not verified."
HEADS = {
    "bf16_tflops": "BF16 TFLOP/s",
    "fp8_tflops": "FP8",
    "fp4_tflops": "FP4",
    "memory_gb": "Memory GB",
    "memory_gb_s": "GB/s",
    "nvlink_gb_s": "NVLink GB/s",
    "network_gb_s": "Network GB/s",
    "power_w": "W",
}

INTRO = """\
# What a model costs

`moe.cost` computes parameters, operations, memory, decoding speed and training cost from a model's
shape. `moe cost deepseek-v3` prints a range with every assumption; each is an option. A model of
your own: `moe cost path/to/config.json --tokens 1e12`. `moe params` counts its parameters alone,
all, active and by part, of a folder, a config.json or a model in the local cache. In Python:

```python
import moe
from moe.cost import Range, TrainingCost, decode, find_gpu

v3 = moe.MODELS["deepseek-v3"]
v3.total_params, v3.active("head_only"), v3.kv_bytes_per_token()
TrainingCost("deepseek-v3", gpu="h800", mfu=Range(0.3, 0.39, 0.43)).result().gpu_hours
decode(v3, find_gpu("m3-ultra"), precision="4-bit").tokens_per_s
```

## How it is computed

- **Operations per token**: 2 per multiply-add. Every matrix a token meets, the output matrix
  included, the look-up of the input table not; attention's scores and values, 2 · heads ·
  (query + value size) · tokens seen, half the context on average if causal. Training is three times
  forward. Multi-token prediction only with `--mtp`, as published figures leave it out; for a model
  that has none the output says so.
- **GPU-hours**: operations over (utilisation · peak · 3600). Utilisation is of the BF16 peak, even
  where matrices are FP8, because that is how it is printed.
- **Memory**: weights at 2 bytes, 1 byte or 4.5 bits; cache of keys and values, which latent
  attention shortens to one vector a layer; what an indexer keeps; for training 18 bytes a parameter
  unless told otherwise. Linear attention and Mamba keep a state of one size for each sequence, at 4
  bytes a number; DeepSeek-V4's layers keep the keys of a window, at the cache's 2 bytes.
- **Decoding**: a step reads all weights outside the routed experts, those experts that the batch
  touches (E · (1 − (1 − k/E)^batch) a layer; [real tokens touch fewer](real-routing.md), which
  `--traffic` takes into account), and the cache; states are read and written. Tokens per second are
  bounds: full bandwidth, full peak, free links. `moe decode --gpu m3-ultra` prints them for every
  model.
- **Not in it**: failed runs, research, data, salaries, buildings, and time lost to faults unless
  the utilisation has it. Attention to a window only is counted as if it saw everything, so cache
  and attention are upper bounds ({windows}). So are the operations of attention that picks what it
  sees ({picking}). Operations on a state of fixed size are left out ({states}).
- **A published model** is what counts of its config.json (`moe/cost/configs.json`), read as yours
  is. For all but three the reference library's own count of it, tensor by tensor, is the same to
  the last parameter; the three whose type it lacks are counted by hand in the tests.
- **Of a config.json** every key is read, known to change no figure (`moe.cost.unread_keys`), or
  named in the output as not counted. A missing key means the reference library's default, by the
  same table as for loading a layer. Keys and values that neighbouring layers share (`use_cla`) are
  stored once and read by each.
- **Published hours** mean a utilisation by those of pre-training alone, where the stages are told
  apart: for DeepSeek-V3 {pretraining:,.0f} of {hours:,.0f}.

"Active" is printed in three conventions: with the input table, with the output matrix only, with
neither. * marks the one that fits the published figure. {conventions}"""


def page() -> str:
    """Return the page."""
    return page_text(
        "docs/generator/cost.py, moe/cost/*.csv, moe/cost/configs.json",
        _intro(),
        "## Published figures",
        "Computed beside published, as `moe check-numbers` prints them. " + MARKED,
        table(
            ["What", "Computed", "Published", "Difference", "Source"],
            [_check_row(check) for check in check_numbers()],
        ),
        *_notes(check_numbers()),
        "## Models",
        "Parameters by formula beside the published ones. " + MARKED,
        table(
            ["Model", "Total", "Published", "Active", "Head only", "Neither", "Published",
             "Cache, bytes a token", "Shape and training from"],
            [_model_row(model) for model in MODELS.values()],
        ),
        "Further off than 1 % in total or 3 % in active parameters:",
        "\n".join(f"- {m.name}, {m.exception}" for m in MODELS.values() if m.exception),
        "## Hardware",
        "Dense peaks; bandwidths in one direction, per GPU. Sources: `moe hardware --json`. "
        + MARKED,
        table(
            ["Name", *(HEADS[figure] for figure in FIGURES)],
            [_gpu_row(gpu) for gpu in GPUS.values()],
        ),
        "## Assumptions, if you give none",
        table(["Name", "Low, middle, high", "Unit", "From"], _assumptions()),
    )  # fmt: skip


def _intro() -> str:
    v3 = MODELS[V3]
    models = MODELS.values()
    stated = [model.name for model in models if model.convention_basis == "stated"]
    other = [contradiction_words(m) for m in models if m.convention_basis == "contradicted"]
    return INTRO.format(
        windows=", ".join(m.name for m in models if any(map(_of_windows, m.notes))),
        picking=", ".join(m.name for m in models if any(x.title and x.width for x in m.mixers)),
        states=", ".join(m.name for m in models if m.state_values() or m.window_values()),
        pretraining=v3.pretraining_hours,
        hours=v3.gpu_hours,
        conventions=" ".join([f"The makers of {' and '.join(stated)} say so themselves.", *other]),
    )


def _of_windows(note: str) -> bool:
    return note.startswith("Attention to a part of the text")


def _check_row(check: Check) -> list[str]:
    return [
        to_cell(check.what),
        span_words(check.low, check.computed, check.high),
        f"{short(check.published)} {check.unit}{MARKS[check.check]}",
        check.comparison if check.verdict == "agrees" else f"**{check.comparison}**",
        to_cell(check.source),
    ]


def _notes(checks: list[Check]) -> list[str]:
    return [to_cell(f"{check.what} {check.note}.") for check in checks if check.verdict == "listed"]


def _model_row(model: ModelConfig) -> list[str]:
    mark = MARKS[model.published_check]
    active = [
        short(model.active(name)) + ("*" if name == model.active_convention else "")
        for name in CONVENTIONS
    ]
    return [
        model.name,
        short(model.total_params),
        short(model.published_total) + mark,
        *active,
        short(model.published_active) + mark,
        f"{model.kv_bytes_per_token():,.0f}",
        to_cell(model.source),
    ]


def _gpu_row(gpu: Gpu) -> list[str]:
    cells = [
        f"{getattr(gpu, figure):,g}{MARKS[gpu.checks[figure]]}" if figure in gpu.checks else "–"
        for figure in FIGURES
    ]
    return [gpu.name, *cells]


def _assumptions() -> list[list[str]]:
    rows = []
    for assumption in TrainingCost().assumptions():
        span = assumption.value
        if assumption.source.startswith("default"):
            values = ", ".join(f"{value:g}" for value in (span.low, span.mid, span.high))
            source = assumption.source.removeprefix("default: ")
            rows.append([f"`{assumption.name}`", values, assumption.unit, to_cell(source)])
    return rows
