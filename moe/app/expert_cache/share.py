"""What a visitor takes along from the page: its figures as JSON, and what reproduces them."""

from __future__ import annotations

from ..shared.sharing import json_document
from .story import LittleMemory, as_json


def document(settings: LittleMemory) -> bytes:
    """Counts, rates and speeds of every policy."""
    return json_document("expert-cache", as_json(settings))


def code(settings: LittleMemory) -> str:
    """Code of the page: what each policy keeps, and what that makes of a machine."""
    return f"""\
from moe.app.expert_cache.story import LittleMemory, rows, speed_words, verdict

settings = {settings.as_call()}
for row in rows(settings):
    print(row)
print(verdict(settings.slots, settings.task))
print(speed_words(settings))

# A recording of your own: moe cache trace.npz --slots {settings.slots}
"""
