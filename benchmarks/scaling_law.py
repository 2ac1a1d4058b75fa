"""The unified scaling law from DeepMind's published curves, as the tables that ship.

`python -m benchmarks.scaling_law FOLDER --write` reads `unified-scaling-laws-curves.csv.gz` there
(`data/curves.csv.gz` of the source), fits the law at several numbers of steps, and writes
`moe/scaling/runs.csv` and `moe/scaling/laws.csv`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

from moe.scaling.law import Law
from moe.scaling.runs import (
    END,
    FOLDER,
    LAW_COLUMNS,
    MOMENTS,
    ROUTERS,
    RUN_COLUMNS,
    STEPS,
    Fitted,
    Run,
    differences,
    left_out_by_size,
    refit,
    taken,
)

FILE = "unified-scaling-laws-curves.csv.gz"
DIGITS = 4  # of a loss in the table
ORIGIN = (
    "source: github.com/google-deepmind/scaling_laws_for_routing, data/curves.csv.gz",
    "commit: 42da0c392b127df2c01fa7b705f72396050d05e5",
    "licence: CC-BY 4.0; Clark et al. 2022, Unified Scaling Laws for Routed Language Models, "
    "DeepMind; losses rounded, and laws fitted to them, here",
    f"command: python -m benchmarks.scaling_law FOLDER --write, where FOLDER holds {FILE}",
)
# A review of the same data, by other programs: a, b, c, d, start, most; worst, left out.
REVIEW = {
    "S-Base": ((-0.0840, -0.1241, 0.0108, 1.1212, 2.20, 323), 0.037, 0.056),
    "RL-R": ((-0.0835, -0.1279, 0.0117, 1.1143, 1.99, 424.5), 0.036, 0.059),
    "Hash": ((-0.0887, -0.1464, 0.0134, 1.1730, 4.99, 369), 0.035, 0.061),
}


def read(path: Path) -> list[Run]:
    """All runs of the source, with their losses as they are."""
    found: dict[str, list[dict[str, str]]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["hyper_id"], []).append(row)
    runs = []
    for number, rows in found.items():
        known = [row for row in rows if row["loss_validation"]]  # some lack it at some steps
        by_step = {int(row["step"]): float(row["loss_validation"]) for row in known}
        first = rows[0]
        losses = {str(step): by_step[step] for step in STEPS if step in by_step}
        runs.append(
            Run(
                number=int(number),
                router=first["router_type"],
                size=first["model_size_label"],
                experts=int(first["num_experts"]),
                k=int(first["k"]),
                every=round(float(first["routing_frequency"]), 6),
                widened=float(first["flop_increase"]),
                seed=int(first["seed"]),
                active=int(float(first["dense_parameter_count"])),
                total=int(float(first["total_parameter_count"])),
                losses=losses | {END: by_step[max(by_step)]},
            )
        )
    return sorted(runs, key=lambda run: run.number)


def runs_table(runs: Sequence[Run]) -> str:
    """The runs as csv, losses rounded."""
    lines = [*(f"# {line}" for line in ORIGIN), ",".join(RUN_COLUMNS)]
    for run in runs:
        losses = [f"{run.losses[m]:.{DIGITS}f}" if m in run.losses else "" for m in MOMENTS]
        cells = (run.number, run.router, run.size, run.experts, run.k, run.every, run.widened,
                 run.seed, run.active, run.total, *losses)  # fmt: skip
        lines.append(",".join(map(str, cells)))
    return "\n".join(lines) + "\n"


def laws_table(found: Sequence[Fitted]) -> str:
    """The laws as csv."""
    lines = [*(f"# {line}" for line in ORIGIN), ",".join(LAW_COLUMNS)]
    for one in found:
        numbers = [f"{value:.6g}" for value in constants(one.law)]
        left_out = "" if one.left_out is None else f"{one.left_out:.4f}"
        cells = (one.router, one.moment, one.runs, *numbers, f"{one.worst:.4f}", left_out)
        lines.append(",".join(map(str, cells)))
    return "\n".join(lines) + "\n"


def constants(law: Law) -> tuple[float, ...]:
    """The six constants in the order of the table."""
    return law.a, law.b, law.c, law.d, law.start, law.most


def compare(runs: Sequence[Run], found: Sequence[Fitted]) -> str:
    """The figures beside the review's."""
    lines = ["router    a       b       c       d       start  most   largest  size left out"]
    for one in found:
        if one.moment != END:
            continue
        theirs, worst, left_out = REVIEW[one.router]
        for who, values, errors in (
            ("here", constants(one.law), (one.worst, one.left_out)),
            ("review", theirs, (worst, left_out)),
        ):
            a, b, c, d, start, most = values
            lines.append(
                f"{one.router:7} {a:7.4f} {b:7.4f} {c:7.4f} {d:7.4f} {start:6.2f} {most:6.1f}   "
                f"{errors[0]:.3f}    {errors[1]:.3f}   {who}"
            )
        sizes = left_out_by_size(taken(runs, one.router))
        lines.append("        left out: " + ", ".join(f"{k} {v:.3f}" for k, v in sizes.items()))
    for one in found:
        lines.append(f"{one.router:7} after {one.moment:>6} steps: border {one.law.border:.2e}")
    for other in ROUTERS[:2]:
        for moment in MOMENTS:
            above = [*differences(runs, "Hash", other, moment).values()]
            lines.append(
                f"Hash above {other} after {moment:>6} steps: {sum(d > 0 for d in above)} of "
                f"{len(above)}, {sum(above) / len(above):.3f} nats on average"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, compare, and write if asked to."""
    parser = argparse.ArgumentParser("python -m benchmarks.scaling_law", description=__doc__)
    parser.add_argument("folder", type=Path, help=f"the folder that holds {FILE}")
    parser.add_argument("--write", action="store_true", help="write the tables that ship")
    parser.add_argument("--out", type=Path, help="the folder that --write writes them to")
    asked = parser.parse_args(arguments)
    if asked.out and not asked.write:
        parser.error("argument --out: got no --write, allowed is both")
    if not (asked.folder / FILE).is_file():
        parser.error(f"argument folder: got {asked.folder}, allowed is one that holds {FILE}")
    runs = read(asked.folder / FILE)
    found = [refit(runs, router, moment) for router in ROUTERS for moment in MOMENTS]
    print(compare(runs, found))
    if asked.write:
        folder = asked.out or FOLDER
        (folder / "runs.csv").write_text(runs_table(runs), "utf-8")
        (folder / "laws.csv").write_text(laws_table(found), "utf-8")


if __name__ == "__main__":
    main()
