"""Kernels of the language model give the numbers that PyTorch gives."""

from __future__ import annotations

import pytest


@pytest.mark.parity
def test_every_kernel_that_is_timed_gives_pytorchs_numbers() -> None:
    from benchmarks import lm_kernels  # PyTorch is there only where parity is asked for

    names = []
    for pair in lm_kernels.pairs():
        assert pair.check(pair.ours(), pair.theirs()), pair.name
        names.append(pair.name.split(",")[0])
    assert set(names) == {"attention", "AdamW", "classifier", "RMS norm", "Newton-Schulz"}
