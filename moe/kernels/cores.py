"""How many cores this process may use: its affinity, and the quotas of its container."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

WITHOUT_LIMIT = 10**6


def allowed_cores() -> int:
    """Cores that the system gives this process, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cores, _own_quota()))


@cache
def _own_quota() -> int:
    return quota_cores()


def quota_cores(root: Path = Path("/")) -> int:
    """Whole cores that control groups of either version allow, or a large number without a limit.

    A group's limit also binds the groups inside it; a container may see its own group as the top.
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
    """Contents of a small file, split; nothing if it cannot be read."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip().split(separator)
    except OSError:
        return []
