"""`make bench`: the layer against its peers and under this machine's two roofs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # settings that keep numpy from its peak
# What holds every implementation to the instructions of a processor without AVX-512.
AVX2 = {
    "MOE_VECTOR_BYTES": "32",
    "NUMBA_CPU_NAME": "haswell",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
HERE = Path(__file__).resolve().parent
OUT, OUT_AVX2 = HERE / "results.json", HERE / "results-avx2.json"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--repeat", type=int, default=1, help="run so often; medians of medians")
    parser.add_argument("--sweep", action="store_true", help="vary N, E, k and F too")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with older results")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where results are kept")
    parser.add_argument(
        "--avx2", action="store_true", help="hold everything to AVX2, as most processors have it"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short block each: rough, kept only with --out"
    )
    asked = parser.parse_args(arguments)
    if asked.repeat < 1:
        parser.error(f"--repeat: got {asked.repeat}, allowed is 1 or more")
    return asked


def main(arguments: Sequence[str]) -> None:
    """Measure, print, and write the results, their page and their picture."""
    asked = parse(arguments)
    unset = [name for name in SLOWING if os.environ.pop(name, None)]
    if asked.avx2:
        os.environ.update(AVX2)
    out = asked.out or (OUT_AVX2 if asked.avx2 else OUT)
    # Only now, since importing numpy loads OpenBLAS, which reads them.
    from rich.console import Console

    from .measure import QUICK, Plan, run, sweep_shapes
    from .results import against, made, read, write
    from .tables import against_table, peers_tables, targets_table

    console, progress = Console(), Console(stderr=True)
    if unset:
        progress.print(f"{' and '.join(unset)} would slow numpy down: unset for this run.")
    older = read(asked.against) if asked.against else None
    plan = QUICK if asked.quick else Plan()
    plan = replace(plan, sweep=sweep_shapes()) if asked.sweep else plan
    runs: list[dict[str, float]] = []
    left_out: list[str] = []
    for i in range(asked.repeat):
        figures: dict[str, float] = {}
        with progress.status("measuring") as status:
            for what, measured in run(plan, left_out):
                figures |= measured
                status.update(f"run {i + 1} of {asked.repeat}: measured {what}")
        runs.append(figures)
    results = made(runs, plan, left_out, asked.quick)
    for table in [*peers_tables(results), targets_table(results)]:
        console.print(table)
    for sentence in left_out:
        console.print(f"Left out: {sentence}")
    if older:
        console.print(against_table(against(results["figures"], older["figures"])))
    if asked.out or not asked.quick:
        write(results, out)
        console.print(f"Written: {out}")
    if not asked.out and not asked.quick:
        _write_page(console)


def _write_page(console: Any) -> None:
    from docs.generator import site

    for path in site.write(site.render_speed()):
        console.print(f"Written: {path}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"benchmarks: {error}")
