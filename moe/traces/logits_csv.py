"""Router logits as CSV: one row per token (and layer); a router of this library chooses by them."""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError
from ..routers import Router
from .files import MAX_BYTES, read_bytes
from .rows import layer_rows, same_in_layers
from .trace import MAX_EXPERTS, Trace, trace_of_routings

DESCRIBING = ("layer", "token_id", "token", "sequence", "domain", "context")
TEXTS = ("token", "domain")
LOGIT = re.compile(r"logit_(\d{1,6})")
LEAST_VALUES = 8  # that a row counts as: its text and its place take room too
WHOLE = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class _Table:
    """Columns of a file of R rows: logits (R, E), whole numbers, and texts as numbers of names."""

    logit_RE: np.ndarray
    whole: dict[str, np.ndarray]
    tokens: tuple[str, ...]
    domains: tuple[str, ...]


def read_logits_csv(
    source: str | Path | bytes,
    router: Router,
    model: str = "",
    max_bytes: int = MAX_BYTES,
    max_values: int | None = None,
    max_experts: int = MAX_EXPERTS,
) -> Trace:
    """Read router logits and let a router choose by them.

    Parameters
    ----------
    source
        A UTF-8 CSV file, or its bytes. Columns: `logit_0` ... `logit_{E-1}`, and optionally
        `layer` (whole number, 0), `token_id` (whole number), `token` (text), `sequence` (0),
        `domain` (text) and `context` (whole number, the same in all rows).
        With several layers, each has the same tokens in the same order.
    router
        What chooses, such as `moe.make_router("topk", k=2)`.
    max_bytes
        Most bytes of the file.
    max_values, max_experts
        Most rows times columns (a row counts as eight at least), and most experts: both are
        counted before a row is read.

    Raises
    ------
    CheckpointError
        If the file is not such a table; the message names the line.
    ValueError
        If the router cannot route that many experts.
    """
    raw = read_bytes(source, max_bytes)
    try:
        table = _read(raw, router, max_values, max_experts)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CheckpointError(
            f"file: got CSV that cannot be read ({error}), allowed is UTF-8 with commas"
        ) from error
    none_R = np.zeros(len(table.logit_RE), np.int64)
    layers, row_LN = layer_rows(table.whole.get("layer", none_R))
    columns = {name: value_R[row_LN] for name, value_R in table.whole.items()}
    ids_N = same_in_layers("token_id", columns["token_id"]) if "token_id" in columns else None
    sequence_N = same_in_layers("sequence", columns.get("sequence", none_R[row_LN]))
    context_C = np.unique(columns.get("context", none_R))
    if len(context_C) > 1:
        raise CheckpointError(
            f"context: got {len(context_C)} values, allowed is the same in every row"
        )
    tokens, domain_N = None, None
    if "token" in columns:
        tokens = [table.tokens[text] for text in columns["token"][0].tolist()]
    if "domain" in columns:
        domain_N = same_in_layers("domain", columns["domain"]).astype(np.int32)
    logits_LNE = table.logit_RE[row_LN]
    routings = [router.choose(logits_NE, token_ids=ids_N) for logits_NE in logits_LNE]
    return trace_of_routings(
        routings, ids_N, model=model, layers=layers, logits_LNE=logits_LNE,
        tokens=tokens, sequence_N=sequence_N, domain_N=domain_N, domains=table.domains,
        context=int(context_C[0]) if "context" in columns else None,
    )  # fmt: skip


def write_logits_csv(trace: Trace, path: str | Path) -> None:
    """Write a trace's logits as CSV, in the columns that `read_logits_csv` reads.

    Raises
    ------
    ValueError
        If the trace has no logits.
    """
    if trace.logits_LNE is None:
        raise ValueError("trace: got one without logits, allowed is one with them")
    with Path(path).open("w", newline="", encoding="utf-8") as stream:
        out = csv.writer(stream, lineterminator="\n")
        columns: dict[str, Sequence[Any] | np.ndarray | None] = {
            "token_id": trace.token_ids_N,
            "token": trace.tokens,
            "sequence": trace.sequence_N,
            "domain": (
                None
                if trace.domain_N is None
                else [trace.domains[label] for label in trace.domain_N]
            ),
            "context": None if trace.context is None else [trace.context] * trace.n_tokens,
        }
        named = {name: values for name, values in columns.items() if values is not None}
        logits = (f"logit_{expert}" for expert in range(trace.n_experts))
        out.writerow(["layer", *named, *logits])
        for layer, logits_NE in zip(trace.layers, trace.logits_LNE, strict=True):
            for place, logits_E in enumerate(logits_NE):
                described = (values[place] for values in named.values())
                out.writerow([layer, *described, *(str(logit) for logit in logits_E)])


