"""What a batch reads: counted once more token by token, and beside what must hold."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from moe.traces import Trace, load_trace, make_trace
from moe.traces.reads import batch_reads
from moe.traces.samples import SAMPLES


@pytest.fixture(scope="module")
def trace() -> Trace:
    rng = np.random.default_rng(0)
    expert_LNK = np.argsort(rng.random((2, 30, 12)), axis=2)[:, :, :4]
    weight_LNK = -np.sort(-rng.random((2, 30, 4)), axis=2)
    labels_N = np.repeat([0, 1], [10, 20])
    return make_trace(expert_LNK, weight_LNK, 12, domain_N=labels_N, domains=("a", "b"))


def test_a_batch_of_a_whole_domain_is_counted_as_by_hand(trace: Trace) -> None:
    found = {(one.domain, one.k0): one for one in batch_reads(trace, 10, draws=1)}
    assert [k0 for domain, k0 in found if domain == "a"] == [4, 3, 2, 1]
    for k0 in (1, 2, 3, 4):
        read, mass, choices = 0, 0.0, 0
        for layer in range(2):
            base = {int(e) for token in range(10) for e in trace.expert_LNK[layer, token, :k0]}
            read += len(base)
            for token in range(10):
                for rank in range(4):
                    if rank < k0 or int(trace.expert_LNK[layer, token, rank]) in base:
                        mass += float(trace.weight_LNK[layer, token, rank])
                        choices += 1
        one = found["a", k0]
        assert one.experts == read / 2 and one.choices == choices / 20
        assert one.gate_mass == pytest.approx(mass / float(trace.weight_LNK[:, :10].sum()))


def test_fewer_choices_read_less_and_all_of_them_lose_nothing() -> None:
    trace = load_trace(SAMPLES[0].path)
    rows = list(batch_reads(trace, 16, draws=5))
    assert rows == list(batch_reads(trace, 16, draws=5))
    for domain in trace.domains:
        own = [one for one in rows if one.domain == domain]
        assert own[0].gate_mass == 1 and own[0].choices == trace.k
        for more, less in pairwise(own):
            assert less.experts < more.experts and less.gate_mass < more.gate_mass
    assert {one.domain for one in rows} == set(trace.domains)


def test_batches_that_a_domain_does_not_have_are_refused(trace: Trace) -> None:
    with pytest.raises(ValueError, match=r"batch: got 11, allowed is a whole number in 1..10"):
        next(batch_reads(trace, 11))
    with pytest.raises(ValueError, match="draws: got 0"):
        next(batch_reads(trace, 4, draws=0))


def test_analyze_shows_them_if_it_is_asked(run_moe: Any) -> None:
    path = str(SAMPLES[0].path)
    said = json.loads(run_moe("analyze", path, "--batch", "16", "--no-myths", "--json").stdout)
    trace = load_trace(path)
    assert said["reads"] == [vars(one) for one in batch_reads(trace, 16)]
    assert "reads" not in json.loads(run_moe("analyze", path, "--no-myths", "--json").stdout)
    text = run_moe("analyze", path, "--batch", "16", "--no-myths", COLUMNS="200").stdout
    assert "experts read" in text and "gate mass left" in text
    assert "batch: got 0" in run_moe("analyze", path, "--batch", "0", code=2).stderr
