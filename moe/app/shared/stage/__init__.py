"""The stage: letters, router and experts of a run, packed in Python and drawn in the browser."""

from pathlib import Path

from .packing import RANKS as RANKS
from .packing import pack as pack

# What draws it, for a component that has it: its own script comes after these.
STAGE = tuple(Path(__file__).with_name(name) for name in ("track.js", "stage.js", "stage.css"))
