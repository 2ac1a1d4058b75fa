"""What another process finds out comes back whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moe.app.your_model import opening, upload, weights
from moe.app.your_model.story import YourModel
from moe.errors import CheckpointError
from moe.traces.npz import pack
from tests.app.your_model.ragged import loads, ragged
from tests.app.your_model.test_story import PARITY, zipped


@pytest.fixture(scope="module")
def model() -> YourModel:
    return YourModel.of(ragged())


def test_what_is_done_apart_comes_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The way through the other process, within this one: names, arguments and answers."""
    asked: list[tuple] = []

    def ask(module: str, raw: bytes, *arguments: str, allowed: Any, waiting: Any) -> bytes:
        assert (module, allowed) == (
            "moe.app.your_model.opening",
            opening.ALLOWED,
        ) and waiting() == "here"
        asked.append(arguments)
        return opening.answer(raw, *arguments)

    monkeypatch.setattr(opening, "ask", ask)
    csv = b"logit_0,logit_1,logit_2\n" + b"1,2,3\n3,1,2\n" * 30
    model = opening.open_trace("d/a\0b.csv", csv, 2, lambda words: "here")
    assert asked.pop() == ("trace", "d/ab.csv", "2")
    want = YourModel.of(upload.read_trace("ab.csv", csv, 2))
    assert model.report == want.report and model.myths == want.myths
    assert model.about == want.about and not model.is_part
    assert model.trace.expert_LNK.tolist() == want.trace.expert_LNK.tolist()
    assert model.trace.logits_LNE is None  # which nobody looks at any more
    opening.open_trace("z" * 300 + ".csv", csv, 1, lambda words: "here")
    assert asked.pop() == ("trace", "z" * 196 + ".csv", "1")
    raw = zipped(PARITY / "mixtral")
    assert opening.open_contents(raw, lambda words: "here") == weights.read_contents(raw)
    look, own = opening.open_layer(raw, 1, lambda words: "here"), weights.run_layer(raw, 1)
    assert asked == [("contents",), ("layer", "1")]
    for name in ("title", "sizes", "words"):
        assert getattr(look, name) == getattr(own, name)
    for name in ("rows", "experts", "words"):
        assert getattr(look.loads, name) == getattr(own.loads, name)
    assert (look.loads.value_RE == own.loads.value_RE).all()
    for told in ({}, {"layers": 3}, {"rows": 1, "title": 2}):
        monkeypatch.setattr(opening, "ask", lambda *_, told=told, **__: pack({}, told))
        for opened in (opening.open_contents, lambda raw, wait: opening.open_layer(raw, 0, wait)):
            with pytest.raises(CheckpointError, match="an answer that cannot be read"):
                opened(raw, lambda words: "here")


def test_what_is_analysed_goes_as_json_and_comes_back(model: YourModel) -> None:
    whole = ragged()
    assert model.about == whole.describe() and not model.is_part
    data = json.loads(json.dumps(model.as_json()))
    assert data["report"]["layers"][1]["load"] == loads(model.trace, 1)
    assert [check["name"] for check in data["myths"]] == [c.name for c in model.myths]
    again = opening._model(model.trace, data | {"about": "about", "is_part": True})
    assert again.is_part and again.about == "about"
    for name in ("report", "myths"):
        assert getattr(again, name) == getattr(model, name)
