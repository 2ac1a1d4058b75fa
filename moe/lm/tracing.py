"""Which experts a language model chooses for the bytes of some texts, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data import token_text
from ..data.documents import Document
from ..routing import Routing
from ..traces import Trace, trace_of_routings
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
