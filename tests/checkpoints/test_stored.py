"""How many numbers files hold, by their headers, and where the local cache keeps a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moe.checkpoints.files import SINGLE, write_checkpoint
from moe.checkpoints.local_cache import cached_folder
from moe.checkpoints.stored import Stored, stored_numbers
from tests.checkpoints import fabricate
from tests.checkpoints.test_hostile import attempt, cases, scarred


def written(folder: Path, **tensors: tuple[tuple[int, ...], str]) -> Path:
    """A checkpoint of zeros with these shapes and element types."""
    kinds = {"F32": "float32", "BF16": "float32", "F8_E4M3": "uint8", "U8": "uint8", "I32": "int32"}
    arrays = {
        name.replace("__", "."): (np.zeros(shape, kinds[dtype]), dtype)
        for name, (shape, dtype) in tensors.items()
    }
    write_checkpoint(folder, {"model_type": "mixtral"}, arrays, max_shard_bytes=64)
    return folder


@pytest.mark.parametrize(
    ("tensors", "numbers"),
    [
        (dict(a=((3, 4), "F32"), b=((5,), "BF16"), c=((), "F32")), 12 + 5 + 1),
        (dict(a__weight=((4, 4), "F8_E4M3"), a__weight_scale_inv=((1, 1), "F32")), 16),
        (dict(a__weight=((4, 4), "F8_E4M3"), a__weight_scale=((4, 1), "F32")), 16),
        (dict(w_blocks=((2, 3, 1, 16), "U8"), w_scales=((2, 3, 1), "U8"), b=((7,), "BF16")), 199),
        (dict(a_scale=((4,), "F32")), 4),  # scales nothing: a tensor like any other
    ],
)
def test_numbers_are_counted_and_factors_of_others_are_not(
    tensors: dict[str, Any], numbers: int, tmp_path: Path
) -> None:
    assert stored_numbers(written(tmp_path / "model", **tensors)) == Stored(numbers)


def test_packed_integers_are_no_count(tmp_path: Path) -> None:
    packed = written(tmp_path / "gptq", a__qweight=((4, 4), "I32"), a__scales=((1, 4), "BF16"))
    stored = stored_numbers(packed)
    assert stored is not None and stored.numbers is None
    assert stored.reason == "I32 numbers, into which others may be packed"


def test_a_folder_without_tensors_has_no_count(tmp_path: Path) -> None:
    assert stored_numbers(tmp_path) is None
    assert stored_numbers(tmp_path / "elsewhere") is None


def test_broken_and_missing_files_are_reasons(tmp_path: Path) -> None:
    folder = written(tmp_path / "shards", a=((40,), "F32"), b=((40,), "F32"))
    assert stored_numbers(folder) == Stored(80)
    first = min(folder.glob("model-*"))
    first.unlink()
    gone = stored_numbers(folder)
    assert gone is not None and gone.numbers is None and first.name in gone.reason
    for number, content in enumerate((b"", b"\xff" * 64, fabricate.GOOD[:-1])):
        broken = fabricate.write_folder(tmp_path / str(number), fabricate.single(content))
        stored = stored_numbers(broken)
        assert stored is not None and stored.numbers is None and SINGLE in stored.reason


REVISION = "0123456789abcdef0123456789abcdef01234567"


def cached(cache: Path, name: str, revision: str = REVISION) -> Path:
    """The folder of a model as the hub's library lays it out."""
    model = cache / f"models--{name.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(revision, "utf-8")
    folder = model / "snapshots" / REVISION
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", "utf-8")
    return folder


@pytest.mark.parametrize(
    ("variable", "below"),
    [
        ("HF_HUB_CACHE", ""),
        ("HUGGINGFACE_HUB_CACHE", ""),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_hub_s_library_has_it(
    variable: str, below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    folder = cached(tmp_path / below, "org/model-1.5")
    assert cached_folder("org/model-1.5") == folder
    assert cached_folder("org/model") is None


def test_names_and_references_that_lead_elsewhere_lead_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    names = ("../org/model", "org/../x", "/etc", "a/b/c", "org/", "", ".", "..", "x" * 300, "a\nb")
    assert [cached_folder(name) for name in names] == [None] * len(names)
    for number, text in enumerate(("../..", f"{REVISION}/..", "", "x" * 5000, "fedc" * 10)):
        cached(tmp_path, f"org/model{number}", text)
        assert cached_folder(f"org/model{number}") is None, text


@cases(60)
def test_hostile_headers_are_counted_or_are_a_reason(
    tmp_path: Path, draw: Callable[..., Any]
) -> None:
    raw = scarred(draw, json.dumps(fabricate.HEADER).encode())
    folder = fabricate.write_folder(tmp_path, fabricate.single(fabricate.as_file(raw)))
    stored = attempt(lambda: stored_numbers(folder))
    assert stored.numbers is None or 0 <= stored.numbers <= 2**62
    assert stored.reason.isprintable()
