"""Traces as Parquet: one row per layer and token, so that any table tool writes and reads them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError
from .npz import FORMAT
from .rows import layer_rows, same_in_layers
from .trace import MAX_TOKEN_TEXT, Trace, make_trace

COLUMNS = {
    "format": "text", "model": "text", "n_experts": "whole", "layer": "whole",
    "experts": "whole list", "weights": "real list", "logits": "real list",
    "token_id": "whole", "token": "text", "sequence": "whole", "domain": "text",
    "context": "whole",
}  # fmt: skip
REQUIRED = ("format", "n_experts", "layer", "experts", "weights")
BATCH_ROWS = 16_384


def write_parquet(trace: Trace, path: str | Path) -> None:
    """Write a trace as Parquet, layer by layer, tokens in order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    n_layers, n_tokens, k = trace.expert_LNK.shape
    n_rows = n_layers * n_tokens
    listed = trace.expert_LNK.reshape(n_rows, k) >= 0
    ends = np.concatenate([[0], listed.sum(axis=1).cumsum()]).astype(np.int32)

    def lists(array_LNK: np.ndarray) -> Any:
        return pa.ListArray.from_arrays(pa.array(ends), array_LNK.reshape(n_rows, k)[listed])

    def per_token(values: Any) -> Any:
        return pa.chunked_array([pa.array(values)] * n_layers)

    columns: dict[str, Any] = {
        "format": pa.repeat(FORMAT, n_rows),
        "model": pa.repeat(trace.model, n_rows),
        "n_experts": pa.array(np.full(n_rows, trace.n_experts, np.int32)),
        "layer": pa.array(np.repeat(np.array(trace.layers, np.int32), n_tokens)),
        "experts": lists(trace.expert_LNK),
        "weights": lists(trace.weight_LNK),
        "token": per_token(pa.array(trace.tokens, pa.string())),
        "sequence": per_token(trace.sequence_N),
    }
    if trace.token_ids_N is not None:
        columns["token_id"] = per_token(trace.token_ids_N)
    if trace.context is not None:
        columns["context"] = pa.array(np.full(n_rows, trace.context, np.int64))
    if trace.logits_LNE is not None:
        starts = np.arange(n_rows + 1, dtype=np.int32) * trace.n_experts
        columns["logits"] = pa.ListArray.from_arrays(pa.array(starts), trace.logits_LNE.ravel())
    if trace.domain_N is not None:
        names = [trace.domains[label] for label in trace.domain_N]
        columns["domain"] = per_token(pa.array(names, pa.string()))
    pq.write_table(pa.table(columns), path)


def parse_parquet(raw: bytes, max_bytes: int) -> Trace:
    """Read a trace from the bytes of a Parquet file that is trusted not to break the reader.

    Raises
    ------
    CheckpointError
        If it is no such file, if it would unpack to more than `max_bytes`, or its columns are
        not a trace.
    """
    try:
        columns = _read_columns(raw, max_bytes)
    except CheckpointError:
        raise
    except Exception as error:  # a broken file can fail in a dozen ways
        raise CheckpointError(
            f"file: got Parquet that cannot be read ({type(error).__name__}), "
            "allowed is a table of a trace"
        ) from error
    return _trace(columns, max_bytes)


