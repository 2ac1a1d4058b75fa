"""What the flow of a sentence gets sent: all that the layer computed, and nothing else."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from moe.app.shared.first_model import DEFAULT_SENTENCE, ready_model
from moe.app.start.flow import packet
from moe.app.start.walk import GUESSES, walk
from moe.data import token_text
from moe.pictures.experts import EXPERT_COLOURS, LETTER_INKS
from tests.app.visit import open_page


def unpacked(text: str, dtype: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)


def sent(page: Any) -> dict[str, Any]:
    """What the page sends to the flow, which is the one with characters."""
    for component in page.get("bidi_component"):
        data = json.loads(component.proto.json)
        if "tokens" in data:
            return data
    raise AssertionError("no flow")


@pytest.mark.parametrize("percent", [0, 60])
def test_a_packet_holds_the_whole_walk(percent: int) -> None:
    walked = walk(ready_model(), "Hello world", percent)
    data = json.loads(json.dumps(packet(walked, "name", 6, 2, 3, 5)))
    n, e, k = 11, 8, 2
    assert (data["id"], data["reads"], data["start"], data["at"], data["without"]) == (
        "name", 6, 2, 3, 5,
    )  # fmt: skip
    for key, dtype, array, shape in (
        ("logits", "<f4", walked.logits_NE, (n, e)),
        ("scores", "<f4", walked.scores_NE, (n, e)),
        ("experts", "u1", walked.expert_ONK, (e + 1, n, k)),
        ("weights", "<f4", walked.weight_ONK, (e + 1, n, k)),
        ("parts", "<f4", walked.part_ONK.astype(np.float32), (e + 1, n, k)),
        ("so_far", "<u2", walked.so_far_ONE, (e + 1, n, e)),
        ("guesses", "u1", walked.guess_ONG, (e + 1, n, GUESSES)),
        ("chances", "<f4", walked.probability_ONG, (e + 1, n, GUESSES)),
    ):
        assert np.array_equal(unpacked(data[key], dtype, *shape), array), key
    assert data["load"] == walked.load_OE.tolist()
    assert data["bonus"] == pytest.approx((ready_model().bias_E * percent / 100).tolist())
    assert data["next"] == [*b"ello world", -1]
    assert data["words"] == [walked.words(case) for case in range(9)]
    assert data["cost"] == walked.cost_words()
    named = {int(byte): text for byte, text in data["letters"].items()}
    assert all(text == token_text(byte) for byte, text in named.items())
    assert set(walked.guess_ONG.ravel().tolist()) | set(b"ello world") == set(named)
    assert data["names"] == list("ABCDEFGH") and data["colours"] == list(EXPERT_COLOURS)
    assert set(data["inks"]) <= set(LETTER_INKS)


def test_a_packet_is_small_for_the_longest_sentence() -> None:
    long = packet(walk(ready_model(), (DEFAULT_SENTENCE * 4)[:400]), "", 6, 0, 0)
    assert len(json.dumps(long)) < 350_000


def test_the_first_page_begins_with_the_interesting_character() -> None:
    page = open_page("start")
    data = sent(page)
    start = walk(ready_model(), DEFAULT_SENTENCE).start
    assert data["at"] == data["start"] == start and data["without"] == 0
    assert "character" not in page.query_params and "without" not in page.query_params
    page.slider(key="balance").set_value(100).run()
    assert sent(page)["start"] == start and any(sent(page)["bonus"])


@pytest.mark.parametrize(
    ("query", "at", "without"),
    [
        ({"character": "9", "without": "C"}, 8, 3),
        ({"character": "5"}, 4, 0),
        ({"character": "5", "without": "Z"}, 4, 0),
        ({"character": "0"}, None, 0),
        ({"character": "12"}, None, 0),
        ({"character": "9" * 5000}, None, 0),
        ({"character": "٣"}, None, 0),
        ({"character": "x", "without": "<b>"}, None, 0),
    ],
)
def test_a_link_says_which_character_and_who_is_off(
    query: dict[str, str], at: int | None, without: int
) -> None:
    page = open_page("start", text="Hello world", **query)
    assert not page.exception and not page.error
    data = sent(page)
    assert (data["at"], data["without"]) == (data["start"] if at is None else at, without)
    asked = "" if at in (None, data["start"]) else str(at + 1)
    assert "".join(page.query_params.get("character", "")) == asked
    code = next(block.value for block in page.code if "walk" in block.value)
    assert f"case, character = {without}, {data['at']}" in code


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "**b** $x$", "日本語🙂"])
def test_a_hostile_sentence_is_sent_as_text(text: str) -> None:
    data = sent(open_page("start", text=text))
    assert data["tokens"] == [token_text(byte) for byte in text.encode()]
