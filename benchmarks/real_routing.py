"""Tables of how published models route: `python -m benchmarks.real_routing FOLDER [--write]`.

FOLDER holds clones of deepseek-ai/ESFT and allenai/OLMoE under the names ESFT and OLMoE, at the
commits below; or, of the first, a trace `deepseek-v2-lite-esft-full.npz` (what `moe trace import`
writes) and, of the second, its counters as `olmoe-mixtral-counts.json`. Every measured figure is
printed beside the one that a review of the same data had found.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from moe.cost import expected_experts
from moe.traces import LOCAL_BYTES, Trace, load_trace
from moe.traces.importers import Imported, Loads, import_trace
from moe.traces.importers.olmoe import LAYERS
from moe.traffic.held_out import held_out
from moe.traffic.measure import (
    FEW_WINDOWS,
    SIZES,
    domain_loads,
    shared_by_neighbours,
    template_lengths,
    windows,
    without_templates,
)
from moe.traffic.tables import FOLDER, RoutingTable

FILE = "deepseek-v2-lite-esft-full.npz"
COMMAND = "python -m benchmarks.real_routing FOLDER --write"
ESFT = {
    "source": "https://github.com/deepseek-ai/ESFT",
    "commit": "579a7711e4b332b4c57b47e378a0cf240d85caa6",
    "path": "results/expert_scores/TASK/expert_weights_LAYER.txt",
    "licence": "MIT (LICENSE-CODE), Copyright (c) 2023 DeepSeek",
}
OLMOE = {
    "source": "https://github.com/allenai/OLMoE",
    "commit": "357454f4f647385839c0ff6b99a688dc7cd9c13f",
    "licence": "Apache-2.0",
}
# Name of the table, of the folder in the source, of the model; E and k.
COUNTED = (("olmoe", "olmoe", "OLMoE-1B-7B", 64, 8), ("mixtral", "mistral", "Mixtral-8x7B", 8, 2))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print beside the review's figures, and write the tables if asked for."""
    parser = argparse.ArgumentParser("python -m benchmarks.real_routing", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the clones or their extracts are")
    parser.add_argument("--write", action="store_true", help="write the tables of moe/traffic")
    asked = parser.parse_args(arguments)
    tables = measure(asked.folder)
    for words in report(tables):
        print(words)
    if asked.write:
        for name, table in tables.items():
            path = FOLDER / f"{name}.json"
            path.write_text(written(table), "utf-8")
            print(f"{path.name}: {path.stat().st_size:,} bytes")


def measure(folder: Path) -> dict[str, RoutingTable]:
    """All tables, from what lies in a folder."""
    tables = {"v2-lite": v2_lite_table(v2_lite_trace(folder))}
    for name, at, model, n_experts, k in COUNTED:
        loads = domain_counts(folder, at, n_experts)
        tables[name] = RoutingTable(
            model=model,
            **OLMOE,
            path=f"scripts/routing_output/{at}/expert_counts/DOMAIN.pkl",
            command=COMMAND,
            n_experts=n_experts,
            k=k,
            layers=list(LAYERS),
            tokens={domain: sum(rows[0]) // k for domain, rows in loads.items()},
            loads=loads,
            template=dict.fromkeys(loads, 0),
            sizes=list(SIZES),
            in_a_row={domain: [None] * len(SIZES) for domain in loads},
            n_windows={domain: [0] * len(SIZES) for domain in loads},
            shared={domain: [] for domain in loads},
        )
    return tables


def v2_lite_trace(folder: Path) -> Trace:
    """The routing that DeepSeek published, templates included."""
    clone = folder / "ESFT"
    if not clone.is_dir():
        return load_trace(folder / FILE, LOCAL_BYTES)
    found = import_trace("esft", clone)
    assert isinstance(found, Imported)
    return found.trace


def written_if_asked(
    program: str,
    about: str | None,
    path: Path,
    measured: Callable[[Path], tuple[str, str]],
    arguments: Sequence[str] | None,
) -> None:
    """Run a program that prints figures beside a review's and, if asked to, writes its table.

    `measured` returns both, what is printed and the table, of a folder.
    """
    parser = argparse.ArgumentParser(f"python -m benchmarks.{program}", description=about)
    parser.add_argument("folder", type=Path, help="a folder as in real_routing.py")
    parser.add_argument("--write", action="store_true", help="write the table that ships")
    parser.add_argument("--out", type=Path, default=path, help="where the table is written")
    asked = parser.parse_args(arguments)
    said, table = measured(asked.folder)
    print(said)
    if asked.write:
        asked.out.write_text(table, "utf-8")


def domain_counts(folder: Path, at: str, n_experts: int) -> dict[str, list[list[int]]]:
    """OLMoE's counters by domain: rows of layers."""
    counts = folder / "OLMoE" / "scripts" / "routing_output" / at / "expert_counts"
    if not counts.is_dir():
        text = (folder / "olmoe-mixtral-counts.json").read_text("utf-8")
        found: dict[str, list[list[int]]] = json.loads(text)[at]["counts"]
        return found
    loads = {}
    for path in sorted(counts.glob("*.pkl")):
        read = import_trace("olmoe", path, n_experts=n_experts)
        assert isinstance(read, Loads)
        loads[path.stem] = read.load_LE.tolist()
    return loads


def v2_lite_table(whole: Trace) -> RoutingTable:
    """The table of DeepSeek-V2-Lite, its tasks' templates left out."""
    lengths = template_lengths(whole)
    trace = without_templates(whole, lengths)
    assert trace.domain_N is not None
    read_DS, window_DS = windows(trace)
    return RoutingTable(
        model="DeepSeek-V2-Lite",
        **ESFT,
        command=COMMAND,
        n_experts=trace.n_experts,
        k=trace.k,
        layers=list(trace.layers),
        tokens=dict(zip(trace.domains, np.bincount(trace.domain_N).tolist(), strict=True)),
        loads=dict(zip(trace.domains, domain_loads(trace).tolist(), strict=True)),
        template=dict(zip(trace.domains, lengths, strict=True)),
        sizes=list(SIZES),
        in_a_row={
            domain: [
                round(read, 4) if n >= FEW_WINDOWS else None
                for read, n in zip(read_S.tolist(), window_S.tolist(), strict=True)
            ]
            for domain, read_S, window_S in zip(trace.domains, read_DS, window_DS, strict=True)
        },
        n_windows=dict(zip(trace.domains, window_DS.tolist(), strict=True)),
        shared=dict(zip(trace.domains, shared_by_neighbours(trace).round(4).tolist(), strict=True)),
    )


def written(table: RoutingTable) -> str:
    """A table as the text of its file: a line for each row of numbers."""
    text = json.dumps(asdict(table), separators=(",", ":"))
    for end, begin in (("],[", "],\n["), ('],"', '],\n"'), (',"', ',\n"'), (":[[", ":\n[[")):
        text = text.replace(end, begin)
    return f"{text}\n"


def report(tables: dict[str, RoutingTable]) -> Iterator[str]:
    """Every figure beside that of the review."""
    v2_lite, olmoe, mixtral = (tables[name] for name in ("v2-lite", "olmoe", "mixtral"))
    for title, measured, reviewed in figures(v2_lite, olmoe, mixtral):
        yield f"{title:<68} {measured:>10}   review: {reviewed}"
    yield "rank share, V2-Lite: " + ", ".join(f"{s:.2%}" for s in v2_lite.rank_share()[:8])
    yield "held out: experts read, error of the law fitted to the other tasks (even formula)"
    for row in held_out(v2_lite):
        yield f"  {row.words()}"


def figures(
    v2_lite: RoutingTable, olmoe: RoutingTable, mixtral: RoutingTable
) -> Iterator[tuple[str, str, str]]:
    """Title, measured figure and the review's."""
    yield "tokens that stay without templates", f"{sum(v2_lite.tokens.values()):,}", "30,018"
    lengths = sorted(v2_lite.template.values())
    yield "tokens of a template", f"{lengths[0]} to {lengths[-1]}", "11 to 23"
    reviewed = {
        "intent": "3.06", "law": "2.63", "summary": "3.31", "translation": "4.78", "mix": "1.83",
    }  # fmt: skip
    for name, value in v2_lite.max_vio().items():
        yield f"MaxVio of {name}, mean over layers", f"{value:.2f}", reviewed[name]
    at = v2_lite.sizes.index(16)
    even = expected_experts(v2_lite.n_experts, v2_lite.k, 16)
    yield "experts that 16 tokens read, even formula", f"{even:.1f}", "50.8"
    yield "  of one task, mean of tasks", f"{v2_lite.batch_DS[:, at].mean():.1f}", "42.6"
    yield "  one after another, mean of tasks", f"{v2_lite.in_a_row_DS[:, at].mean():.1f}", "38.3"
    shared_DL = np.array(list(v2_lite.shared.values()))
    pairs_D = np.array([v2_lite.n_windows[name][1] for name in v2_lite.domains])
    by_layer_L = np.average(shared_DL, axis=0, weights=pairs_D)
    yield "experts that neighbours share, mean", f"{by_layer_L.mean():.1%}", "28 %"
    low, high = by_layer_L.min(), by_layer_L.max()
    yield "  least and most of a layer", f"{low:.0%} to {high:.0%}", "13 to 35 %"
    yield "  by chance", f"{v2_lite.k / v2_lite.n_experts:.1%}", "9.4 %"
    arxiv, tokens = olmoe.loads["arxiv"][0], olmoe.tokens["arxiv"]
    yield "OLMoE, layer 0: arXiv tokens that choose one expert", f"{max(arxiv):,}", "204,013"
    yield "  of", f"{tokens:,}", "208,896"
    yield "  share", f"{max(arxiv) / tokens:.1%}", "98 %"
    first_DE = mixtral.share_DLE[:, 0]
    yield (
        "Mixtral, layer 0: share of an expert, all domains",
        f"{first_DE.min():.1%} to {first_DE.max():.1%}",
        "9.2 to 16.2 %",
    )
    third_D = mixtral.share_DLE[:, 2, 3]
    yield (
        "Mixtral, layer 15: share of expert 3, by domain",
        f"{third_D.min():.0%} to {third_D.max():.0%}",
        "5 to 9 %",
    )


def as_plain(table: RoutingTable) -> dict[str, Any]:
    """A table as its file would give it back."""
    found: dict[str, Any] = json.loads(written(table))
    return found


if __name__ == "__main__":
    main()
