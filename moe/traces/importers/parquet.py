"""Parquet of expert-selection data sets: a file for each layer, a row for each token.

The reader is not trusted with a stranger's file: it works in a process of its own
(`moe/traces/apart.py`), which gets the paths and reads no more rows than asked for.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...checkpoints.files import inside
from ...checkpoints.header import regular_size
from ...checkpoints.strict_json import quoted
from ...errors import CheckpointError
from ...settings import option
from ..apart import Allowed, ask
from ..npz import pack, unpack
from .base import (
    IMPORT_BYTES,
    MAX_TOKENS,
    Imported,
    Importer,
    experts_or_highest,
    is_folder,
    names_in,
    trace_of_choices,
)

EXPERTS, WEIGHTS, TOKEN = "indices", "scores", "token_id"
BATCH_ROWS = 16_384
MAX_K = 1024
MAGIC = b"PAR1"  # the first bytes of such a file
_LAYER = re.compile(r"layer_([0-9]{1,4})\.parquet")


@dataclass(frozen=True)
class Parquet(Importer):
    """A folder of `layer_02.parquet`, ... as in FLAME-MoE-Traces, or one such file.

    Columns `indices` (list of expert numbers, best first) and optionally `scores` (their weights);
    ids come from another file with a column `token_id` and the same rows.
    """

    name: ClassVar[str] = "parquet"
    title: ClassVar[str] = "Parquet of expert-selection data sets"
    reads: ClassVar[str] = "a folder of layer_N.parquet with a column indices, or one of them"
    source: ClassVar[str] = "https://huggingface.co/datasets/CMU-FLAME/FLAME-MoE-Traces"

    n_experts: int = experts_or_highest()
    max_tokens: int = option(65_536, "Rows of each file that are read.", low=1, high=MAX_TOKENS)
    token_ids: str = option("", "A Parquet file with the column token_id.")

    def read_path(self, path: Path) -> Imported:
        """Read the first rows of every layer; see `Importer.read_path`."""
        files = _files(path)
        token_file = [Path(self.token_ids)] if self.token_ids else []
        for file in [*files.values(), *token_file]:
            _check_head(file)
        request = {
            "files": [str(file.resolve()) for file in files.values()],
            "token_ids": [str(file.resolve()) for file in token_file],
            "max_tokens": self.max_tokens,
        }
        allowed = Allowed(memory=2**30 + 4 * IMPORT_BYTES, answer=2 * IMPORT_BYTES)
        # The word in front loads the reader of Parquet before memory is limited.
        packed = ask(__name__, MAGIC + json.dumps(request).encode(), allowed=allowed)
        arrays, _ = unpack(packed, allowed.answer)
        layers = sorted(files)
        weights = arrays.get("weights")
        return trace_of_choices(
            arrays["experts"],
            self.n_experts,
            ("where documents begin is not in these files: one sequence",),
            weight_LNK=weights,
            model=path.resolve().name,
            layers=layers,
            token_ids_N=arrays.get("token_ids"),
        )


def _files(path: Path) -> dict[int, Path]:
    """Files of the layers, ascending; links that lead out of the folder are refused."""
    if not is_folder(path):
        match = _LAYER.fullmatch(path.name)
        return {int(match[1]) if match else 0: path}
    found: dict[int, Path] = {}
    for match in filter(None, map(_LAYER.fullmatch, names_in(path))):
        if int(match[1]) in found:
            raise CheckpointError(f"folder: got layer {int(match[1])} twice, allowed is once")
        found[int(match[1])] = inside(path, match[0])
    if not found:
        raise CheckpointError(
            f"folder: got {quoted(str(path))}, allowed is one with layer_1.parquet, ..."
        )
    return dict(sorted(found.items()))


def _check_head(file: Path) -> None:
    """Refuse what no reader of Parquet has to be started for."""
    what = quoted(file.name)
    size = regular_size(file, what)
    try:
        with file.open("rb") as stream:
            head = stream.read(len(MAGIC))
    except OSError as error:
        raise CheckpointError(f"{what}: cannot be read ({error.strerror})") from error
    if head != MAGIC:
        raise CheckpointError(f"{what}: got {size} bytes that are no Parquet, allowed is Parquet")


# In the other process ---------------------------------------------------------------------------


def answer(raw: bytes) -> bytes:
    """Read the files that are asked for; for `Parquet.read_path`, in the separate process."""
    request = json.loads(raw.removeprefix(MAGIC))
    most = request["max_tokens"]
    arrays: dict[str, np.ndarray] = {}
    tables: list[dict[str, np.ndarray]] = []
    room = IMPORT_BYTES
    for file in request["files"]:
        tables.append(_read_layer(Path(file), most))
        room -= sum(array.nbytes for array in tables[-1].values())
        if room < 0:
            raise CheckpointError(
                f"file: got more than {IMPORT_BYTES} bytes in {len(tables)} layers, allowed are "
                "fewer: --max-tokens"
            )
    if len({table["experts"].shape for table in tables}) != 1:
        raise CheckpointError("indices: got other lengths by layer, allowed are the same in all")
    if len({frozenset(table) for table in tables}) != 1:
        raise CheckpointError("scores: got them in some layers only, allowed is in all or none")
    for name in tables[0]:
        arrays[name] = np.stack([table[name] for table in tables])
    for file in request["token_ids"]:
        n_tokens = arrays["experts"].shape[1]
        columns = _columns(Path(file), (TOKEN,), n_tokens)
        if TOKEN not in columns:
            raise CheckpointError(
                f"{quoted(Path(file).name)}: got no column {TOKEN!r}, allowed is a number a row"
            )
        ids_N = columns[TOKEN].to_numpy(zero_copy_only=False)
        if ids_N.dtype.kind not in "iu" or len(ids_N) != n_tokens:
            raise CheckpointError(
                f"token_id: got {len(ids_N)} of {ids_N.dtype}, allowed are {n_tokens} whole numbers"
            )
        arrays["token_ids"] = ids_N
    return pack(arrays, None)


def _read_layer(file: Path, most: int) -> dict[str, np.ndarray]:
    """Experts and weights of the first rows, (N, K); -1 and 0 where a row has fewer than K."""
    columns = _columns(file, (EXPERTS, WEIGHTS), most)
    if EXPERTS not in columns:
        raise CheckpointError(
            f"{quoted(file.name)}: got no column {EXPERTS!r}, allowed is a list of experts a row"
        )
    experts_NK, length_N = _padded(EXPERTS, columns[EXPERTS], -1)
    if WEIGHTS not in columns:
        return {"experts": experts_NK}
    weights_NK, n_weights_N = _padded(WEIGHTS, columns[WEIGHTS], 0)
    if not np.array_equal(n_weights_N, length_N):
        raise CheckpointError("scores: got other lengths than indices, allowed are the same")
    return {"experts": experts_NK, "weights": weights_NK}


def _columns(file: Path, names: tuple[str, ...], most: int) -> dict[str, Any]:
    """The first rows of some columns, where they are there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            there = [name for name in parquet.schema_arrow.names if name in names]
            if len(set(there)) != len(there):
                raise CheckpointError(f"{quoted(file.name)}: got a column twice, allowed is once")
            if not there:
                return {}
            batches: list[Any] = []
            n_rows = 0
            for batch in parquet.iter_batches(
                min(BATCH_ROWS, most), columns=there, use_threads=False
            ):
                batches.append(batch)
                n_rows += batch.num_rows
                if n_rows >= most:
                    break
            if not n_rows:
                raise CheckpointError(
                    f"{quoted(file.name)}: got no rows, allowed is one for each token"
                )
            table = pa.Table.from_batches(batches).slice(0, most)
            table.validate(full=True)
            return {name: table[name].combine_chunks() for name in there}
    except CheckpointError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # a broken file can fail in a dozen ways
        raise CheckpointError(
            f"{quoted(file.name)}: got Parquet that cannot be read ({type(error).__name__}), "
            "allowed is a file of a layer"
        ) from error


