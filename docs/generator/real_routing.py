"""The page on real routing: the shipped tables, the law fitted to them, and its errors."""

from __future__ import annotations

import numpy as np

from moe.cost import MODELS, decode, expected_experts, find_gpu
from moe.traffic import TABLES, ExpertTraffic, chosen_by_law, find_traffic
from moe.traffic.held_out import HeldOut, held_out
from moe.traffic.law import reads_at_random
from moe.traffic.measure import ALIKE, FEW_WINDOWS
from moe.traffic.tables import RoutingTable, load_table

from .methods import page_text, table

PAGE = "real-routing.md"
SHOWN = 16  # tokens
BATCHES = (1, 4, 16, 64)
GPU, MODEL = "rtx-4090", "deepseek-v2-lite"

INTRO = """\
# How real models route

Three published models, counted from what their authors put out: DeepSeek-V2-Lite on four tasks,
every choice of every layer; OLMoE and Mixtral on text of five or six domains, how often each
expert was chosen in three layers. The tables ship with the package, and the cost and cluster
models take them instead of experts that are all alike:

```
moe decode deepseek-v2-lite --gpu rtx-4090 --batch 16 --traffic v2-lite
moe decode --batch 16 --traffic trace.npz
moe cluster simulate --traffic v2-lite --placement balanced --redundant 64
```

`--traffic` is `even` (the default), `v2-lite`, `olmoe` or `mixtral`, of which a batch holds one
task or domain; one of these with `-mixed`, of which it holds all; or a [trace](traces.md),
imported ones too. For a layer of the same size it takes the popularity as measured. For another
size it takes the law below with the numbers fitted to that traffic, and the output says which.
Training (`moe cost`) reads every expert in each step, so popularity changes nothing there.

The page *Real models* of the app draws the tables, a click from task to task.\
"""
LAW = """\
## A law of three numbers

- **Spread**: the log-odds with which a token chooses an expert are normal over the experts of a
  layer, with this standard deviation, and shifted so that a token has k. N independent tokens then
  read the sum of 1 − (1 − p)^N over the experts. Spread 0 is the even formula.
- **Concentration** c: within a document an expert's chance varies as Beta(c p, c (1 − p)).
- **Stickiness** r: a token takes its neighbour's experts instead of its own with chance r, so that
  N neighbours count as 1 + (N − 1)(1 − r) draws.

The spread is fitted to the experts that independent tokens read, the other two to those that
consecutive ones read, by least squares of logarithms.\
"""


def page() -> str:
    """Return the page."""
    v2_lite = load_table("v2-lite")
    return page_text(
        "moe/traffic/tables/",
        INTRO,
        f"## Popularity: {v2_lite.model} by task",
        _popularity_words(v2_lite),
        _popularity(v2_lite),
        f"## Experts that {SHOWN} tokens read, and others",
        _read_words(v2_lite),
        _reads(v2_lite),
        "## Neighbours",
        _neighbour_words(v2_lite),
        "## OLMoE and Mixtral",
        _counted_words(),
        _counted(),
        LAW,
        _laws(),
        "## A task that it never saw",
        _held_out_words(held_out(v2_lite)),
        _held_out(held_out(v2_lite)),
        "## What decoding costs by it",
        _decoding_words(),
        _decoding(),
        "## Where the tables are from",
        _origin(),
    )


def _popularity_words(one: RoutingTable) -> str:
    share_E = one.rank_share()
    return (
        f"{sum(one.tokens.values()):,} tokens in {len(one.layers)} layers of {one.n_experts} "
        f"experts, {one.k} for each token. Of a task's assignments in a layer, the busiest expert "
        f"has {share_E[0]:.1%} on average and the eight busiest {share_E[:8].sum():.0%}; even "
        f"shares would be {1 / one.n_experts:.1%} and {8 / one.n_experts:.1%}. Mixed, tasks hide "
        "that from each other."
    )


def _popularity(one: RoutingTable) -> str:
    max_vio = one.max_vio()
    names = [*one.domains, "mix"]
    tokens = {**one.tokens, "mix": sum(one.tokens.values())}
    rows = [
        ["tokens", *(f"{tokens[name]:,}" for name in names)],
        ["MaxVio, mean over layers", *(f"{max_vio[name]:.2f}" for name in names)],
    ]
    return table(["", *names], rows)


