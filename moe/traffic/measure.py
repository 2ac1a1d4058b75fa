"""What is counted in a trace: loads, experts read together, and what neighbours share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import check_int
from ..traces import Trace

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FEW_WINDOWS = 200  # of fewer, a mean says little
ALIKE = 0.6  # of a task's documents: what so many have at a place is the task's template


def template_lengths(trace: Trace, alike: float = ALIKE) -> list[int]:
    """How many tokens at the head of each domain's documents are its template, (D,).

    As long as the most frequent choice of the first recorded layer, which sees little but the
    token itself, is that of at least `alike` of the documents. A single document has no template:
    what it shares with others cannot be told.

    Raises
    ------
    ValueError
        If the trace has no domains.
    """
    domain_N = _domains(trace)
    start_S, length_S = _documents(trace)
    choice_NK = np.sort(trace.expert_LNK[0], axis=1)
    lengths = []
    for domain in range(len(trace.domains)):
        of_S = domain_N[start_S] == domain
        length = 0
        for at in range(int(length_S[of_S].min()) if of_S.sum() > 1 else 0):
            _, times = np.unique(choice_NK[start_S[of_S] + at], axis=0, return_counts=True)
            if times.max() < alike * of_S.sum():
                break
            length = at + 1
        lengths.append(length)
    return lengths


def without_templates(trace: Trace, lengths: Sequence[int]) -> Trace:
    """The trace without the first tokens of each domain's documents.

    Raises
    ------
    ValueError
        If the trace has no domains.
    """
    domain_N = _domains(trace)
    start_S, length_S = _documents(trace)
    place_N = np.arange(trace.n_tokens) - np.repeat(start_S, length_S)
    return trace.part(np.flatnonzero(place_N >= np.asarray(lengths)[domain_N]))


def _domains(trace: Trace) -> np.ndarray:
    if trace.domain_N is None:
        raise ValueError("trace: got one without domains, allowed is one with them")
    return trace.domain_N


def _documents(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Place of each document's first token, and its length: a sequence ends where a domain does."""
    begins_N = np.diff(trace.sequence_N, prepend=trace.sequence_N[:1] - 1) != 0
    if trace.domain_N is not None:
        begins_N |= np.diff(trace.domain_N, prepend=-1) != 0
    start_S = np.flatnonzero(begins_N)
    return start_S, np.diff(start_S, append=trace.n_tokens)


def domain_loads(trace: Trace) -> np.ndarray:
    """Assignments of each expert by domain and layer, (D, L, E) int64; one domain without names."""
    domain_N = np.zeros(trace.n_tokens, np.int64) if trace.domain_N is None else trace.domain_N
    n_domains, n_experts = max(len(trace.domains), 1), trace.n_experts
    load_LDE = np.zeros((trace.n_layers, n_domains, n_experts), np.int64)
    for load_DE, expert_NK in zip(load_LDE, trace.expert_LNK, strict=True):
        token_A, rank_A = np.nonzero(expert_NK >= 0)
        cell_A = domain_N[token_A].astype(np.int64) * n_experts + expert_NK[token_A, rank_A]
        load_DE[:] = np.bincount(cell_A, minlength=load_DE.size).reshape(load_DE.shape)
    return load_LDE.transpose(1, 0, 2)


def reads_of_loads(load_RE: np.ndarray, n_tokens: int, sizes: Sequence[int]) -> np.ndarray:
    """Experts that N of the counted tokens read, on average over all ways to take them, (R, S).

    Exact: an expert with load c stays unread with the chance C(T - c, N) / C(T, N).

    Parameters
    ----------
    load_RE
        How many of the tokens chose each expert.
    n_tokens
        T, all tokens.

    Raises
    ------
    ValueError
        If N is more than there are.
    """
    from scipy.special import gammaln

    columns = []
    for n in sizes:
        check_int("sizes", n, 0, n_tokens, f"there are {n_tokens} tokens")
        rest_RE = n_tokens - np.asarray(load_RE, float)
        room_RE = np.maximum(rest_RE - n, 0)
        ways = gammaln(rest_RE + 1) - gammaln(room_RE + 1)
        all_ways = gammaln(n_tokens + 1) - gammaln(n_tokens - n + 1)
        unread_RE = np.where(rest_RE >= n, np.exp(ways - all_ways), 0.0)
        columns.append((1 - unread_RE).sum(axis=1))
    return np.stack(columns, axis=1)


def windows(trace: Trace, sizes: Sequence[int] = SIZES) -> tuple[np.ndarray, np.ndarray]:
    """Experts that N consecutive tokens of a document read, and of how many windows that is.

    Returns
    -------
    read_DS, window_DS
        Mean over a domain's windows and the layers (NaN without windows); number of windows.
    """
    domain_N = np.zeros(trace.n_tokens, np.int64) if trace.domain_N is None else trace.domain_N
    n_domains = max(len(trace.domains), 1)
    start_S, length_S = _documents(trace)
    start_N = np.repeat(start_S, length_S)
    end_N = start_N + np.repeat(length_S, length_S)
    seen_DS = np.zeros((n_domains, len(sizes)))
    for expert_NK in trace.expert_LNK:
        at_A, rank_A = np.nonzero(expert_NK >= 0)
        expert_A = expert_NK[at_A, rank_A]
        order_A = np.lexsort((at_A, expert_A))
        at_A, expert_A = at_A[order_A], expert_A[order_A]
        # An expert counts in the windows that begin after its last turn before.
        before_A = np.full(len(at_A), -1)
        before_A[1:] = np.where(expert_A[1:] == expert_A[:-1], at_A[:-1], -1)
        for column, n in enumerate(sizes):
            low_A = np.maximum(np.maximum(before_A, at_A - n) + 1, start_N[at_A])
            high_A = np.minimum(at_A, end_N[at_A] - n)
            counted_A = np.maximum(high_A - low_A + 1, 0)
            seen_DS[:, column] += np.bincount(domain_N[at_A], counted_A, minlength=n_domains)
    window_DS = np.stack(
        [
            np.bincount(domain_N[start_S], np.maximum(length_S - n + 1, 0), minlength=n_domains)
            for n in sizes
        ],
        axis=1,
    ).astype(np.int64)
    with np.errstate(invalid="ignore"):
        return seen_DS / (window_DS * trace.n_layers), window_DS


def shared_by_neighbours(trace: Trace) -> np.ndarray:
    """Share of a token's experts that the token before it had, too, (D, L); NaN without pairs."""
    domain_N = np.zeros(trace.n_tokens, np.int64) if trace.domain_N is None else trace.domain_N
    n_domains = max(len(trace.domains), 1)
    at_P = np.setdiff1d(np.arange(1, trace.n_tokens), _documents(trace)[0])
    shared_LD = np.zeros((trace.n_layers, n_domains))
    for shared_D, expert_NK in zip(shared_LD, trace.expert_LNK, strict=True):
        here_PK, before_PK = expert_NK[at_P], expert_NK[at_P - 1]
        same_PKK = (here_PK[:, :, None] == before_PK[:, None]) & (here_PK >= 0)[:, :, None]
        share_P = same_PKK.sum(axis=(1, 2)) / np.maximum((here_PK >= 0).sum(axis=1), 1)
        shared_D[:] = np.bincount(domain_N[at_P], share_P, minlength=n_domains)
    with np.errstate(invalid="ignore"):
        return np.asarray((shared_LD / np.bincount(domain_N[at_P], minlength=n_domains)).T)
