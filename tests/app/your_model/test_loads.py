"""Loads and figures of a trace, counted another way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from moe.app.your_model import story as your_model
from moe.app.your_model import upload
from moe.app.your_model.story import YourModel, load_words
from moe.traces import make_trace
from tests.app.your_model.ragged import loads, ragged


@pytest.fixture(scope="module")
def model() -> YourModel:
    return YourModel.of(ragged())


@pytest.mark.parametrize("at", range(4))
def test_figures_of_a_layer(model: YourModel, at: int) -> None:
    load = loads(model.trace, at)
    mean, total = sum(load) / 8, sum(load)
    entropy = -sum(c / total * math.log(c / total) for c in load if c)
    found = {name: (value, about) for name, value, about in model.figures(at)}
    assert found["MaxVio"][0] == f"{max(load) / mean - 1:.2f}"
    assert found["Experts without work"][0] == f"{load.count(0) / 8:.0%}"
    assert found["Share of the busiest"] == (f"{max(load) / total:.1%}", "The fair share is 12.5%.")
    assert found["As even as"][0] == f"{math.exp(entropy):.1f} experts"
    assert model.layer_name(at) == f"layer {2 * at + 3}" and model.first_shown == 2
    drawn = model.loads(at)
    assert drawn.rows == (f"layer {2 * at + 3}",) and drawn.experts == tuple(range(8))
    assert drawn.value_RE[0] == pytest.approx([c / mean for c in load])
    assert drawn.words == model.load_words(at) == (
        f"Expert {load.index(max(load))} is the busiest, with {max(load) / mean:.2f} times its "
        "fair share; 1 of 8 experts gets nothing."
    )  # fmt: skip


def test_words_on_a_load() -> None:
    assert load_words(np.array([2, 1])).endswith(
        "1.33 times its fair share; each of the 2 experts gets some work."
    )
    assert load_words(np.array([0, 4, 0, 0])).endswith("3 of 4 experts get nothing.")


def test_all_layers_at_once(model: YourModel, monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.array([sorted(loads(model.trace, at), reverse=True) for at in range(4)])
    ratio = table / table.mean(axis=1, keepdims=True)
    drawn = model.all_loads()
    worst = int(ratio[:, 0].argmax())
    assert drawn.value_RE == pytest.approx(ratio) and drawn.rows == ("3", "5", "7", "9")
    assert drawn.experts == tuple(f"place {i}" for i in range(1, 9))
    assert drawn.words == (
        f"The most uneven is layer {2 * worst + 3}, where one expert has {ratio[worst, 0]:.1f} "
        "times its fair share."
    )
    for marks, columns, names in (
        (12, 3, ("places 1 to 3", "places 4 to 6", "places 7 to 8")),
        (3, 1, ("places 1 to 8",)),
    ):
        monkeypatch.setattr(your_model, "MAX_MARKS", marks)
        few = model.all_loads()
        assert few.experts == names and few.value_RE.shape == (4, columns)
        groups = np.array_split(np.arange(8), columns)
        assert few.value_RE == pytest.approx(
            np.stack([ratio[:, g].mean(axis=1) for g in groups], 1)
        )
    monkeypatch.setattr(your_model, "MAX_COLUMNS", 5)
    monkeypatch.setattr(your_model, "MAX_MARKS", 100)
    assert len(model.all_loads().experts) == 5
    idle = make_trace(np.full((1, 2, 1), -1), np.zeros((1, 2, 1)), 4)
    assert not YourModel.of(idle).all_loads().value_RE.any()


def test_a_part_of_a_large_file_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload.shortened, "__defaults__", (250 * (4 * 3 + upload.TOKEN_COST),))
    big = YourModel.of(ragged())
    assert big.is_part and big.about == (
        f"{ragged().describe()}. Of every document only the first part is looked at, 250 tokens "
        "in all."
    )
