"""How many experts a batch reads, and with how few it would do: opportunistic activation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import check_int
from ..opportunistic import piggyback
from .trace import Trace

DRAWS = 100  # batches of each domain


@dataclass(frozen=True)
class BatchReads:
    """What batches of tokens of one kind read, on average over layers and batches.

    Attributes
    ----------
    domain
        Whose tokens the batches hold; '' where the trace has no domains.
    k0
        Choices of each token that stay; its others stay where the batch reads their experts.
    experts
        Different experts that a batch reads in a layer.
    gate_mass
        Share of all weights that is left.
    choices
        Experts that a token has left.
    """

    domain: str
    k0: int
    experts: float
    gate_mass: float
    choices: float


def batch_reads(
    trace: Trace, batch: int, draws: int = DRAWS, seed: int = 0
) -> Iterator[BatchReads]:
    """Count what batches read, for every k0 from the trace's k down to 1, domain by domain.

    A trace knows a token's own choices only, so no token gets an expert that it had not chosen
    (`maxP` = k in arXiv 2511.02237, whose batches may go further down a token's list).

    Parameters
    ----------
    trace
        Choices with weights.
    batch
        Tokens of a batch, drawn from one domain without repetition.
    draws
        Batches of each domain.
    seed
        Of the draws; the same batches serve every k0.

    Raises
    ------
    ValueError
        If a number is not allowed, or a domain has fewer tokens than a batch.
    """
    check_int("draws", draws, 1)
    check_int("seed", seed, 0)
    domain_N = np.zeros(trace.n_tokens, np.int32) if trace.domain_N is None else trace.domain_N
    least = min((int(n) for n in np.bincount(domain_N) if n), default=0)
    check_int("batch", batch, 1, least, "tokens of the smallest domain")
    rng = np.random.default_rng(seed)
    for label in np.unique(domain_N):
        own = np.flatnonzero(domain_N == label)
        batches = [rng.choice(own, batch, replace=False) for _ in range(draws)]
        for k0 in range(trace.k, 0, -1):
            name = trace.domains[label] if trace.domains else ""
            yield _reads(trace, batches, name, k0)


def _reads(trace: Trace, batches: list[np.ndarray], domain: str, k0: int) -> BatchReads:
    experts, kept, weight, weight_kept, tokens = 0, 0, 0.0, 0.0, 0
    for batch_B in batches:
        for expert_NK, weight_NK in zip(trace.expert_LNK, trace.weight_LNK, strict=True):
            expert_BK, weight_BK = expert_NK[batch_B], weight_NK[batch_B].astype(np.float64)
            kept_BK = piggyback(expert_BK, k0)
            experts += len(np.unique(expert_BK[kept_BK]))
            kept += int(kept_BK.sum())
            tokens += len(batch_B)
            weight += float(weight_BK.sum())
            weight_kept += float(weight_BK[kept_BK].sum())
    passes = len(batches) * trace.n_layers
    return BatchReads(
        domain, k0, experts / passes, weight_kept / weight if weight else 0.0, kept / tokens
    )
