"""Routing of real models: what one is (`Trace`), and its files; docs/traces.md has the formats."""

from .files import LOCAL_BYTES, MAX_BYTES, check_ending, load_trace, read_bytes, save_trace
from .logits_csv import read_logits_csv, write_logits_csv
from .trace import NO_EXPERT, Trace, make_trace, trace_of_routings

__all__ = [
    "LOCAL_BYTES",
    "MAX_BYTES",
    "NO_EXPERT",
    "Trace",
    "check_ending",
    "load_trace",
    "make_trace",
    "read_bytes",
    "read_logits_csv",
    "save_trace",
    "trace_of_routings",
    "write_logits_csv",
]
