"""Every file that a page offers, made as Streamlit makes it: later, and without a session."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import streamlit as st

import moe
from moe.app.shared.first_model import DEFAULT_SENTENCE, ready_model
from moe.app.shared.path import STOPS
from moe.app.start.walk import walk
from tests.app.visit import open_page

PAGES = {
    "start": {"character": "8", "balance": "20"}, "routers": {"guess": "skip"},
    "balance": {"steps": "50", "guess": "skip"}, "cure": {"guess": "skip"},
    "savings": {"model": "64", "width": "64", "guess": "skip"}, "five_million": {},
    "real_models": {}, "moving_data": {"tokens": "128"}, "your_model": {},
    "gate": {"seed": "7"}, "think": {"guess": "skip"}, "language_model": {"guess": "skip"},
    "distil": {"guess": "skip"}, "expert_cache": {}, "scaling": {},
}  # fmt: skip
# Play makes its files once its run is shared (tests/app/play), lessons have others
# (tests/app/learn), and the other page is for reading.
WITHOUT_FILES = {"play", "reading", "learn"}
READ: dict[str, Callable[[bytes], object]] = {
    "json": json.loads,
    "npz": lambda raw: zipfile.ZipFile(io.BytesIO(raw)).testzip(),
    "csv": lambda raw: list(csv.reader(io.StringIO(raw.decode()), strict=True)),
}
STARTS = {"png": b"\x89PNG", "svg": b"<svg"}


def offered(monkeypatch: pytest.MonkeyPatch, name: str, query: dict[str, str]) -> dict[str, bytes]:
    """Files of a page by their names, made in a thread that knows of no visitor."""
    files: dict[str, Any] = {}

    def button(label: str, data: Any, file_name: str, *_: object, **__: object) -> bool:
        files[file_name] = data
        return False

    monkeypatch.setattr(st, "download_button", button)
    page = open_page(name, **query)
    assert not page.exception and not page.error
    with ThreadPoolExecutor(1) as elsewhere:
        return {file: elsewhere.submit(make).result() for file, make in files.items()}


@pytest.mark.parametrize("name", PAGES)
def test_every_download_is_made_without_a_session(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    files = offered(monkeypatch, name, PAGES[name])
    assert {"json", "png", "svg", "csv"} <= {file.rpartition(".")[2] for file in files}
    for file, raw in files.items():
        ending = file.rpartition(".")[2]
        if ending in READ:
            assert READ[ending](raw) or ending == "npz", file
        else:
            assert raw.startswith(STARTS[ending])
    document = next(json.loads(raw) for file, raw in files.items() if file.endswith("json"))
    assert document["moescope"] == moe.__version__
    if name == "start":  # the character and the bonus of the moment when it was asked for
        assert (document["character"]["position"], document["balancing_percent"]) == (7, 20)
        walked = walk(ready_model(), DEFAULT_SENTENCE, 20)
        assert document["character"]["logits"] == walked.logits_NE[7].tolist()


def test_every_page_of_the_app_is_here() -> None:
    names = {stop.address.replace("-", "_") for stop in STOPS}
    assert names == set(PAGES) | WITHOUT_FILES
    assert not WITHOUT_FILES & set(PAGES)
