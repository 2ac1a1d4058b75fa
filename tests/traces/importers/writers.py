"""Small files of every kind that is imported, written without the importers' own constants."""

from __future__ import annotations

import base64
import io
import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np


def choices(
    rng: np.random.Generator, n_tokens: int, n_layers: int, k: int, n_experts: int
) -> np.ndarray:
    """Different experts for every token and layer, (tokens, layers, k)."""
    return rng.random((n_tokens, n_layers, n_experts)).argsort(axis=2)[:, :, :k]


def write_esft(root: Path, tasks: dict[str, list[list[list[list[tuple[int, float]]]]]]) -> None:
    """Write {task: documents of tokens of layers of (expert, weight)}; experts by number."""
    for task, documents in tasks.items():
        folder = root / "results" / "expert_scores" / task
        folder.mkdir(parents=True)
        for layer in range(len(documents[0][0])):
            lines = []
            for document in documents:
                pairs = [pair for token in document for pair in sorted(token[layer])]
                ids = "\t".join(str(expert) for expert, _ in pairs)
                weights = "\t".join(f"{weight:.4f}" for _, weight in pairs)
                lines.append(f"{ids}\t\t{weights}\n")
            (folder / f"expert_weights_{layer + 1}.txt").write_text("".join(lines))


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def vllm_answer(arrays: list[np.ndarray]) -> bytes:
    """An answer of `/v1/completions` whose choices carry a .npy file in base64."""
    return json.dumps({
        "object": "text_completion",
        "choices": [
            {
                "index": i,
                "text": 'she wrote "routed_experts": "AAAA"',
                "routed_experts": base64.b64encode(npy(array)).decode(),
            }
            for i, array in enumerate(arrays)
        ],
    }).encode()  # fmt: skip


def sglang_answer(array: np.ndarray) -> bytes:
    """An answer of `/generate`: int32 in the array's order, without its shape."""
    text = base64.b64encode(array.astype("<i4").tobytes()).decode()
    return json.dumps({"text": "a", "meta_info": {"routed_experts": text}}).encode()


def counters(table: list[dict[int, int]], protocol: int = 4, plain: bool = False) -> bytes:
    """What OLMoE's script pickles: a counter for each layer, its keys numbers of numpy."""
    whole = int if plain else np.int64
    return pickle.dumps([Counter({whole(e): n for e, n in row.items()}) for row in table], protocol)


def write_layer_parquet(
    path: Path, experts: list[list[int]], scores: list[list[float]] | None, fixed: bool = False
) -> None:
    """A file of FLAME-MoE-Traces: `indices` as int16, `scores` as halves."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def lists(rows: list[list], kind: pa.DataType) -> pa.Array:
        return pa.array(rows, pa.list_(kind, len(rows[0])) if fixed else pa.list_(kind))

    columns = {"indices": lists(experts, pa.int16())}
    if scores is not None:
        halves = [list(np.array(row, np.float16)) for row in scores]
        columns["scores"] = lists(halves, pa.float16())
    pq.write_table(pa.table(columns), path)
