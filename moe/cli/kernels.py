"""Kernels are loaded before a command computes, and a first run says why it waits."""

from __future__ import annotations

from .. import kernels
from .output import err


def prepare_kernels() -> None:
    """Load the kernels, saying what is compiled if this is the first run."""
    from ..speed.warm import FIRST_TIME, first_run, unsaved, warm

    if not first_run():
        return
    width = f"vectors of {kernels.VECTOR_BYTES} bytes"
    err.print(f"First run here: compiling the kernels for {width}, once; it takes {FIRST_TIME}.")
    for step in warm():
        if step.compiled:
            err.print(f"  {step.describe()}")
    if unsaved():
        err.print(f"The next run has to compile again: {unsaved()}")
