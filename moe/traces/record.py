"""Record the routing of this library's own layers and of the tiny text model trained here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import TextTask, token_text, windows
from ..data.documents import Document
from ..errors import check_int
from ..layer import MoELayer
from ..training import Trainer, TrainSettings
from . import Trace, trace_of_routings

TINY = "tiny"


@dataclass(frozen=True)
class Recorded:
    """A trace, and what its reader should know of how it came about."""

    trace: Trace
    notes: tuple[str, ...] = ()


def record_layer(
    layer: MoELayer, x_ND: np.ndarray, token_ids_N: np.ndarray | None = None, **described: Any
) -> Trace:
    """Record how a layer routes given tokens: a trace of one layer.

    Parameters
    ----------
    x_ND, token_ids_N
        As for `MoELayer.forward`.
    described
        Keywords of `moe.traces.make_trace`, such as `tokens` and `sequence_N`.

    Raises
    ------
    ValueError
        If x has another shape or dtype, or holds NaN or infinity.
    """
    routing = layer.route(x_ND, token_ids=token_ids_N)
    return trace_of_routings([routing], token_ids_N, **described)


def record_trainer(trainer: Trainer, documents: Sequence[Document], model: str = TINY) -> Trace:
    """Record how a model in training routes the bytes of some texts; each sees those before it.

    Raises
    ------
    ValueError
        If the model does not read text, or there is no text.
    """
    if not isinstance(trainer.task, TextTask):
        raise ValueError(f"task: got {trainer.settings.task!r}, allowed is 'text'")
    texts = [document.text for document in documents]
    inputs_NC = np.concatenate([windows(text, trainer.settings.context) for text in texts or [b""]])
    if not len(inputs_NC):
        raise ValueError("text: got no bytes, allowed is a text with some")
    ids_N = inputs_NC[:, -1].astype(np.int64)
    domains = tuple(dict.fromkeys(document.domain for document in documents))
    label_S = [domains.index(document.domain) for document in documents]
    length_S = [len(text) for text in texts]
    several = len(domains) > 1
    return record_layer(
        trainer.layer,
        trainer.embed(inputs_NC),
        ids_N,
        model=model,
        tokens=[token_text(byte) for byte in ids_N.tolist()],
        sequence_N=np.repeat(np.arange(len(texts)), length_S),
        domain_N=np.repeat(label_S, length_S) if several else None,
        domains=domains if several else (),
        context=trainer.settings.context,
    )


def held_out_documents(trainer: Trainer, n_per_domain: int, size: int) -> list[Document]:
    """Texts of every domain of the trainer's corpus that its training never draws."""
    if not isinstance(trainer.task, TextTask):
        raise ValueError(f"task: got {trainer.settings.task!r}, allowed is 'text'")
    names = trainer.task.corpus.names
    texts = trainer.task.held_out_texts(n_per_domain, size)
    return [Document(names[label], text) for label, text in texts]


def record_tiny(
    settings: TrainSettings, documents: Sequence[Document] = (), max_tokens: int = 4096
) -> Recorded:
    """Train the tiny text model and record it on given texts, or on held-out ones of each domain.

    Parameters
    ----------
    max_tokens
        Most tokens of each document, and of each domain where none are given.

    Raises
    ------
    ValueError
        If the settings are not of the text task.
    """
    check_int("max_tokens", max_tokens, 1)
    trainer = Trainer(settings)
    loss = [record.loss for record in trainer.run()][-1]
    notes = [
        f"tiny model: {settings.n_experts} experts, router {settings.router}, balance "
        f"{settings.balance}, {settings.steps} steps, last loss {loss:.3f} nats per byte"
    ]
    if documents:
        documents = [Document(d.domain, d.text[:max_tokens]) for d in documents]
    else:
        documents = held_out_documents(trainer, 4, max(max_tokens // 4, 1))
        notes.append("text: held-out parts of the labelled corpus")
    return Recorded(record_trainer(trainer, documents), tuple(notes))