def _read_words(one: RoutingTable) -> str:
    at = one.sizes.index(SHOWN)
    even = expected_experts(one.n_experts, one.k, SHOWN)
    batch, row = one.batch_DS[:, at], one.in_a_row_DS[:, at]
    return (
        f"The even formula E (1 − (1 − k/E)^N) says that {SHOWN} tokens read {even:.1f} of "
        f"{one.n_experts} experts. {SHOWN} tokens of one task read {batch.mean():.1f} "
        f"({batch.min():.1f} to {batch.max():.1f} by task): {1 - batch.mean() / even:.0%} fewer. "
        f"{SHOWN} tokens that follow each other read {row.mean():.1f} ({row.min():.1f} to "
        f"{row.max():.1f}): {1 - row.mean() / even:.0%} fewer. Mean over the layers; of tokens "
        "taken at random, exact from the counts; of consecutive ones, over every window of a "
        f"document (tasks with fewer than {FEW_WINDOWS} windows are left out)."
    )


def _reads(one: RoutingTable) -> str:
    mixed = reads_at_random(one.mixed_LE, one.sizes).mean(axis=0)
    row_S = [values_D[np.isfinite(values_D)].mean() for values_D in one.in_a_row_DS.T]
    rows = [
        ["even formula", *(f"{expected_experts(one.n_experts, one.k, n):.1f}" for n in one.sizes)],
        ["all tasks mixed", *(f"{read:.1f}" for read in mixed)],
        ["of one task", *(f"{read:.1f}" for read in one.batch_DS.mean(axis=0))],
        ["one after another", *(f"{read:.1f}" for read in row_S)],
    ]
    return table(["experts read by", *map(str, one.sizes)], rows)


def _neighbour_words(one: RoutingTable) -> str:
    pairs_D = [one.n_windows[domain][1] for domain in one.domains]
    shared_L = np.average([one.shared[d] for d in one.domains], axis=0, weights=pairs_D)
    popular_D = np.square(one.chosen_DLE).sum(axis=2).mean(axis=1) / one.k
    by_chance = np.average(popular_D, weights=pairs_D)
    return (
        f"Of a token's experts, the token before it had {shared_L.mean():.0%} (layer means from "
        f"{shared_L.min():.0%} to {shared_L.max():.0%}). Any other token of the same task "
        f"would have had {by_chance:.0%}, since some experts are more popular; were all alike, "
        f"{one.k / one.n_experts:.1%}."
    )


def _counted_words() -> str:
    olmoe = load_table("olmoe")
    busiest, tokens = max(olmoe.loads["arxiv"][0]), olmoe.tokens["arxiv"]
    return (
        f"In OLMoE's first layer {busiest:,} of {tokens:,} tokens of arXiv "
        f"({busiest / tokens:.0%}) choose one and the same expert, beside others. Below, the share "
        "of a layer's assignments at its busiest expert: least and most over the domains, times "
        "the even share."
    )


def _counted() -> str:
    rows = []
    for name in ("olmoe", "mixtral"):
        one = load_table(name)
        for at, layer in enumerate(one.layers):
            times_D = one.share_DLE[:, at].max(axis=1) * one.n_experts
            least, most = int(times_D.argmin()), int(times_D.argmax())
            rows.append([
                one.model, str(layer), f"{times_D[least]:.2f} ({one.domains[least]})",
                f"{times_D[most]:.2f} ({one.domains[most]})",
            ])  # fmt: skip
    return table(["model", "layer", "least", "most"], rows)


def _found(name: str) -> ExpertTraffic:
    found = find_traffic(name)
    assert found is not None
    return found


