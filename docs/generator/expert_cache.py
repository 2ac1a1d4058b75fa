"""The page on caches of experts: rules, policies, and the table of a real model's routing."""

from __future__ import annotations

from moe.cost import MODELS, find_gpu
from moe.cost.links import find_link
from moe.expert_cache import POLICIES
from moe.expert_cache.published import (
    LAYERS,
    MODEL,
    N_EXPERTS,
    K,
    PublishedCache,
    in_all,
    origin,
    published,
    sizes,
)
from moe.expert_cache.speed import ASSUMPTIONS, cache_speed

from .methods import page_text, table

PAGE = "expert-cache.md"
SHOWN = 16  # slots of the table by task
MACHINES = (("rtx-4090", "pcie4-x16"), ("rtx-4090", "ssd"), ("laptop-32gb", "ssd"))

INTRO = """\
# Experts that do not all fit

Where memory is short, each layer keeps some experts in fast memory and reads the others when a
token needs them: from main memory over PCIe, or from a disk. `moe cache` replays a
[trace](traces.md) under every policy of what to keep:

```
moe cache trace.npz --slots 8,16,32
moe cache trace.npz --policy lru,belady --model deepseek-v2-lite --gpu rtx-4090 --link ssd --json
```

`--json` is a list of objects, sizes outermost: `policy`, `slots`, `hit_rate` in all,
`hit_rate_by_layer`, `hit_rate_by_task`, `ready_rate`, `reads_per_token` and `waits_per_token` (over
all recorded layers), and with `--model` the tokens a second.

## The rules

- Each domain of a trace is a task; its first half is the past, and its second half is replayed. A
  cache belongs to a layer and begins empty.
- A token asks for its experts one after another, best first. An expert that is not there is read;
  it may stay, in another's place if there is no room, or be dropped after its use.
- A *hit* is a request for which nothing was read. Experts read ahead and there in time are counted
  apart (*in time* is both), and every read counts, used or not.
- Under these rules no policy has more hits or fewer reads than Belady's, which knows the future: a
  test tries every possible plan on small traces, reading ahead included. LRU equals an ordered
  dictionary on a thousand random traces.
"""


def page() -> str:
    """Return the page."""
    return page_text(
        "moe/expert_cache/deepseek-v2-lite.csv",
        INTRO.strip(),
        "## The policies",
        _policies(),
        f"## A real model: {SHOWN} of {N_EXPERTS} experts of {MODEL}",
        _by_task_words(),
        _by_task(),
        "## Hits against room",
        _by_size(),
        "## Reading ahead",
        _ahead_words(),
        _ahead(),
        "## Tokens a second",
        f"Bounds for {MODEL} at 4 bits a weight and {SHOWN} slots a layer. "
        + " ".join(ASSUMPTIONS),
        _speeds(),
        "## Where the figures are from",
        _origin(),
    )


def _policies() -> str:
    rows = [[f"`{name}`", policy.title, policy.source] for name, policy in POLICIES.items()]
    return table(["name", "what stays", "source"], rows)


def _rate(row: PublishedCache) -> str:
    return f"{row.hit_rate:.1%}"


def _tasks(policy: str, slots: int) -> list[PublishedCache]:
    return [row for row in published() if (row.policy, row.slots) == (policy, slots)]


def _by_task() -> str:
    tasks = [row.task for row in _tasks("lru", SHOWN)]
    rows = [
        [f"`{name}`", *map(_rate, _tasks(name, SHOWN)), _rate(in_all(name, SHOWN))]
        for name in POLICIES
    ]
    return table(["hits", *tasks, "all"], rows)


def _span(policy: str) -> str:
    rates = [row.hit_rate for row in _tasks(policy, SHOWN)]
    return f"{min(rates):.0%} to {max(rates):.0%}"


def _by_task_words() -> str:
    chance = SHOWN / N_EXPERTS
    return (
        f"Each token asks for {K} experts in each of {LAYERS} layers. Over four tasks, keeping the "
        f"latest used hits {_span('lru')} of the time, keeping a task's own favourites "
        f"{_span('pinned')}, and keeping another task's {_span('pinned_other')}, where experts "
        f"kept at random would hit {chance:.0%}. Who knows the future hits {_span('belady')}."
    )


def _by_size() -> str:
    rows = [[f"`{name}`", *(_rate(in_all(name, slots)) for slots in sizes())] for name in POLICIES]
    return table(["hits", *(f"{slots} slots" for slots in sizes())], rows)


def _ahead_words() -> str:
    lru = in_all("lru", SHOWN)
    words = []
    for name in ("last_token", "last_layer"):
        one = in_all(name, SHOWN)
        waits = one.waits_per_token / lru.waits_per_token - 1
        reads = one.reads_per_token / lru.reads_per_token - 1
        words.append(f"`{name}` waits {abs(waits):.0%} {_less(waits)} and reads {abs(reads):.0%} "
                     f"{_less(reads)}")  # fmt: skip
    return (
        f"Against LRU with {SHOWN} slots, {'; '.join(words)}. So reading ahead helps where the "
        "link has time to spare, and slows down where the link is what is short."
    )


def _less(change: float) -> str:
    return "less" if change < 0 else "more"


def _ahead() -> str:
    rows = []
    for name in POLICIES:
        one = in_all(name, SHOWN)
        rows.append(
            [f"`{name}`", _rate(one), f"{one.ready_rate:.1%}", f"{one.reads_per_token:.1f}",
             f"{one.waits_per_token:.1f}"]
        )  # fmt: skip
    return table(["policy", "hits", "in time", "reads a token", "waits a token"], rows)


def _speeds() -> str:
    model = MODELS[MODEL.lower()]
    rows = []
    for gpu_key, link_key in MACHINES:
        gpu, link = find_gpu(gpu_key), find_link(link_key)
        speeds = []
        for name in POLICIES:
            one = in_all(name, SHOWN)
            per_layer = one.reads_per_token / LAYERS, one.waits_per_token / LAYERS
            speeds.append(cache_speed(*per_layer, SHOWN, model, gpu, link))
        cells = [f"{speed.tokens_per_s:.1f}" for speed in speeds]
        rows.append([f"{gpu.name}, {link.name}", *cells, f"{speeds[0].all_fit_tokens_per_s:.0f}"])
    return table(["tokens a second", *(f"`{name}`" for name in POLICIES), "all fit"], rows)


def _origin() -> str:
    said = origin()
    return (
        f"Source: {said['source']}, commit {said['commit']}; {said['licence']}. The model is the "
        "base that was fine-tuned there, and tasks differ in language, too. The prompt that begins "
        "each document of a task is left out. The table "
        f"`moe/expert_cache/deepseek-v2-lite.csv` is written by `{said['command'].split(',')[0]}`."
    )
