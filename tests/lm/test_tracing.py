"""Traces of the language model: what is recorded is what its layers chose."""

from __future__ import annotations

import numpy as np
import pytest

from moe.data.documents import Document
from moe.lm.config import LMConfig
from moe.lm.data import make_windows
from moe.lm.model import LanguageModel
from moe.lm.tracing import held_out_documents, record_model, shortened

CONFIG = LMConfig(d_model=16, d_expert=8, n_experts=6, n_layers=3, n_dense=1, context=16)


def test_a_trace_holds_what_every_layer_chose() -> None:
    model = LanguageModel.init(CONFIG, seed=3)
    texts = [bytes(range(32, 32 + n)) for n in (40, 5, 16)]
    documents = [Document(name, text) for name, text in zip("aba", texts)]
    trace = record_model(model, documents, "mine")
    assert (trace.layers, trace.n_tokens, trace.n_experts) == ((1, 2), 61, 6)
    assert trace.domains == ("a", "b") and trace.context == 16 and trace.model == "mine"
    assert trace.domain_N.tolist() == [0] * 40 + [1] * 5 + [0] * 16
    assert trace.token_ids_N.tolist() == [byte for text in texts for byte in text]
    tokens_BT = np.frombuffer(texts[0][16:32], np.uint8).astype(np.int64)[None]
    for number, routing in enumerate(model.forward(tokens_BT).routings):
        rows = slice(16, 32)
        expert_NK = routing.expert_A.reshape(16, 2)
        assert np.array_equal(trace.expert_LNK[number, rows], expert_NK)
        assert np.array_equal(trace.weight_LNK[number, rows], routing.weight_A.reshape(16, 2))
        assert np.array_equal(trace.logits_LNE[number, rows], routing.logits_NE)


@pytest.mark.parametrize(
    ("config", "texts", "words"),
    [
        (LMConfig(n_experts=0, d_model=16), [b"text"], "model: got one without experts"),
        (LMConfig(n_vocab=16, d_model=16), [b"text"], "model: got 16 tokens"),
        (CONFIG, [], "text: got no bytes"),
        (CONFIG, [b""], "text: got no bytes"),
    ],
)
def test_what_cannot_be_recorded_is_refused(config: LMConfig, texts: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        record_model(LanguageModel.init(config), [Document("a", text) for text in texts])


def test_held_out_texts_are_windows_that_training_never_draws() -> None:
    windows = make_windows("default", 16)
    documents = held_out_documents(windows, 40)
    rows = {row.tobytes() for row in windows.held_out[0][:, :-1].astype(np.uint8)}
    assert {document.domain for document in documents} == set(windows.names)
    assert all(document.text in rows for document in documents)
    assert len(documents) == 2 * len(windows.names)
    assert [len(d.text) for d in held_out_documents(windows, 5)] == [5] * len(windows.names)


def test_a_text_is_cut() -> None:
    assert shortened([Document("a", b"letters")], 3) == [Document("a", b"let")]
