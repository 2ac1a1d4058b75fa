"""Router logits as CSV: one row per token (and layer); a router of this library chooses by them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError
from ..routers import Router
from .files import MAX_BYTES, read_bytes
from .trace import Trace, check_layers, trace_of_routings

DESCRIBING = ("layer", "token_id", "token", "sequence", "domain", "context")
LOGIT = re.compile(r"logit_(\d{1,6})")
WHOLE = re.compile(r"-?\d{1,18}")


def read_logits_csv(
    source: str | Path | bytes, router: Router, model: str = "", max_bytes: int = MAX_BYTES
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

    Raises
    ------
    CheckpointError
        If the file is not such a table; the message names the line.
    ValueError
        If the router cannot route that many experts.
    """
    header, rows = _rows(read_bytes(source, max_bytes))
    n_experts = len(header) - len(set(header) & set(DESCRIBING))
    place = {name: column for column, name in enumerate(header)}
    router.check(n_experts)
    none_R = np.zeros(len(rows), np.int64)
    layer_R = _whole(rows, place, "layer", none_R)
    layers, n_of = np.unique(layer_R, return_counts=True)
    check_layers(layers.tolist())
    if len(set(n_of.tolist())) != 1:
        raise CheckpointError("layer: got different numbers of rows, allowed is one per token each")
    logit_RE = _logits(rows, [place[f"logit_{expert}"] for expert in range(n_experts)])
    order = np.argsort(layer_R, kind="stable")
    n_tokens = int(n_of[0])
    first = order[:n_tokens]

    def same(name: str, value_R: np.ndarray) -> np.ndarray:
        """Values of the first layer, which the other layers have to repeat."""
        value_LN = value_R[order].reshape(len(layers), n_tokens)
        if (value_LN != value_LN[0]).any():
            raise CheckpointError(f"{name}: got different ones by layer, allowed is the same")
        return np.asarray(value_LN[0])

    ids_N = None
    if "token_id" in place:
        ids_N = same("token_id", _whole(rows, place, "token_id", none_R))
    sequence_N = same("sequence", _whole(rows, place, "sequence", none_R))
    context_C = np.unique(_whole(rows, place, "context", none_R))
    if len(context_C) > 1:
        raise CheckpointError(
            f"context: got {len(context_C)} values, allowed is the same in every row"
        )
    tokens, domain_N = None, None
    domains: tuple[str, ...] = ()
    if "token" in place:
        tokens = [rows[row][place["token"]] for row in first]
    if "domain" in place:
        text_R = np.array([row[place["domain"]] for row in rows], dtype=object)
        names = same("domain", text_R).tolist()
        domains = tuple(dict.fromkeys(names))
        number = {name: label for label, name in enumerate(domains)}
        domain_N = np.array([number[name] for name in names], np.int32)
    logits_LNE = logit_RE[order].reshape(len(layers), n_tokens, n_experts)
    routings = [router.choose(logits_NE, token_ids=ids_N) for logits_NE in logits_LNE]
    return trace_of_routings(
        routings, ids_N, model=model, layers=layers.tolist(), logits_LNE=logits_LNE,
        tokens=tokens, sequence_N=sequence_N, domain_N=domain_N, domains=domains,
        context=int(context_C[0]) if "context" in place else None,
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
                told = (values[place] for values in named.values())
                out.writerow([layer, *told, *(str(logit) for logit in logits_E)])


def _rows(raw: bytes) -> tuple[list[str], list[list[str]]]:
    """Header and rows, each as long as the header."""
    try:
        reader = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""))
        header = [name.strip() for name in next(reader, [])]
        rows = [row for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CheckpointError(
            f"file: got CSV that cannot be read ({error}), allowed is UTF-8 with commas"
        ) from error
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
    if not rows:
        raise CheckpointError("file: got no rows, allowed is one per token")
    for line, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise CheckpointError(
                f"line {line}: got {len(row)} values, allowed are {len(header)}, as the header says"
            )
    return header, rows


def _logits(rows: list[list[str]], columns: list[int]) -> np.ndarray:
    logit_RE = np.empty((len(rows), len(columns)), np.float32)
    with np.errstate(over="ignore"):  # what overflows float32 is refused as infinite
        for line, row in enumerate(rows):
            try:
                logit_RE[line] = [float(row[column]) for column in columns]
            except ValueError as error:
                raise CheckpointError(
                    f"line {line + 2}: got a logit that is no number, allowed are numbers"
                ) from error
    finite_R = np.isfinite(logit_RE).all(axis=1)
    if not finite_R.all():
        raise CheckpointError(
            f"line {int(finite_R.argmin()) + 2}: got NaN or infinity, allowed are finite numbers "
            "only"
        )
    return logit_RE


def _whole(
    rows: list[list[str]], place: dict[str, int], name: str, default: np.ndarray
) -> np.ndarray:
    if name not in place:
        return default
    for line, row in enumerate(rows, 2):
        if not WHOLE.fullmatch(row[place[name]]):
            raise CheckpointError(
                f"line {line}: got {name} {row[place[name]][:40]!r}, allowed is a whole number"
            )
    return np.array([int(row[place[name]]) for row in rows], np.int64)