def _laws() -> str:
    rows = []
    for name in (TABLES[0], f"{TABLES[0]}-mixed", *TABLES[1:]):
        found, one = _found(name), load_table(name.removesuffix("-mixed"))
        sizes = np.array(one.sizes)
        law_S = reads_at_random(chosen_by_law(one.n_experts, one.k, found.spread)[None], sizes)[0]
        read_S = reads_at_random(found.chosen_RE, sizes).mean(axis=0)
        even_S = np.array([expected_experts(one.n_experts, one.k, n) for n in one.sizes])
        local = ["", "", ""]
        if found.in_a_row_GS is not None:
            place = found.locality
            known = [
                (n, of.mean()) for n, of in zip(one.sizes, one.in_a_row_DS.T, strict=True)
                if np.isfinite(of).all()
            ]  # fmt: skip
            errors = [found.experts_read(n, consecutive=True) / read - 1 for n, read in known]
            local = [
                f"{place.stickiness:.2f}", f"{place.concentration:.0f}",
                f"{max(errors, key=abs):+.1%}",
            ]  # fmt: skip
        rows.append([
            f"`{name}`", f"{found.spread:.2f}", f"{_largest(law_S / read_S - 1):+.1%}",
            f"{_largest(even_S / read_S - 1):+.1%}", *local,
        ])  # fmt: skip
    heads = [
        "traffic", "spread", "largest error", "of the even formula", "stickiness", "concentration",
        "largest error in a row",
    ]  # fmt: skip
    return table(heads, rows)


def _largest(error_S: np.ndarray) -> float:
    return float(error_S[np.abs(error_S).argmax()])


def _held_out_words(rows: tuple[HeldOut, ...]) -> str:
    spans = []
    for consecutive, title in ((False, "taken at random"), (True, "one after another")):
        these = [row for row in rows if row.consecutive == consecutive]
        law = [abs(row.law_error) for row in these]
        even = [abs(row.even_error) for row in these]
        spans.append(
            f"by {min(law):.0%} to {max(law):.0%} for tokens {title} (the even formula by "
            f"{min(even):.0%} to {max(even):.0%})"
        )
    worst = max(rows, key=lambda row: abs(row.law_error))
    return (
        "All three numbers fitted to three tasks, and the fourth predicted: at its worst N the "
        f"law is off {spans[0]} and {spans[1]}. Worst is {worst.domain}: how popular experts are "
        "differs by task, and a law fitted to other tasks cannot know that."
    )


def _held_out(rows: tuple[HeldOut, ...]) -> str:
    made = []
    for row in rows:
        at = row.sizes.index(SHOWN)
        made.append([
            row.domain, "one after another" if row.consecutive else "at random",
            f"{row.measured[at]:.1f}", f"{row.law[at]:.1f}", f"{row.even[at]:.1f}",
            f"{row.law_error:+.1%}", f"{row.even_error:+.1%}",
        ])  # fmt: skip
    heads = [
        "task left out", f"{SHOWN} tokens", "measured", "law", "even", "largest error of the law",
        "of the even formula",
    ]  # fmt: skip
    return table(heads, made)


def _decoding_words() -> str:
    return (
        f"Bounds of {MODELS[MODEL].name} on one {find_gpu(GPU).name} at 4 bits a weight: fewer "
        "experts are fewer bytes to read in each step."
    )


def _decoding() -> str:
    model, gpu, found = MODELS[MODEL], find_gpu(GPU), _found("v2-lite")
    rows = []
    for batch in BATCHES:
        even = decode(model, gpu, batch=batch)
        real = decode(model, gpu, batch=batch, traffic=found)
        rows.append([
            str(batch), f"{even.experts_touched:.1f}", f"{real.experts_touched:.1f}",
            f"{even.tokens_per_s:,.0f}", f"{real.tokens_per_s:,.0f}",
        ])  # fmt: skip
    heads = ["batch", "experts if even", "as measured", "tokens/s if even", "as measured"]
    return table(heads, rows)


def _origin() -> str:
    v2_lite = load_table("v2-lite")
    lines = [
        f"- {one.model}: {one.source}, commit `{one.commit[:12]}`, `{one.path}`; {one.licence}."
        for one in map(load_table, TABLES)
    ]
    template = ", ".join(f"{task} {n}" for task, n in v2_lite.template.items())
    return "\n".join([
        *lines,
        "",
        f"The documents of a task begin with its prompt, whose tokens ({template}) are left out: "
        f"those places, from the first on, at which at least {ALIKE:.0%} of a task's documents "
        "have the same experts in the first MoE layer, which sees little but the token. The model "
        "is the base that was fine-tuned there, and tasks differ in language, too. "
        f"`{v2_lite.command}` measures all of it again from clones of both repositories, prints "
        "each figure beside an earlier review's, and writes the tables. "
        "`python -m benchmarks.real_data FOLDER` does so for caches, batches, placements and the "
        "scaling law, too.",
    ])  # fmt: skip
