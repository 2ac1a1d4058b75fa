"""What is counted in a trace equals sets counted one by one."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from moe.traces import Trace, make_trace
from moe.traffic import measure

E, K, L = 8, 2, 3


def some_trace(rng: np.random.Generator, lengths: list[int], domain_S: list[int]) -> Trace:
    n = sum(lengths)
    expert_LNK = rng.random((L, n, E)).argsort(axis=2)[:, :, :K]
    expert_LNK[:, 1::3] = expert_LNK[:, 0:-1:3][:, : len(expert_LNK[0, 1::3])]  # neighbours repeat
    return make_trace(
        expert_LNK, np.full((L, n, K), 0.5), E, sequence_N=np.repeat(range(len(lengths)), lengths),
        domain_N=np.repeat(domain_S, lengths), domains=("a", "b"),
    )  # fmt: skip


def test_windows_are_those_counted_as_sets(rng: np.random.Generator) -> None:
    lengths, domain_S = [5, 1, 9, 4], [0, 0, 1, 0]
    trace = some_trace(rng, lengths, domain_S)
    sizes = (1, 2, 3, 5, 6, 20)
    read_DS, window_DS = measure.windows(trace, sizes)
    for column, n in enumerate(sizes):
        for domain in (0, 1):
            seen = []
            for start, length, of in zip(np.cumsum([0, *lengths]), lengths, domain_S):
                for first in range(start, start + length - n + 1) if of == domain else ():
                    seen += [
                        len(set(trace.expert_LNK[layer, first : first + n].ravel()))
                        for layer in range(L)
                    ]
            assert window_DS[domain, column] * L == len(seen)
            if seen:
                assert read_DS[domain, column] == pytest.approx(np.mean(seen), abs=1e-12)
            else:
                assert np.isnan(read_DS[domain, column])


def test_reads_of_loads_are_the_mean_over_all_batches(rng: np.random.Generator) -> None:
    chosen_NK = rng.random((7, E)).argsort(axis=1)[:, :K]
    chosen_NK[:4] = [0, 1]
    load_E = np.bincount(chosen_NK.ravel(), minlength=E)
    for n in (1, 2, 5, 7):
        batches = [len(set(chosen_NK[list(at)].ravel())) for at in combinations(range(7), n)]
        made = measure.reads_of_loads(load_E[None], 7, [n])[0, 0]
        assert made == pytest.approx(np.mean(batches), abs=1e-9)


def test_shares_and_loads_are_those_counted_one_by_one(rng: np.random.Generator) -> None:
    trace = some_trace(rng, [5, 1, 9, 4], [0, 0, 1, 0])
    shared_DL, load_DLE = measure.shared_by_neighbours(trace), measure.domain_loads(trace)
    for domain in (0, 1):
        for layer in range(L):
            shares, load_E = [], [0] * E
            for n in range(trace.n_tokens):
                if trace.domain_N[n] != domain:
                    continue
                here = trace.expert_LNK[layer, n].tolist()
                for expert in here:
                    load_E[expert] += 1
                if n and trace.sequence_N[n] == trace.sequence_N[n - 1]:
                    before = trace.expert_LNK[layer, n - 1].tolist()
                    shares.append(len(set(here) & set(before)) / K)
            assert shared_DL[domain, layer] == pytest.approx(np.mean(shares))
            assert load_DLE[domain, layer].tolist() == load_E


def test_a_template_is_what_most_documents_begin_with(rng: np.random.Generator) -> None:
    trace = some_trace(rng, [9] * 10 + [4] * 5, [0] * 10 + [1] * 5)
    expert_LNK = np.array(trace.expert_LNK)
    for document in range(10):
        rows = expert_LNK[0, 9 * document : 9 * document + 9]
        # Four tokens of all documents, in any order of rank; the fifth of half of them.
        for at in range(4 + (document < 5)):
            rows[at] = [at, at + 1] if document % 2 else [at + 1, at]
        for at in range(4 + (document < 5), 9):
            rows[at] = [(document + at) % 8, (document + at + 3) % 8]
    for document in range(5):  # the other domain has no two documents alike
        expert_LNK[0, 90 + 4 * document] = [document, document + 1]
    trace = make_trace(
        expert_LNK, trace.weight_LNK, E, sequence_N=trace.sequence_N, domain_N=trace.domain_N,
        domains=trace.domains,
    )  # fmt: skip
    assert measure.template_lengths(trace) == [4, 0]
    cut = measure.without_templates(trace, [4, 0])
    assert cut.n_tokens == 10 * 5 + 5 * 4
    assert (cut.expert_LNK[:, :5] == expert_LNK[:, 4:9]).all()
    assert (cut.expert_LNK[:, 50:] == expert_LNK[:, 90:]).all()


def test_a_trace_without_domains_is_one_domain(rng: np.random.Generator) -> None:
    whole = some_trace(rng, [5, 9], [0, 1])
    plain = make_trace(np.array(whole.expert_LNK), whole.weight_LNK, E, sequence_N=whole.sequence_N)
    assert (measure.domain_loads(plain)[0] == measure.domain_loads(whole).sum(axis=0)).all()
    assert measure.windows(plain, (2,))[1].tolist() == [[4 + 8]]
    assert measure.shared_by_neighbours(plain).shape == (1, L)


def test_a_document_ends_where_its_domain_does(rng: np.random.Generator) -> None:
    """A trace may name domains and no sequences: then one sequence goes through all of them."""
    split = some_trace(rng, [7, 5, 9], [0, 1, 0])
    joined = make_trace(
        np.array(split.expert_LNK), split.weight_LNK, E, domain_N=split.domain_N,
        domains=split.domains,
    )  # fmt: skip
    for one, other in zip(measure.windows(joined, (1, 3, 6)), measure.windows(split, (1, 3, 6))):
        assert np.array_equal(one, other, equal_nan=True)
    assert np.array_equal(measure.shared_by_neighbours(joined), measure.shared_by_neighbours(split))
    assert measure.template_lengths(joined) == measure.template_lengths(split)
    cut = measure.without_templates(joined, [2, 1])
    assert cut.expert_LNK.tolist() == measure.without_templates(split, [2, 1]).expert_LNK.tolist()
    assert cut.n_tokens == 5 + 4 + 7


def test_a_single_document_has_no_template(rng: np.random.Generator) -> None:
    trace = some_trace(rng, [6, 6], [0, 1])
    assert measure.template_lengths(trace) == [0, 0]


def test_what_cannot_be_counted_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"sizes: got 8, allowed is a whole number in 0..7"):
        measure.reads_of_loads(np.array([[1, 2]]), 7, [8])
    plain = make_trace(np.array([[[0]]]), np.ones((1, 1, 1)), E)
    for count in (measure.template_lengths, lambda one: measure.without_templates(one, [0])):
        with pytest.raises(ValueError, match="got one without domains"):
            count(plain)
