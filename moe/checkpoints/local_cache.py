"""Where the local cache of the Hugging Face hub keeps a model; nothing is downloaded."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import CheckpointError
from .files import CONFIG
from .header import read_limited

NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
REVISION = re.compile(rb"[0-9a-f]{4,64}")
MAX_REFERENCE = 1000


def cached_folder(name: str) -> Path | None:
    """The folder of a model by its name on the hub, such as 'org/model', or None.

    It is that of the main branch, if the cache says which one that is, and holds a config.json.
    """
    if not NAME.fullmatch(name) or ".." in name:
        return None
    model = _cache() / f"models--{name.replace('/', '--')}"
    try:
        revision = read_limited(model / "refs" / "main", "refs/main", MAX_REFERENCE).strip()
    except CheckpointError:
        return None
    if not REVISION.fullmatch(revision):
        return None
    folder = model / "snapshots" / revision.decode()
    return folder if (folder / CONFIG).is_file() else None


def _cache() -> Path:
    """The cache's folder, by the variables that the hub's own library reads."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if place := os.environ.get(variable):
            return Path(place).expanduser()
    home = os.environ.get("HF_HOME")
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home or Path(caches, "huggingface")).expanduser() / "hub"
