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
    by_task,
    in_all,
    origin,
    sizes,
)
from moe.expert_cache.replay import MOST_OTHERS
from moe.expert_cache.speed import ASSUMPTIONS, CacheSpeed, cache_speed

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
    others = (
        "`pinned_other` is tried with the past of every other task, and where there are many, of "
        f"the {MOST_OTHERS} that come next."
    )
    return f"{table(['name', 'what stays', 'source'], rows)}\n\n{others}"


def _rate(row: PublishedCache) -> str:
    return f"{row.hit_rate:.1%}"


def _by_task() -> str:
    tasks = [row.task for row in by_task("lru", SHOWN)]
    rows = [
        [f"`{name}`", *map(_rate, by_task(name, SHOWN)), _rate(in_all(name, SHOWN))]
        for name in POLICIES
    ]
    return table(["hits", *tasks, "all"], rows)


def _span(policy: str) -> str:
    rates = [row.hit_rate for row in by_task(policy, SHOWN)]
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
    words = []
    for name in ("last_token", "last_layer"):
        waits, reads = in_all(name, SHOWN).against(in_all("lru", SHOWN))
        words.append(f"`{name}` waits {abs(waits):.0%} {_less(waits)} and reads {abs(reads):.0%} "
                     f"{_less(reads)}")  # fmt: skip
    faster = [
        _speed(name, *machine).tokens_per_s > _speed("lru", *machine).tokens_per_s
        for machine in MACHINES
        for name in ("last_token", "last_layer")
    ]
    return (
        f"Against LRU with {SHOWN} slots, {'; '.join(words)}. Reading ahead writes faster where "
        "the link has time to spare while a token is computed: in "
        f"{sum(faster) or 'none'} of the {len(faster)} cases below."
    )


def _speed(policy: str, gpu: str, link: str) -> CacheSpeed:
    """What a policy makes of a machine, by its key and that of its link."""
    per_layer = in_all(policy, SHOWN).per_layer()
    return cache_speed(*per_layer, SHOWN, MODELS[MODEL.lower()], find_gpu(gpu), find_link(link))


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
    rows = []
    for gpu, link in MACHINES:
        speeds = [_speed(name, gpu, link) for name in POLICIES]
        cells = [f"{speed.tokens_per_s:.1f}" for speed in speeds]
        machine = f"{find_gpu(gpu).name}, {find_link(link).name}"
        rows.append([machine, *cells, f"{speeds[0].all_fit_tokens_per_s:.0f}"])
    return table(["tokens a second", *(f"`{name}`" for name in POLICIES), "all fit"], rows)


def _origin() -> str:
    said = origin()
    return (
        f"Source: {said['source']}, commit {said['commit']}; {said['licence']}. The model is the "
        "base that was fine-tuned there, and tasks differ in language, too. The prompt that begins "
        "each document of a task is left out. The table "
        f"`moe/expert_cache/deepseek-v2-lite.csv` is written by `{said['command']}`."
    )
