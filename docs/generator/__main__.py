"""Write the generated pages again: `python -m docs.generator` (`make pages`)."""

from __future__ import annotations

import argparse

from docs.generator.ablation import ablate, plan

from . import lm_comparison, lm_runs, studies
from .site import HERE, RESULTS, draw, render, stale, write


def main() -> None:
    """Parse the command line, run the ablation if asked for, and write pages and pictures."""
    parser = argparse.ArgumentParser("python -m docs.generator", description=__doc__)
    parser.add_argument(
        "--ablation",
        action="store_true",
        help="train every pair that docs/ablation.jsonl lacks or that behaves otherwise now",
    )
    parser.add_argument("--afresh", action="store_true", help="with --ablation: train all again")
    parser.add_argument(
        "--study",
        action="append",
        choices=studies.names(),
        default=[],
        help="do a sweep of docs/studies/ again and keep its rows; may be given more than once",
    )
    parser.add_argument(
        "--lm-run",
        action="append",
        choices=lm_runs.RUNS,
        default=[],
        help="do what a page's finished runs of language models lack; may be given more than once",
    )
    parser.add_argument(
        "--lm-speed",
        action="store_true",
        help="time steps of each kind of language model on this machine, which should be quiet",
    )
    parser.add_argument("--only", metavar="PICTURE", help="draw this one of docs/ and nothing else")
    asked = parser.parse_args()
    if asked.only:
        print(draw(asked.only))
        return
    for name in asked.lm_run:
        for words in lm_runs.complete(name):
            print(words, flush=True)
    if asked.lm_run:
        return
    for name in asked.study:
        for state in studies.run(name):
            print(f"{name}: {state.kept + state.done} of {state.kept + state.to_do}", flush=True)
    if asked.lm_speed:
        lm_comparison.measure_speed()
    if asked.ablation:
        if asked.afresh:
            RESULTS.unlink(missing_ok=True)
        total = len(plan())
        for i, (row, new) in enumerate(ablate(RESULTS), 1):
            if new:
                print(
                    f"{i}/{total} {row.router}, {row.balance}: MaxVio {row.full.max_vio:.2f}, "
                    f"held-out loss {row.full.held_out_loss:.3f}, {row.seconds:.1f} s",
                    flush=True,
                )
    files = render()
    for path in stale(files):
        path.unlink()
    changed = write(files)
    print(f"{len(files)} files, {len(changed)} changed, below {HERE.name}/")


if __name__ == "__main__":
    main()
