"""What a cache keeps of a real model's routing: the table that ships, and its source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..cost.tables import origin_of, rows_of
from ..errors import check_choice

TABLE = "deepseek-v2-lite"
PATH = Path(__file__).parent / f"{TABLE}.csv"
MODEL, LAYERS, N_EXPERTS, K = "DeepSeek-V2-Lite", 26, 64, 6
COLUMNS = ("policy", "slots", "task", "tokens", "requests", "hits", "early", "reads")


@dataclass(frozen=True)
class PublishedCache:
    """Counts of one policy, one size of cache and one task, over all layers.

    `moe.expert_cache.replay.CacheResult` says what each is.
    """

    policy: str
    slots: int
    task: str
    tokens: int
    requests: int
    hits: int
    early: int
    reads: int

    @property
    def hit_rate(self) -> float:
        """Share of requests for which nothing had to be read."""
        return self.hits / self.requests

    @property
    def ready_rate(self) -> float:
        """Share of requests whose expert was there, read ahead or not."""
        return (self.hits + self.early) / self.requests

    @property
    def reads_per_token(self) -> float:
        """Experts that a token's way through all layers reads."""
        return self.reads / self.tokens

    @property
    def waits_per_token(self) -> float:
        """Experts that a token has to wait for."""
        return (self.requests - self.hits - self.early) / self.tokens

    def per_layer(self) -> tuple[float, float]:
        """Experts that a token reads, and those that it waits for, in a layer on average."""
        return self.reads_per_token / LAYERS, self.waits_per_token / LAYERS

    def against(self, other: PublishedCache) -> tuple[float, float]:
        """By how much a token waits for more experts than under another policy, and reads more.

        Shares of the other's; less than 0 is fewer.
        """
        return (
            self.waits_per_token / other.waits_per_token - 1,
            self.reads_per_token / other.reads_per_token - 1,
        )


def summed(rows: Iterable[PublishedCache]) -> PublishedCache:
    """One policy and size over several tasks."""
    rows = tuple(rows)
    counts = (sum(getattr(row, name) for row in rows) for name in COLUMNS[3:])
    return PublishedCache(rows[0].policy, rows[0].slots, ", ".join(r.task for r in rows), *counts)


@lru_cache(maxsize=1)
def published() -> tuple[PublishedCache, ...]:
    """The table of DeepSeek-V2-Lite."""
    return tuple(
        PublishedCache(
            row["policy"], int(row["slots"]), row["task"],
            *(int(row[name]) for name in COLUMNS[3:]),
        )
        for row in rows_of(TABLE, __package__)
    )  # fmt: skip


def origin() -> dict[str, str]:
    """Source, commit, licence and command of the table, as it says itself."""
    return origin_of(TABLE, __package__)


@lru_cache(maxsize=64)
def by_task(policy: str, slots: int) -> tuple[PublishedCache, ...]:
    """Each task of the table under one policy and size.

    Raises
    ------
    ValueError
        If the table has no such policy or size.
    """
    check_choice("policy", policy, dict.fromkeys(row.policy for row in published()))
    check_choice("slots", str(slots), [str(size) for size in sizes()])
    return tuple(row for row in published() if (row.policy, row.slots) == (policy, slots))


@lru_cache(maxsize=64)
def in_all(policy: str, slots: int) -> PublishedCache:
    """All tasks of the table under one policy and size; see `by_task`."""
    return summed(by_task(policy, slots))


def sizes() -> tuple[int, ...]:
    """Sizes of cache in the table, ascending."""
    return tuple(sorted({row.slots for row in published()}))