def _padded(name: str, column: Any, fill: int) -> tuple[np.ndarray, np.ndarray]:
    """Lists of up to K values as a table, (N, K), and their lengths, (N,)."""
    import pyarrow.compute as pc
    import pyarrow.types as types

    kind = column.type
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    right = is_list and (
        types.is_integer(kind.value_type) if name == EXPERTS else types.is_floating(kind.value_type)
    )
    if not right:
        raise CheckpointError(f"{name}: got {str(kind)[:40]}, allowed is a list of numbers a row")
    if column.null_count:
        raise CheckpointError(f"{name}: got rows without a list, allowed is one in every row")
    length_N = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    value = pc.list_flatten(column)
    if value.null_count:
        raise CheckpointError(f"{name}: got missing values, allowed are numbers only")
    k = max(int(length_N.max(initial=1)), 1)
    if k > MAX_K or len(length_N) * k * 8 > IMPORT_BYTES:
        raise CheckpointError(
            f"{name}: got {len(length_N)} lists of up to {k} numbers, allowed are up to {MAX_K} "
            f"each and {IMPORT_BYTES // 8} in all: --max-tokens"
        )
    flat = value.to_numpy(zero_copy_only=False)
    if name == EXPERTS:
        if flat.size and flat.max() > np.iinfo(np.int64).max:
            raise CheckpointError(f"{name}: got {flat.max()}, allowed are numbers of 64 bits")
        flat = flat.astype(np.int64)
    table_NK = np.full((len(length_N), k), fill, flat.dtype)
    table_NK[np.arange(k) < length_N[:, None]] = flat
    return table_NK, length_N