def _read_columns(raw: bytes, max_bytes: int) -> dict[str, Any]:
    """Columns by name, read batch by batch so that a lying size ends early."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    # Texts stay dictionaries until their lengths are known: a long one may fill a million rows.
    names = pq.read_schema(io.BytesIO(raw)).names
    texts = [name for name in names if COLUMNS.get(name) == "text"]
    file = pq.ParquetFile(io.BytesIO(raw), read_dictionary=texts)
    schema = file.schema_arrow
    for name in schema.names:
        if name not in COLUMNS or schema.names.count(name) > 1:
            raise CheckpointError(
                f"file: got column {name[:40]!r}, allowed are {', '.join(COLUMNS)}, once"
            )
        _check_type(name, schema.field(name).type)
    for name in REQUIRED:
        if name not in schema.names:
            raise CheckpointError(f"file: got no column {name!r}, allowed is {', '.join(REQUIRED)}")
    chunks = [
        file.metadata.row_group(group).column(column)
        for group in range(file.metadata.num_row_groups)
        for column in range(file.metadata.num_columns)
    ]
    if 4 * sum(chunk.num_values for chunk in chunks) > max_bytes:
        raise CheckpointError(f"file: got more than {max_bytes} bytes, allowed are fewer")
    batches, left = [], max_bytes
    for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
        left -= batch.nbytes
        if left < 0:
            raise CheckpointError(f"file: got more than {max_bytes} bytes, allowed are fewer")
        for name in texts:
            longest = pc.max(pc.binary_length(batch[name].dictionary)).as_py() or 0
            if longest > 4 * MAX_TOKEN_TEXT:
                raise CheckpointError(f"{name}: got {longest} bytes of text, allowed are fewer")
        batches.append(batch)
    if not batches:
        raise CheckpointError("file: got no rows, allowed is one per layer and token")
    table = pa.Table.from_batches(batches, schema)
    table.validate(full=True)
    for name in table.column_names:
        if table[name].null_count:
            raise CheckpointError(f"{name}: got missing values, allowed is one in every row")
    plain = {name: table[name].cast(pa.string()) for name in texts}
    return {name: plain.get(name, table[name]).combine_chunks() for name in schema.names}


def _check_type(name: str, kind: Any) -> None:
    import pyarrow.types as types

    wanted = COLUMNS[name]
    if types.is_dictionary(kind):
        kind = kind.value_type
    is_list = types.is_list(kind) or types.is_large_list(kind)
    value = kind.value_type if is_list else kind
    right = {
        "text": types.is_string(value) or types.is_large_string(value),
        "whole": types.is_integer(value),
        "real": types.is_floating(value),
    }[wanted.split()[0]]
    if not right or is_list != wanted.endswith("list"):
        raise CheckpointError(f"{name}: got type {str(kind)[:40]}, allowed is {wanted}")


def _trace(columns: dict[str, Any], max_bytes: int) -> Trace:
    written, n_experts = _constant("format", columns), _constant("n_experts", columns)
    if written != FORMAT:
        raise CheckpointError(f"format: got {str(written)[:40]!r}, allowed is {FORMAT!r}")
    layers, row_LN = layer_rows(np.asarray(columns["layer"]))
    per_token = {
        name: same_in_layers(name, np.asarray(columns[name])[row_LN])
        for name in ("token_id", "token", "sequence", "domain")
        if name in columns
    }
    expert_RK, weight_RK = (
        _padded(name, columns, fill, max_bytes)
        for name, fill in (("experts", -1), ("weights", 0.0))
    )
    if not np.array_equal(_lengths(columns["experts"]), _lengths(columns["weights"])):
        raise CheckpointError("weights: got other lengths than experts, allowed are the same")
    domains: tuple[str, ...] = ()
    domain_N = None
    if "domain" in per_token:
        names = per_token["domain"].tolist()
        domains = tuple(dict.fromkeys(names))
        number = {name: label for label, name in enumerate(domains)}
        domain_N = np.array([number[name] for name in names], np.int32)
    logits_LNE = None
    if "logits" in columns:
        if (_lengths(columns["logits"]) != n_experts).any():
            raise CheckpointError(f"logits: got other lengths, allowed is n_experts, {n_experts}")
        logits_LNE = _padded("logits", columns, 0.0, max_bytes)[row_LN]
    return make_trace(
        expert_RK[row_LN],
        weight_RK[row_LN],
        n_experts,
        per_token.get("token_id"),
        model=_constant("model", columns) if "model" in columns else "",
        layers=layers,
        logits_LNE=logits_LNE,
        tokens=per_token["token"].tolist() if "token" in per_token else None,
        sequence_N=per_token.get("sequence"),
        domain_N=domain_N,
        domains=domains,
        context=_constant("context", columns) if "context" in columns else None,
    )


def _constant(name: str, columns: dict[str, Any]) -> Any:
    values = columns[name].unique().to_pylist()
    if len(values) != 1:
        raise CheckpointError(f"{name}: got {len(values)} values, allowed is the same in every row")
    return values[0]


def _lengths(column: Any) -> np.ndarray:
    return np.diff(np.asarray(column.offsets))


def _padded(name: str, columns: dict[str, Any], fill: float, max_bytes: int) -> np.ndarray:
    """Lists of up to K values as a table, (R, K)."""
    column = columns[name]
    length_R = _lengths(column)
    value = np.asarray(column.flatten())
    k = max(int(length_R.max(initial=1)), 1)
    if len(length_R) * k * value.itemsize > max_bytes:  # one long list among many short ones
        raise CheckpointError(f"{name}: got lists of up to {k}, allowed are {max_bytes} bytes")
    if column.flatten().null_count:
        raise CheckpointError(f"{name}: got missing values in a list, allowed are numbers only")
    table_RK = np.full((len(length_R), k), fill, value.dtype)
    table_RK[np.arange(k) < length_R[:, None]] = value
    return table_RK
