"""Two short runs that tests of several pages look at."""

from __future__ import annotations

import pytest

import moe
from moe.training.runs import run


@pytest.fixture(scope="session")
def two_runs() -> list:
    small = dict(steps=60, batch=128, d_model=16, d_expert=16, n_experts=8)
    return [run(moe.TrainSettings(balance=name, **small)) for name in ("none", "bias")]
