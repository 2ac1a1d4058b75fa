"""`python -m benchmarks.real_data FOLDER [--write]`: what real models did, measured again.

Routing by layer, expert and task; caches of experts; experts that a batch reads; placements; the
scaling law. Each figure is printed beside the one that a review of the same data had found, and
`--write` writes the tables that ship. FOLDER is one as in `real_routing.py`, with DeepMind's
`unified-scaling-laws-curves.csv.gz` in it, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from . import batch_reads, expert_cache, placement, real_routing, scaling_law

WRITING = real_routing, expert_cache, batch_reads, scaling_law
PARTS = (*WRITING[:3], placement, scaling_law)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything, and write if asked to."""
    parser = argparse.ArgumentParser("python -m benchmarks.real_data", description=__doc__)
    parser.add_argument("folder", help="a folder as in real_routing.py")
    parser.add_argument("--write", action="store_true", help="write the tables that ship")
    asked = parser.parse_args(arguments)
    for part in PARTS:
        print(f"\n{(part.__doc__ or '').splitlines()[0]}")
        part.main([asked.folder, *(["--write"] if asked.write and part in WRITING else [])])


if __name__ == "__main__":
    main()
