"""The finished runs of language models that the package carries: what each page shows at once.

`python -m docs.generator --lm-run NAME` does those runs that the file lacks, or whose settings are
others now, and writes the file after each, so that it can be stopped and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from moe.lm import shipped
from moe.studies import distilling, language_model, thinking

SEEDS = range(5)


@dataclass(frozen=True)
class Part:
    """One run of a file.

    Attributes
    ----------
    told
        What tells it from the others, and all that it depends on; it is kept beside the run.
    make
        Does it, and returns it as plain values.
    """

    told: Mapping[str, Any]
    make: Callable[[], dict[str, Any]]


def think() -> Iterator[Part]:
    """Sums modulo 5: five seeds, of which the first is the film, and two starts that fail."""
    asked = [(seed, "good") for seed in SEEDS]
    asked += [(0, start) for start in thinking.STARTS if start != "good"]
    for seed, start in asked:
        film = (seed, start) == asked[0]  # only there is shown what was written

        def make(seed: int = seed, start: str = start, film: bool = film) -> dict[str, Any]:
            return thinking.finished(seed, start).as_json(written=film)

        yield Part(asdict(thinking.settings_of(seed, start).filled()), make)


def read() -> Iterator[Part]:
    """Each kind of language model from three seeds; samples and choices of the first mixture."""
    for seed in SEEDS[:3]:
        for kind in language_model.KINDS:
            film = (kind, seed) == ("none", SEEDS[0])

            def make(kind: str = kind, seed: int = seed, film: bool = film) -> dict[str, Any]:
                return language_model.finished(kind, seed).as_json(shown=film)

            yield Part(asdict(language_model.settings_of(kind, seed)), make)


def distil() -> Iterator[Part]:
    """Students of five seeds, with their teacher and without."""
    for seed in SEEDS:

        def make(seed: int = seed) -> dict[str, Any]:
            return distilling.finished(seed).as_json()

        yield Part(asdict(distilling.settings_of(seed)), make)


RUNS: dict[str, Callable[[], Iterator[Part]]] = {
    "think": think, "language-model": read, "distil": distil,
}  # fmt: skip


def is_of(part: Part, run: Mapping[str, Any]) -> bool:
    """Whether a kept run is this one: a setting that it does not know had its default then."""
    return all(part.told.get(name) == value for name, value in run["settings"].items())


def complete(name: str) -> Iterator[str]:
    """Do what a file lacks; yield a word on each run that was done."""
    kept = shipped.unpack(name)["runs"] if shipped.path_of(name).exists() else []
    parts = list(RUNS[name]())
    found = [next((run for run in kept if is_of(part, run)), None) for part in parts]
    for at, part in enumerate(parts):
        if found[at] is None:
            found[at] = {"settings": dict(part.told), **part.make()}
            packed = shipped.pack(name, {"runs": [run for run in found if run]})
            shipped.path_of(name).write_bytes(packed)
            yield f"{name}: {at + 1} of {len(parts)}, {len(packed):,} bytes"