def _read(raw: bytes, router: Router, max_values: int | None, max_experts: int) -> _Table:
    """Read row by row, so that a row of text never takes more room than its numbers."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(raw), "utf-8-sig", newline=""))
    header = [name.strip() for name in next(reader, [])]
    n_experts = _check_header(header, max_experts)
    router.check(n_experts)
    _check_room(raw, header, max_values)
    place = {name: column for column, name in enumerate(header)}
    columns = [place[f"logit_{expert}"] for expert in range(n_experts)]
    first, after = columns[0], columns[0] + n_experts
    in_order = columns == list(range(first, after))
    logits = array("d")
    whole = {name: array("q") for name in DESCRIBING if name in place}
    names: dict[str, dict[str, int]] = {name: {} for name in TEXTS if name in place}
    line = 1
    for row in reader:
        if not row:
            continue
        line += 1
        if len(row) != len(header):
            raise CheckpointError(
                f"line {line}: got {len(row)} values, allowed are {len(header)}, as the header says"
            )
        written = row[first:after] if in_order else [row[column] for column in columns]
        try:
            logits.extend(map(float, written))
        except ValueError as error:
            raise CheckpointError(
                f"line {line}: got a logit that is no number, allowed are numbers"
            ) from error
        for name, values in whole.items():
            text = row[place[name]]
            if name in names:
                values.append(names[name].setdefault(text, len(names[name])))
            elif WHOLE.fullmatch(text):
                values.append(int(text))
            else:
                raise CheckpointError(
                    f"line {line}: got {name} {text[:40]!r}, allowed is a whole number"
                )
    if line == 1:
        raise CheckpointError("file: got no rows, allowed is one per token")
    return _Table(
        _logits(logits, n_experts),
        {name: np.array(values, np.int64) for name, values in whole.items()},
        tuple(names.get("token", ())),
        tuple(names.get("domain", ())),
    )


def _check_room(raw: bytes, header: list[str], max_values: int | None) -> None:
    """Refuse a table of too many values, counted by its lines before one is read."""
    lines = raw.count(b"\n") + raw.count(b"\r") - raw.count(b"\r\n")
    if max_values is not None and lines * max(len(header), LEAST_VALUES) > max_values:
        raise CheckpointError(
            f"file: got {lines:,} lines of {len(header)} values, allowed are {max_values:,} in all "
            f"(a line counts as {LEAST_VALUES} at least)"
        )


def _logits(values: array[float], n_experts: int) -> np.ndarray:
    """The logits of all rows as (R, E) float32."""
    with np.errstate(over="ignore"):  # what overflows float32 is refused as infinite
        logit_RE = np.frombuffer(values, np.float64).astype(np.float32).reshape(-1, n_experts)
    wrong_R = ~np.isfinite(logit_RE).all(axis=1)
    if wrong_R.any():
        raise CheckpointError(
            f"line {wrong_R.argmax() + 2}: got NaN or infinity, allowed are finite numbers only"
        )
    return logit_RE


def _check_header(header: list[str], max_experts: int) -> int:
    """Return the number of experts that a header names."""
    if len(header) > max_experts + len(DESCRIBING):
        raise CheckpointError(
            f"file: got {len(header):,} columns, allowed are {max_experts:,} of logits"
        )
    for name in header:
        if name not in DESCRIBING and not LOGIT.fullmatch(name):
            raise CheckpointError(
                f"file: got column {name[:40]!r}, allowed are logit_0, logit_1, ... and "
                f"{', '.join(DESCRIBING)}"
            )
    if len(set(header)) < len(header):
        raise CheckpointError("file: got a column twice, allowed is each once")
    logits = {name for name in header if LOGIT.fullmatch(name)}
    if not logits or logits != {f"logit_{expert}" for expert in range(len(logits))}:
        raise CheckpointError(
            f"file: got {len(logits)} columns of logits, allowed are logit_0, logit_1, ... "
            "without a gap"
        )
    return len(logits)
