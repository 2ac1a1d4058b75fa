"""Record the sample traces of the package again: `python -m docs.generator.samples`."""

from __future__ import annotations

from moe.traces.samples import write_samples

if __name__ == "__main__":
    for path in write_samples():
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")
