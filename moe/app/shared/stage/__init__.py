"""The stage: letters, router and experts of a run, packed in Python and drawn in the browser."""

from .packing import RANKS as RANKS
from .packing import pack as pack
from .script import stage_css as stage_css
from .script import stage_js as stage_js
