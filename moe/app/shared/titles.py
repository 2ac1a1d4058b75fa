"""Words of menus for what has but a short name in the library."""

from __future__ import annotations

TASK_TITLES = {
    "text": "A real text",
    "spirals": "Two spirals",
    "checkerboard": "A checkerboard",
    "moons": "Two moons",
    "linear_maps": "Regions with a rule each",
    "dialects": "Words of several dialects",
}
DROP_TITLES = {
    "none": "nobody is turned away",
    "order": "who comes later",
    "score": "who counts least",
    "rank": "second choices, then who comes later",
    "batch_priority": "second choices, then who is least sure",
    "random": "whoever a die picks",
    "reroute": "who comes later, who then tries the next best",
    "sequence": "who counts least on a device",
}
