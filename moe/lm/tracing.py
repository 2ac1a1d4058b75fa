"""Which experts a language model chooses for the bytes of some texts, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data import token_text
from ..data.documents import Document
from ..routing import Routing
from ..traces import Trace, trace_of_routings
from .data import Windows
from .model import LanguageModel


def record_model(model: LanguageModel, documents: Sequence[Document], name: str = "lm") -> Trace:
    """Record the routing of every layer that has experts.

    Parameters
    ----------
    model
        A model whose tokens are bytes, and which has experts.
    documents
        Texts, each cut into pieces of the model's context that it reads one by one.
    name
        Name of the model in the trace.

    Returns
    -------
    Trace
        With logits; the numbers of its layers are those in the model.

    Raises
    ------
    ValueError
        If the model has no experts or its tokens are not bytes, or there is no text.
    """
    numbers = [n for n in range(model.config.n_layers) if model.config.is_moe(n)]
    if not numbers:
        raise ValueError("model: got one without experts, allowed is one whose routing there is")
    if model.config.n_vocab < 256:
        raise ValueError(f"model: got {model.config.n_vocab} tokens, allowed are the 256 bytes")
    ids_S = [np.frombuffer(document.text, np.uint8).astype(np.int64) for document in documents]
    if not sum(map(len, ids_S)):
        raise ValueError("text: got no bytes, allowed is a text with some")
    pieces = [
        model.forward(ids_T[None, low : low + model.config.context]).routings
        for ids_T in ids_S
        for low in range(0, len(ids_T), model.config.context)
    ]
    ids_N = np.concatenate(ids_S)
    document_N = np.repeat(np.arange(len(ids_S)), [len(ids_T) for ids_T in ids_S])
    domains = tuple(dict.fromkeys(document.domain for document in documents))
    label_S = np.array([domains.index(document.domain) for document in documents])
    several = len(domains) > 1
    return trace_of_routings(
        [Routing.join(layer) for layer in zip(*pieces, strict=True)],
        ids_N,
        model=name,
        layers=numbers,
        tokens=[token_text(byte) for byte in ids_N.tolist()],
        sequence_N=document_N,
        domain_N=label_S[document_N] if several else None,
        domains=domains if several else (),
        context=model.config.context,
    )


def shortened(documents: Sequence[Document], max_tokens: int) -> list[Document]:
    """The texts, each cut to its first so many bytes."""
    return [Document(document.domain, document.text[:max_tokens]) for document in documents]


def held_out_documents(windows: Windows, max_tokens: int) -> list[Document]:
    """Held-out windows of every domain, spread over it, up to so many bytes of each.

    Every window is a text of its own, so that none is read behind another's words.
    """
    window_MT, label_M = windows.held_out
    per_domain = max(1, max_tokens // (window_MT.shape[1] - 1))
    found = []
    for label, name in enumerate(windows.names):
        own_M = np.flatnonzero(label_M == label)
        chosen = np.unique(np.linspace(0, len(own_M) - 1, per_domain).round().astype(int))
        for row_T in window_MT[own_M[chosen[: len(own_M)]], :-1]:
            found.append(Document(name, row_T.astype(np.uint8).tobytes()[:max_tokens]))
    return found
