"""`make bench`: the layer against its peers and under this machine's two roofs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.peers import calls
from moe import MoELayer
from moe.lab.machine import SHAPES, measure_layers, measure_machine, versions
from moe.lab.timing import time_in_turn

OUT = Path("benchmarks/results.json")


def against_peers() -> list[dict[str, object]]:
    """Median forward milliseconds of each implementation per shape, and ours over each."""
    rows: list[dict[str, object]] = []
    for name, (n_tokens, d_model, d_expert, n_experts, k) in SHAPES.items():
        layer = MoELayer.init(d_model, d_expert, n_experts, k=k)
        x_ND = np.random.default_rng(0).standard_normal((n_tokens, d_model)).astype(np.float32)
        seconds = time_in_turn(calls(layer, x_ND), blocks=3)
        for peer, value in seconds.items():
            times_faster = value / seconds["moescope"]
            rows.append(
                {"shape": name, "peer": peer, "ms": 1e3 * value, "times_faster": times_faster}
            )
    return rows


def main() -> None:
    """Measure, print and write `benchmarks/results.json`."""
    console = Console()
    machine = measure_machine()
    console.print(machine.describe())
    speeds = [asdict(speed) for speed in measure_layers(machine)]
    roof = Table("shape", "forward, share of peak", "forward + backward", "GB/s of weights")
    for row in speeds:
        shares = (f"{row[key]:.2f}" for key in ("share_of_peak", "share_of_peak_both"))
        roof.add_row(row["shape"], *shares, f"{row['gigabytes_per_s']:.1f}")
    console.print(roof)
    rows = against_peers()
    table = Table("shape", "peer", "ms", "moescope is ... times as fast")
    for row in rows:
        table.add_row(
            str(row["shape"]), str(row["peer"]), f"{row['ms']:.2f}", f"{row['times_faster']:.2f}"
        )
    console.print(table)
    report = {"machine": asdict(machine), "versions": versions(), "layers": speeds, "peers": rows}
    OUT.write_text(json.dumps(report, indent=1) + "\n")
    console.print(f"written: {OUT}")


if __name__ == "__main__":
    main()
