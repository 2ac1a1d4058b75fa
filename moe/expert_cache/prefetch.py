"""Prefetch: experts are read before they are asked for, as the past lets expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Requests, likeliest
from .lru import LeastRecent


@dataclass(frozen=True)
class FromLastToken(LeastRecent):
    """The k experts are read ahead that followed the last token's experts most often, then LRU.

    The last token's own experts need no reading: LRU has kept them.
    """

    name: ClassVar[str] = "last_token"
    title: ClassVar[str] = "LRU, and reading ahead by the last token"
    source: ClassVar[str] = "counts of what followed what, as in a Markov chain"
    past: ClassVar[str] = "own"

    def ahead(self, requests: Requests) -> np.ndarray:
        """Experts that likely follow; none before the first token. See `Policy.ahead`."""
        ahead_NP = likeliest(requests.expert_NK, requests.known_past.after_EE, requests.k)
        return np.concatenate([np.full_like(ahead_NP[:1], -1), ahead_NP[:-1]])


@dataclass(frozen=True)
class FromLastLayer(LeastRecent):
    """The k experts are read ahead that most often went with the token's in the layer before.

    In the first recorded layer nothing is read ahead, and the cache is LRU.
    """

    name: ClassVar[str] = "last_layer"
    title: ClassVar[str] = "LRU, and reading ahead by the last layer"
    source: ClassVar[str] = (
        "after Eliseev and Mazur 2023, arXiv 2312.17238, who ask the next layer's gate"
    )
    past: ClassVar[str] = "own"

    def ahead(self, requests: Requests) -> np.ndarray:
        """Experts that likely go with those below; see `Policy.ahead`."""
        below_EE = requests.known_past.below_EE
        if requests.below_NK is None or below_EE is None:
            return super().ahead(requests)
        return likeliest(requests.below_NK, below_EE, requests.k)
