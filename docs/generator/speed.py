"""The page on speed, made from what `make bench` measured and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import BEST, BEST_TORCH, FORWARD, PASSES, SWEEP_BASE, names_in
from benchmarks.peer import OURS
from benchmarks.results import read
from docs.generator.speed_chart import used
from moe.numbers import plural
from moe.pictures.figure import Figure

from .methods import table
from .tables import HERE

RESULTS = HERE.parent / "benchmarks" / "results.json"
NARROW = "results-avx2.json"  # beside the others: what a processor without AVX-512 would do
PAGE, PICTURE = "how-fast.md", "img/how-fast.svg"
LARGE = ("small", "mid", "fine")
IN_ANY_BATCH = """\
import numpy as np, moe

changed, rng = 0, np.random.default_rng(0)
for D, F, E, k in (64, 128, 8, 2), (256, 512, 8, 2), (512, 256, 64, 8), (96, 9, 5, 3):
    for x in rng.standard_normal((600, D), np.float32), rng.standard_normal((600, D)):
        layer = moe.MoELayer.init(D, F, E, k=k, dtype=str(x.dtype))
        y, ctx = layer.forward(x)
        dx, _ = layer.backward(x, ctx)
        for n in 1, 2, 3, 7, 17, 31, 33, 64, 100, 321:
            some = rng.permutation(600)[:n]
            y_n, ctx_n = layer.forward(x[some])
            dx_n, _ = layer.backward(x[some], ctx_n)
            changed += ((y_n != y[some]) | (dx_n != dx[some])).any(axis=1).sum()
