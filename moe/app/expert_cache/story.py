"""What a cache of experts finds of a real model's routing: numbers, and their words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...cost import GPUS, MODELS, find_gpu
from ...cost.links import LINKS, find_link
from ...expert_cache import POLICIES
from ...expert_cache.published import (
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
from ...expert_cache.speed import ASSUMPTIONS, CacheSpeed, cache_speed
from ...settings import Settings, option

SIZES = sizes()
EVERY = "all four"
TASKS = (EVERY, *(row.task for row in by_task("lru", SIZES[0])))
# Short enough for a phone; the library's titles are longer.
NAMES = {
    "lru": "the latest used", "lfu": "the most used so far", "pinned": "this task's favourites",
    "pinned_other": "another task's favourites", "last_token": "the latest, reading ahead by token",
    "last_layer": "the latest, reading ahead by layer", "belady": "knowing the future",
}  # fmt: skip
MACHINES = {gpu.name: key for key, gpu in GPUS.items() if gpu.kind != "data centre"}
WAYS = {link.name: key for key, link in LINKS.items()}
ALL_FIT = "if all experts fitted"


@dataclass(frozen=True)
class LittleMemory(Settings):
    """How many experts of a layer find room, on which text, and where the others are read from."""

    slots: int = option(16, "Experts of a layer that find room.", among=SIZES)
    task: str = option(EVERY, "Whose text.", among=TASKS)
    machine: str = option("GeForce RTX 4090", "Fast memory.", among=MACHINES)
    way: str = option(LINKS["ssd"].name, "What the others are read over.", among=WAYS)


def kept(policy: str, slots: int, task: str = EVERY) -> PublishedCache:
    """Counts of a policy, one size and one task, or all of them."""
    if task == EVERY:
        return in_all(policy, slots)
    (row,) = (row for row in by_task(policy, slots) if row.task == task)
    return row


def chance(slots: int) -> float:
    """Share of requests that experts kept at random would meet."""
    return slots / N_EXPERTS


def verdict(slots: int, task: str = EVERY) -> str:
    """What stays under the rules that people use, against chance and against the best possible."""
    lru, own, other, best = (
        f"{kept(name, slots, task).hit_rate:.0%}"
        for name in ("lru", "pinned", "pinned_other", "belady")
    )
    return (
        f"With room for {slots} of {N_EXPERTS} experts, the latest used are there {lru} of the "
        f"time, and at best it could be {best}. A task's own favourites are there {own} of the "
        f"time, another task's {other}; any {slots} would be there {chance(slots):.0%}."
    )


def ahead_words(slots: int, task: str = EVERY) -> str:
    """What reading ahead saves in waiting, and what it costs in reading."""
    waits, reads = kept("last_layer", slots, task).against(kept("lru", slots, task))
    return (
        f"Reading ahead, going by the layer before, a token waits for {_change(waits)} experts, "
        f"and {_change(reads)} are read: guesses that come to nothing are read, too."
    )


def _change(part: float) -> str:
    if abs(part) < 0.005:
        return "as many"
    return f"{abs(part):.0%} {'fewer' if part < 0 else 'more'}"


def speeds(settings: LittleMemory) -> dict[str, CacheSpeed]:
    """Tokens a second of each policy."""
    model = MODELS[MODEL.lower()]
    gpu, link = find_gpu(MACHINES[settings.machine]), find_link(WAYS[settings.way])
    found = {}
    for policy in POLICIES:
        one = kept(policy, settings.slots, settings.task)
        found[policy] = cache_speed(*one.per_layer(), settings.slots, model, gpu, link)
    return found


def speed_words(settings: LittleMemory) -> str:
    """How fast the model writes, under whom, and how much memory its part takes."""
    found = speeds(settings)
    possible = {name: one.tokens_per_s for name, one in found.items() if name != "belady"}
    best = max(possible, key=lambda name: possible[name])
    one = found[best]
    fits = "fits" if one.fits else "does not fit"
    return (
        f"Without knowing the future, {one.tokens_per_s:.3g} tokens a second at best "
        f"({NAMES[best]}), where all experts in memory would give {one.all_fit_tokens_per_s:.3g}. "
        "What stays in memory takes "
        f"{one.memory_bytes / 1e9:.1f} GB at 4 bits a weight, which {fits}."
    )


def about() -> str:
    """Where the figures are from, and what they assume."""
    said = origin()
    return (
        f"{MODEL}: {LAYERS} layers of {N_EXPERTS} experts, {K} for each token. Its choices on four "
        "tasks were published by DeepSeek (deepseek-ai/ESFT, commit "
        f"{said['commit'][:8]}, MIT). The first half of each task is the past, the second half is "
        "replayed. " + " ".join(ASSUMPTIONS[:3])
    )


def rows(settings: LittleMemory) -> list[dict[str, Any]]:
    """All figures of a size and a task, for a table."""
    found = speeds(settings)
    table = []
    for policy in POLICIES:
        one = kept(policy, settings.slots, settings.task)
        table.append(
            {
                "what stays": NAMES[policy],
                "there": f"{one.hit_rate:.1%}",
                "there in time": f"{one.ready_rate:.1%}",
                "experts read for a token": f"{one.reads_per_token:.1f}",
                "waited for": f"{one.waits_per_token:.1f}",
                "tokens a second": f"{found[policy].tokens_per_s:.1f}",
            }
        )
    return table


def as_json(settings: LittleMemory) -> dict[str, Any]:
    """Figures of the page as plain numbers."""
    found = speeds(settings)
    return {
        "settings": asdict(settings),
        "origin": origin(),
        "chance": chance(settings.slots),
        "policies": [
            {
                **asdict(kept(policy, settings.slots, settings.task)),
                "hit_rate": kept(policy, settings.slots, settings.task).hit_rate,
                **found[policy].as_json(),
            }
            for policy in POLICIES
        ],
    }
