"""How many cores this process may use, by its affinity and by the quotas of its container."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

WITHOUT_LIMIT = 10**6


def allowed_cores() -> int:
    """Number of cores that this process may use, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cores, _own_quota()))


@cache
def _own_quota() -> int:
    return quota_cores()


def quota_cores(root: Path = Path("/")) -> int:
    """Cores that control groups of version 1 or 2 allow, rounded up; `WITHOUT_LIMIT` if no quota.

    The limit of a group also holds for the groups inside it, so that all of them are read up to
    the root. A container may see its own group as the root.
    """
    limits = [WITHOUT_LIMIT]
    for line in _words(root / "proc/self/cgroup", "\n") or ["0::/"]:
        _, _, names_and_path = line.partition(":")
        names, _, path = names_and_path.partition(":")
        if names and "cpu" not in names.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if names else "")
        below = Path(path.lstrip("/"))
        for group in (below, *below.parents):  # ends with ".", the top
            if names:
                quota = _words(mount / group / "cpu.cfs_quota_us")
                limit = quota + _words(mount / group / "cpu.cfs_period_us")
            else:
                limit = _words(mount / group / "cpu.max")
            if len(limit) == 2 and all(word.isdigit() for word in limit) and int(limit[1]):
                limits.append(max(1, -(-int(limit[0]) // int(limit[1]))))
    return min(limits)


def _words(file: Path, separator: str | None = None) -> list[str]:
    """Contents of a small file, split; an empty list if it cannot be read."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip().split(separator)
    except OSError:
        return []