print(changed, "tokens whose bits change with the batch")
"""
Results = Mapping[str, Any]


def figure(path: Path = RESULTS) -> Figure:
    """Share of the limiting roof, each implementation at each shape."""
    results = read(path)
    figures, shapes = results["figures"], results["settings"]["shapes"]
    return used(
        {
            passed[0].upper() + passed[1:]: [
                {
                    "shape": shape,
                    "name": name,
                    "share": round(figures[f"{shape}/{passed}/share/{name}"]["median"], 3),
                }
                for shape in shapes
                for name in names_in(figures, f"{shape}/{passed}/share")
            ]
            for passed in PASSES
        }
    )


def page(alt: str, path: Path = RESULTS) -> str:
    """Return the page; `alt` says the picture in words."""
    results = read(path)
    settings = results["settings"]
    parts = [
        f"<!-- Made by `make bench` from benchmarks/{path.name}. -->",
        "# How fast",
        _conditions(results),
        _summary(results),
        f"![{alt}]({PICTURE})",
        "Shares are of what limits the shape: the best square matrix product of numpy in the same "
        "blocks of time, or for 1 and 16 tokens the fastest reading of as many bytes as the chosen "
        "experts weigh.",
        "## Targets",
        *_targets(results),
        "## Milliseconds",
        "Every implementation has the same weights, and had to give the same result and gradients "
        "before it was timed. HF is the Mixtral block of the library transformers, run each way it "
        "offers. The last columns say how many times as fast MoEscope is as the fastest other one, "
        "and as the fastest of those in PyTorch.",
        *(part for passed in PASSES for part in _milliseconds(results, passed)),
        table(
            ["Shape", "N tokens", "D", "F", "E experts", "k"],
            [[name, *map(str, shape)] for name, shape in settings["shapes"].items()],
        ),
        *_dense(results),
        *_memory(results),
        *_same_bits(results),
        *_narrow(path.with_name(NARROW)),
        *_sweep(results),
        "## How it is measured",
        "Blocks of calls alternate between the implementations and the roofs, with "
        f"{settings['pause']:g} seconds of silence and one uncounted call before each: idle "
        "threads of a library spin for a while and take the cores from whoever runs next. A figure "
        f"is the median of {plural(settings['blocks'], 'block')}, and over "
        "several runs the median of those. Ratios are taken inside one run. The forward pass keeps "
        "nothing for backward (PyTorch: `no_grad`); forward + backward gives the gradient at x and "
        "at every parameter.",
        'Again on your machine: `make bench` (options: `make bench ARGS="--repeat 3"`, '
        "`--sweep`, `--against FILE`, `--quick`).",
    ]
    if results["left_out"]:
        parts.append("Left out:\n\n" + "\n".join(f"- {line}" for line in results["left_out"]))
    return "\n\n".join(parts) + "\n"


def _targets(results: Results) -> list[str]:
    targets = results["targets"]
    met = sum(row["met"] is True for row in targets)
    return [
        f"{met} of {len(targets)} are met.",
        table(["What", "Measured", "Target", "Met"], [_target(row) for row in targets]),
    ]


def _same_bits(results: Results) -> list[str]:
    figures = results["figures"]
    batches = list(dict.fromkeys(name.partition("/")[0] for name in names_in(figures, "batch/y")))
    rows = []
    for what, title in (("y", "y"), ("dx", "gradient at x")):
        names = dict.fromkeys(
            name for n in batches for name in names_in(figures, f"batch/{what}/{n}")
        )
        for name in names:
            found = [f"batch/{what}/{n}/{name}" for n in batches]
            cells = [_of(figures, key, ".0%") if key in figures else "–" for key in found]
            rows.append([title, name, *cells])
    if not rows:
        return []
    return [
        "## The same bits in any batch",
        "A token's result, its routing and the gradient at it have the same bits whoever else is "
        "in the batch: alone, among 600, at any number of threads, in float32 and float64, at "
        "every vector width. All paths add the same blocks in the same order. It holds for "
        "routers that look at one token at a time (`batch_invariant` of each says which) without "
        "a capacity limit or noise. So a token that is sampled alone and later trained in a batch "
        "went the same way, bit for bit.",
        f"```python\n{IN_ANY_BATCH}```\n```text\n0 tokens whose bits change with the batch\n```",
        "Share of a batch's tokens whose bits differ from those among all 600, at D, F, E, k = "
        "256, 512, 8, 2:",
        table(["Of", "Implementation", *(f"{n} tokens" for n in batches)], rows),
    ]


def _narrow(path: Path) -> list[str]:
    """What a processor without AVX-512 would do, if that was measured."""
    if not path.exists():
        return []
    results = read(path)
    shapes = results["settings"]["shapes"]
    rows = [
        [shape, passed, *(_of(results["figures"], key, ".2f") for key in keys)]
        for passed in PASSES
        for shape in shapes
        for prefix in [f"{shape}/{passed}"]
        for keys in [[f"{prefix}/share/{OURS}", f"{prefix}/times/{BEST}"]]
        if all(key in results["figures"] for key in keys)
    ]
    return [
        "## Without AVX-512",
        f"{_conditions(results)} Kernels, numpy's products and PyTorch were held to AVX2 in this "
        'run (`make bench ARGS="--avx2"`), as most laptops and servers have it.',
        table(["Shape", "Pass", "Share of what limits it", "Over the best peer"], rows),
        *_targets(results),
    ]


def _conditions(results: Results) -> str:
    settings, figures = results["settings"], results["figures"]
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    many = f"These are the medians of {settings['runs']} runs"
    runs = "This is one run" if settings["runs"] == 1 else many
    rough = (
        " It was a quick run with few calls, so the figures are rough." if settings["quick"] else ""
    )
    machine = results["machine"]
    peak, reading = (_of(figures, f"machine/{unit}", ".0f") for unit in ("GFLOP/s", "GB/s"))
    return (
        f"{runs} of `make bench` on {machine['processor']} with {machine['threads']} "
        f"threads, {peak} GFLOP/s in float32 matrix products and {reading} GB/s reading memory, "
        f"with vectors of {machine['vector_bytes']} bytes ({versions}).{rough}"
    )


def _summary(results: Results) -> str:
    figures, shapes = results["figures"], results["settings"]["shapes"]
    sentences = []
    for passed in PASSES:
        shares = _medians(figures, [f"{name}/{passed}/share/{OURS}" for name in LARGE])
        if shares:
            sentences.append(
                f"{passed[0].upper() + passed[1:]} reaches {_range(shares, '.0%')} of the peak at "
                "the larger shapes"
            )
    slower, times = [], []
    for passed in PASSES:
        for name in shapes:
            ratio = _medians(figures, [f"{name}/{passed}/times/{BEST}"])
            times += ratio
            if ratio and ratio[0] < 1:
                slower.append(f"{name}, {passed} ({ratio[0]:.2f} times as fast)")
    words = ". ".join(sentences) + f". MoEscope is {_range(times, '.2f')} times as fast as the "
    words += "fastest of the others"
    if slower:
        return f"{words}. Another one is faster at: {'; '.join(slower)}."
    return f"{words}; at no shape is another one faster."


def _milliseconds(results: Results, passed: str) -> list[str]:
    figures, shapes = results["figures"], results["settings"]["shapes"]
    found = {shape: names_in(figures, f"{shape}/{passed}/ms") for shape in shapes}
    names = list(dict.fromkeys(name for row in found.values() for name in row))
    rows = []
    for shape in shapes:
        cells = [
            _ms(figures, f"{shape}/{passed}/ms/{name}") if name in found[shape] else "–"
            for name in names
        ]
        times = [f"{shape}/{passed}/times/{best}" for best in (BEST, BEST_TORCH)]
        cells += [_of(figures, name, ".2f") if name in figures else "–" for name in times]
        rows.append([shape, *cells])
    head = ["Shape", *names, "Over the best", "Over PyTorch's best"]
    return [f"### {passed[0].upper() + passed[1:]}", table(head, rows)]


def _dense(results: Results) -> list[str]:
    figures, shapes = results["figures"], results["settings"]["shapes"]
    rows = []
    for name, (*_, n_experts, k) in shapes.items():
        prefix = f"{name}/{FORWARD}"
        if f"{prefix}/speed-up over dense" in figures:
            rows.append(
                [
                    name,
                    _of(figures, f"{prefix}/speed-up over dense", ".2f"),
                    f"{n_experts / k:g}",
                    _of(figures, f"{prefix}/speed-up over theory", ".0%"),
                    _of(figures, f"{prefix}/dense share", ".0%"),
                    _of(figures, f"{prefix}/threads", ".2f"),
                ]
            )
    if not rows:
        return []
    return [
        "## Sparse against dense, two threads against one",
        "The dense layer has as many weights and uses all of them for each token; it counts as the "
        "faster of MoEscope's own and plain numpy's. In theory the speed-up is E / k; more "
        "than that means that the dense layer is further from the peak than the sparse one.",
        table(
            [
                "Shape",
                "Speed-up",
                "E / k",
                "Share",
                "Dense, share of peak",
                "All threads against 1",
            ],
            rows,
        ),
    ]


def _memory(results: Results) -> list[str]:
    figures = results["figures"]
    names = names_in(figures, "memory")
    if not names:
        return []
    rows = [
        [name, _of(figures, f"memory MB/{name}", ".0f"), _of(figures, f"memory/{name}", ".2f")]
        for name in names
    ]
    return [
        "## Memory",
        "Peak of forward + backward at mid, in a process of its own. Needed are the parameters and "
        "as much again for their gradients, x, y, dy and dx, and the first products of the chosen "
        f"experts: {_of(figures, 'memory MB/needed', '.0f')} MB.",
        table(["Implementation", "Peak, MB", "Over needed"], rows),
    ]


def _sweep(results: Results) -> list[str]:
    figures = results["figures"]
    shapes = dict.fromkeys(name.partition("/")[0] for name in names_in(figures, "sweep"))
    rows = []
    for shape in shapes:
        prefix = f"sweep/{shape}"
        best = next(name for name in names_in(figures, f"{prefix}/ms") if name != OURS)
        cells = [_ms(figures, f"{prefix}/ms/{name}") for name in (OURS, best)]
        rows.append([shape, *cells, best, _of(figures, f"{prefix}/times/{BEST}", ".2f")])
    if not rows:
        return []
    base = ", ".join(map(str, SWEEP_BASE))
    return [
        "## Other sizes",
        f"Forward milliseconds around N, D, F, E, k = {base}, one number changed at a time.",
        table(["Changed", OURS, "Best peer", "Which", "Times"], rows),
    ]


def _target(row: Mapping[str, Any]) -> list[str]:
    said = {True: "yes", False: "no", None: "not measured"}[row["met"]]
    measured = "–" if row["measured"] is None else f"{row['measured']:.3g}"
    if row["measured"] is not None and row["low"] != row["high"]:
        measured += f" ({row['low']:.3g} to {row['high']:.3g})"
    return [row["what"], measured, f"{'≥' if row['at_least'] else '≤'} {row['target']:g}", said]


def _of(figures: Results, name: str, form: str) -> str:
    return format(figures[name]["median"], form)


def _ms(figures: Results, name: str) -> str:
    return _of(figures, name, ",.0f" if figures[name]["median"] >= 1000 else ".3g")


def _medians(figures: Results, names: list[str]) -> list[float]:
    return [figures[name]["median"] for name in names if name in figures]


def _range(values: list[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low.removesuffix('%')} to {high}"
