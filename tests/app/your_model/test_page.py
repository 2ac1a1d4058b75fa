"""The page Your model without a browser: samples, uploads, sections and hostile files."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import moe
from moe.app.shared.outside import OPENED
from moe.app.your_model import opening
from moe.app.your_model import share as your_model_share
from moe.app.your_model import upload as your_file
from moe.app.your_model.page import SECTIONS
from moe.app.your_model.story import YourModel
from moe.traces import samples
from tests.app import visit
from tests.app.your_model.test_hostile_files import npz
from tests.app.your_model.test_story import PARITY, made, zipped

TRACE = samples.SAMPLES[2].path


open_page = partial(visit.open_page, "your_model")


def upload(page: AppTest, name: str, raw: bytes, at: int = 0) -> AppTest:
    page.file_uploader[at].set_value((name, raw, "application/octet-stream"))
    return page.run()


def words(page: AppTest) -> str:
    return "\n".join(element.value for element in [*page.markdown, *page.caption])


def texts(page: AppTest) -> str:
    return "\n".join(element.proto.body for element in page.get("html"))


def test_a_sample_shows_text_loads_and_two_beliefs_without_a_click() -> None:
    page = open_page()
    assert not page.exception and not page.error
    model = YourModel.of(samples.SAMPLES[0].load())
    for check in model.myths:
        assert f"“{check.claim}”" in words(page) and check.answer in words(page)
        assert check.note in words(page)
    assert f"sees {samples.SAMPLES[0].settings.context} tokens at a time" in words(page)
    assert model.load_words(0) in words(page)
    assert page.metric[0].value == f"{model.report.layers[0].max_vio:.2f}"
    assert texts(page).count("<bdi>") == 240
    assert "Nothing is kept" in words(page)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_can_be_linked_to(section: str) -> None:
    page = open_page(closer=section)
    assert not page.exception and not page.error
    assert page.button_group(key="closer").value == section


def test_a_bad_link_falls_back() -> None:
    page = open_page(closer="Nobody", sample="x", page="-3", focus="99", devices="0", of="?")
    assert not page.exception and not page.error
    assert page.button_group(key="closer").value == "Layers"


def test_an_uploaded_trace_is_shown_and_forgotten_when_it_is_removed() -> None:
    page = upload(open_page(), "mine.npz", TRACE.read_bytes())
    assert not page.exception and not page.error
    assert YourModel.of(samples.SAMPLES[2].load()).load_words(0) in words(page)
    assert "own" in page.session_state[OPENED]
    page.file_uploader[0].set_value(None)
    page.run()
    assert "own" not in page.session_state[OPENED]
    assert YourModel.of(samples.SAMPLES[0].load()).load_words(0) in words(page)


def test_layers_of_a_trace_can_be_chosen(tmp_path: Path) -> None:
    trace = made()
    moe.traces.save_trace(trace, tmp_path / "t.parquet")
    page = upload(open_page(), "t.parquet", (tmp_path / "t.parquet").read_bytes())
    page.select_slider(key="layer").set_value(3).run()
    assert not page.exception and YourModel.of(trace).load_words(2) in words(page)
    assert "Load in every layer" in texts(page)


def test_a_file_without_ids_or_neighbours_says_what_it_cannot_tell(tmp_path: Path) -> None:
    lone = replace(made(n_layers=1), token_ids_N=None, sequence_N=np.arange(400, dtype=np.int32))
    moe.traces.save_trace(lone, tmp_path / "t.npz")
    for section, said in (("Words", "cannot tell"), ("Neighbours", "nothing to repeat")):
        page = upload(open_page(closer=section), "t.npz", (tmp_path / "t.npz").read_bytes())
        assert not page.exception and said in words(page)


def test_ratings_ask_for_the_number_of_experts() -> None:
    page = upload(open_page(), "ratings.csv", samples.CSV.read_bytes())
    page.slider(key="k_own").set_value(4).run()
    assert not page.exception and "4 of 16 experts per token" in words(page)


@pytest.mark.parametrize(
    ("name", "raw", "problem"),
    [
        ("a.txt", b"hello", "a name that ends in .npz, .parquet, .csv"),
        ("a.npz", b"PK\x03\x04<b>x</b>", "cannot be read"),
        ("a.csv", b"logit_0,logit_1,logit_2\n1,2,x\n", "line 2"),
        ("a.npz", npz(n_experts=12_000), "got 12,000 experts, allowed are 1,024"),
        ("a.zip", b"PK\x03\x04", "archive"),
        ("a.safetensors", b"\xff" * 64, "neither a zip file nor a safetensors file"),
    ],
)
def test_a_hostile_upload_ends_in_a_message(name: str, raw: bytes, problem: str) -> None:
    page = upload(open_page(), name, raw)
    assert not page.exception and problem in page.error[0].value
    assert not page.get("vega_lite_chart")


def test_a_checkpoint_runs_on_random_inputs_and_says_so() -> None:
    page = upload(open_page(), "m.zip", zipped(PARITY / "mixtral"))
    assert not page.exception and not page.error
    assert "random numbers, not text" in page.warning[0].value
    assert len(page.get("vega_lite_chart")) == 1 and "kind mixtral" in words(page)


def test_another_trace_must_be_of_the_same_text(tmp_path: Path) -> None:
    page = open_page(closer="Early and late")
    assert "by chance 12.5%" in words(page)
    moe.traces.save_trace(made(), tmp_path / "t.npz")
    page = upload(page, "t.npz", (tmp_path / "t.npz").read_bytes(), at=1)
    assert "of the same text" in page.error[0].value


def test_a_placement_may_be_written() -> None:
    page = open_page(closer="Devices", placed="as I say")
    assert "Overload factor" in words(page)
    page.text_input(key="device_of").set_value("0 1").run()
    assert "number of devices written: got 2" in page.error[0].value


def test_the_export_and_the_code_give_the_pages_figures(capsys: pytest.CaptureFixture) -> None:
    sample = samples.SAMPLES[1]
    model = YourModel.of(sample.load())
    document = json.loads(your_model_share.document(model))
    assert document["report"]["layers"][0]["max_vio"] == model.report.layers[0].max_vio
    exec(your_model_share.sample_code(sample.title, 0), {})
    out = capsys.readouterr().out
    assert str(model.report.layers[0].load) in out and model.myths[1].answer in out


def as_parquet(folder: Path) -> bytes:
    moe.traces.save_trace(made(), folder / "made.parquet")
    return (folder / "made.parquet").read_bytes()


@pytest.mark.parametrize(
    ("whole", "name"),
    [
        (True, "mine.npz"),
        (False, 'my "ratings".csv'),
        (False, "mine.parquet"),
        *(
            pytest.param(*one, marks=pytest.mark.soak)
            for one in ((True, 'my "ratings".csv'), (True, "mine.parquet"), (False, "mine.npz"))
        ),
    ],
)
def test_the_code_shown_for_a_visitors_file_runs_on_that_file(
    name: str, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    if not whole:  # as if the file were larger than what a page analyses
        monkeypatch.setattr(your_file.shortened, "__defaults__", (240,))
        here = lambda raw, waiting, *asked: opening.answer(raw, *asked)  # noqa: E731
        monkeypatch.setattr(opening, "_ask", here)
    raw = {".csv": samples.CSV.read_bytes, ".npz": TRACE.read_bytes}.get(
        Path(name).suffix, lambda: as_parquet(tmp_path)
    )()
    page = upload(open_page(), name, raw)
    if name.endswith(".csv"):
        page.slider(key="k_own").set_value(3).run()
    assert not page.exception and not page.error
    (tmp_path / name).write_bytes(raw)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    (code,) = (code.value for code in page.code if "analyse_trace" in code.value)
    exec(code, {})
    out = capsys.readouterr().out
    model = page.session_state[OPENED]["own"][1]
    assert model.is_part != whole
    at = model.first_shown if model.trace.n_layers > 1 else 0
    assert str(model.report.layers[at].load) in out
    assert all(check.answer in out for check in model.myths)
    assert "shortened" in code or whole
