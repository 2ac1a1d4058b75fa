"""`moe lm`: what each command prints, and how a wrong value ends it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SMALL = (
    "--d-model", "16", "--heads", "2", "--layers", "1", "--experts", "4", "--k", "2",
    "--context", "16", "--batch", "4",
)  # fmt: skip


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_bytes(b"the quick brown fox jumps over the lazy dog\n" * 100)
    return str(path)


def lines(said: str) -> list[Any]:
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize("dense", ["none", "active", "total"])
def test_training_prints_a_line_for_each_step(run_moe: Any, text: str, dense: str) -> None:
    said = run_moe(
        "lm", "train", *SMALL, "--text", text, "--steps", "3", "--seed", "1", "--dense", dense,
        "--json",
    ).stdout  # fmt: skip
    records = lines(said)
    assert [record["step"] for record in records] == [0, 1, 2]
    assert all(record["loss"] > 0 and record["seconds"] > 0 for record in records)
    assert records[-1]["held_out"] > 0 and records[0]["held_out"] is None


def test_a_run_in_a_folder_is_resumed_sampled_and_judged(
    run_moe: Any, text: str, tmp_path: Path
) -> None:
    folder = str(tmp_path / "run")
    train = ("lm", "train", *SMALL, "--text", text, "--steps", "4", "--out", folder)
    said = run_moe(*train).stdout
    assert "step 4, loss" in said and "bits a byte" in said and "moe lm sample" in said
    assert "which holds a run" in run_moe(*train, code=2).stderr
    assert run_moe(*train, "--resume", "--json").stdout == ""
    sampled = ("lm", "sample", folder, "--prompt", "the ", "--n", "12", "--seed", "3")
    (drawn,) = lines(run_moe(*sampled, "--json").stdout)
    assert 0 < len(drawn["text"]) <= 12 and drawn["prompt"] == "the "
    assert run_moe(*sampled).stdout.startswith("the ")
    (found,) = lines(run_moe("lm", "eval", folder, "--json").stdout)
    assert found["bits_per_byte"] == pytest.approx(found["domains"]["text"])
    (other,) = lines(run_moe("lm", "eval", folder, "--text", __file__, "--json").stdout)
    assert other["bits_per_byte"] != found["bits_per_byte"]
    assert "bits a byte over" in run_moe("lm", "eval", folder).stdout
    trace = str(tmp_path / "trace.npz")
    (kept,) = lines(run_moe("lm", "trace", folder, "--out", trace, "--json").stdout)
    assert (kept["layers"], kept["n_experts"], kept["k"]) == ([0], 4, 2)
    assert kept["n_tokens"] % 16 == 0 and kept["domains"] == []
    named = ("lm", "trace", folder, "--out", trace, "--text", text, "--text", __file__)
    assert "moe analyze" in run_moe(*named, "--max-tokens", "40").stdout
    (told,) = lines(run_moe("analyze", trace, "--json").stdout)
    assert told["n_tokens"] == 80 and len(told["domains"]) == 2


@pytest.mark.parametrize("dense", ["none", "active"])
def test_whole_steps_are_timed(run_moe: Any, dense: str) -> None:
    (found,) = lines(
        run_moe("lm", "bench", *SMALL, "--blocks", "1", "--dense", dense, "--json").stdout
    )
    assert found["tokens_per_s"] > 0 and found["tokens_per_step"] == 64
    assert found["tokens_per_s"] == pytest.approx(64e3 / found["ms_per_step"])


def test_dense_models_take_turns_with_the_mixture(run_moe: Any) -> None:
    (found,) = lines(
        run_moe("lm", "bench", *SMALL, "--blocks", "1", "--dense-too", "--json").stdout
    )
    assert list(found["ratios"]) == ["dense, equal active", "dense, equal total"]
    assert (
        "dense, equal total" in run_moe("lm", "bench", *SMALL, "--blocks=1", "--dense-too").stdout
    )


@pytest.mark.parity
def test_the_same_model_in_pytorch_has_the_same_losses(run_moe: Any) -> None:
    (found,) = lines(run_moe("lm", "bench", *SMALL, "--blocks", "1", "--pytorch", "--json").stdout)
    assert set(found["ratios"]) == set(found["peers"]) == set(found["loss_differences"])
    assert max(found["loss_differences"].values()) < 1e-3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "--heads", "3"), "n_heads: got 3"),
        (("train", "--resume"), "resume: got no folder"),
        (("train", "--dense", "wide"), "dense: got 'wide'"),
        (("sample", "nowhere"), "state.safetensors"),
        (("eval", "nowhere"), "state.safetensors"),
        (("bench", "--k", "99"), "k: got 99"),
        (("trace", "nowhere", "--out", "trace.npz"), "state.safetensors"),
        (("trace", "nowhere", "--out", "trace.doc"), ".npz"),
    ],
)
def test_wrong_values_end_in_one_line(run_moe: Any, arguments: tuple, words: str) -> None:
    said = run_moe("lm", *arguments, code=2).stderr
    assert words in said and len(said.splitlines()) == 1
