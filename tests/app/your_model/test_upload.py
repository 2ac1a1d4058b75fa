"""Files that may be opened, and how much of them is looked at."""

from __future__ import annotations

import numpy as np
import pytest

from moe.app.your_model import upload
from moe.errors import CheckpointError
from tests.app.your_model.ragged import ragged
from tests.app.your_model.test_story import made


def test_a_sample_has_an_earlier_one_of_the_same_text() -> None:
    titles = {sample.name: title for title, sample in upload.TITLES.items()}
    assert upload.earlier_of(titles["balanced"]) == titles["early"]
    assert upload.earlier_of(titles["early"]) is upload.earlier_of(titles["collapsed"]) is None


@pytest.mark.parametrize("ending", ["npz", "parquet", "csv", "zip", "safetensors", "txt", ""])
def test_files_are_told_by_their_endings(ending: str) -> None:
    for name in (f"a.{ending}", f"A.b.{ending.upper()}"):
        assert upload.is_checkpoint(name) == (ending in ("zip", "safetensors"))
        assert upload.is_ratings(name) == (ending == "csv")
        if ending not in ("npz", "parquet", "csv"):
            with pytest.raises(ValueError, match=r"ends in \.npz, \.parquet, \.csv"):
                upload.read_trace(name, b"", 2)
    long = "x" * 100 + ".txt"
    with pytest.raises(ValueError, match=f"file: got '{long[-60:]}'"):
        upload.read_trace(long, b"", 2)
    raw = b"logit_0,logit_1\n1,2\n"
    assert upload.read_trace(f"{'y' * 100}.csv", raw, 1).model == "y" * 80


@pytest.mark.parametrize("what", ["experts", "layers", "domains", "sequences"])
def test_as_much_as_is_allowed_is_opened(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = ragged()
    n = {"experts": 8, "layers": 4, "domains": 3, "sequences": 9}[what]
    monkeypatch.setitem(upload.MOST, what, n)
    upload._check_sizes(trace)
    monkeypatch.setitem(upload.MOST, what, n - 1)
    with pytest.raises(CheckpointError, match=f"file: got {n} {what}, allowed are {n - 1}"):
        upload._check_sizes(trace)


@pytest.mark.parametrize("tokens", [1, 8, 9, 10, 100, 299, 300, 301])
def test_a_part_is_the_begin_of_every_document(tokens: int) -> None:
    trace = ragged()
    per_token = 4 * 3 + 8
    for most in (tokens * per_token, tokens * per_token + per_token - 1):
        part = upload.shortened(trace, most)
        if tokens >= 300:
            assert part is trace
            continue
        assert part.n_tokens == tokens
        want = [
            t for s in range(9) for place, t in enumerate(range(37 * s, min(37 * s + 37, 300)))
            if place * 300 < (37 if s < 8 else 4) * tokens
        ]  # fmt: skip
        at = want[:tokens]
        assert part.expert_LNK.tolist() == trace.expert_LNK[:, at].tolist()
        assert part.tokens == tuple(trace.tokens[t] for t in at)


def test_tokens_are_bounded_by_the_cells_of_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = ragged()
    monkeypatch.setattr(upload, "MAX_CELLS", 8 * 300)
    assert upload.shortened(trace) is trace
    monkeypatch.setattr(upload, "MAX_CELLS", 8 * 300 - 1)
    assert upload.shortened(trace).n_tokens == 299
    monkeypatch.setattr(upload, "MAX_CELLS", 7)
    with pytest.raises(CheckpointError, match="got 300 tokens with 12 choices each, allowed are"):
        upload.shortened(trace)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="got 0 tokens with 0 choices each"):
        upload.shortened(trace.part(np.arange(0)))


@pytest.mark.parametrize(
    ("budget", "layers", "n_tokens"),
    [
        (4 * 300 * 11, (3, 5, 7, 9), 300), (4 * 300 * 11 - 1, (3, 7, 9), 300),
        (300 * 11, (7,), 300), (2200, (7,), 200),
    ],
)  # fmt: skip
def test_beliefs_are_measured_on_as_many_layers_as_there_is_time_for(
    budget: int, layers: tuple[int, ...], n_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = ragged()
    monkeypatch.setattr(upload, "MYTH_CHOICES", budget)
    part = upload.for_beliefs(trace)
    at = [trace.layers.index(layer) for layer in layers]
    assert part.layers == layers and part.n_tokens == n_tokens
    if n_tokens == 300:
        assert part.expert_LNK.tolist() == trace.expert_LNK[at].tolist()
        assert part.weight_LNK.tolist() == trace.weight_LNK[at].tolist()


@pytest.mark.parametrize("n_layers", range(7, 30))
def test_some_of_any_number_of_layers_are_taken_evenly_apart(n_layers: int) -> None:
    """Of nine layers, eight are; two of them once rounded to one, and the file was refused."""
    part = upload.for_beliefs(made(n_layers=n_layers, n_tokens=4))
    assert part.n_layers == min(n_layers, 8)
    apart = np.diff(part.layers)
    assert apart.min() >= 1 and apart.max() - apart.min() <= 1
    assert abs((part.layers[0] - 1) - (n_layers - part.layers[-1])) <= 1


def test_a_note_says_on_what_beliefs_were_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = ragged(n=600)
    whole = upload.beliefs(trace)
    assert all("Measured on" not in check.note for check in whole)
    monkeypatch.setattr(upload, "MYTH_LAYERS", 2)
    for check, before in zip(upload.beliefs(trace), whole, strict=True):
        scope = "Measured on 600 tokens in 2 of the layers."
        assert check.note.endswith(scope)
        published = before.note.partition("Models differ")[2]
        assert published in check.note
