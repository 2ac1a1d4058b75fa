"""Pages of a text, token by token."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from moe.app.your_model import text as your_text
from moe.app.your_model.story import YourModel
from tests.app.your_model.ragged import chosen, ragged


@pytest.fixture(scope="module")
def model() -> YourModel:
    return YourModel.of(ragged())


def test_pages_of_a_text(model: YourModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(your_text, "PAGE", 50)
    monkeypatch.setattr(your_text, "MAX_NAMED", 2)
    trace = model.trace
    assert your_text.texts(trace) == ["everything", "a", "b", "c"]
    assert your_text.texts(replace(trace, domain_N=None, domains=())) == ["everything"]
    starts = {37 * i for i in range(9)}
    for of, places in (
        ("everything", range(300)),
        ("a", range(150)),
        ("b", range(150, 250)),
        ("c", range(250, 300)),
    ):
        n_pages = -(-len(places) // 50)
        assert your_text.n_pages(trace, of) == n_pages
        assert your_text.positions(trace, of).tolist() == [*places]
        for page, focus in itertools.product(range(1, n_pages + 1), (None, 2)):
            shown = places[(page - 1) * 50 : page * 50]
            found = your_text.text_page(trace, 1, of, page, focus)
            lit = 0
            for t, token in zip(shown, found.tokens, strict=True):
                row = chosen(trace, 1)[t]
                told = [f"expert {e} (25%)" for e in row[:2]]
                told += [f"and {len(row) - 2} more"] if len(row) > 2 else []
                assert token.words == (", ".join(told) or "no expert")
                assert token.text == trace.tokens[t] and token.begins == (t in starts)
                assert token.expert == (focus if focus is not None else row[0] if row else -1)
                assert token.lit == (bool(row) if focus is None else focus in row)
                lit += token.lit
            if focus is not None:
                assert found.words == (
                    f"Expert 2 is among the choices of {lit} of these {len(shown)} tokens."
                )
            else:
                assert "expert that got it first" in found.words
        for page in (0, n_pages + 1):
            with pytest.raises(ValueError, match=f"page: got {page}"):
                your_text.text_page(trace, 1, of, page, None)
    assert your_text.n_pages(trace.part(np.arange(0)), "everything") == 1
    token = your_text.Token("a", 1, "b")
    assert token.lit and not token.begins
