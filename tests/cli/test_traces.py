"""`moe trace` and `moe analyze` on the command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import moe
from moe.routers import make_router
from moe.traces import load_trace, read_logits_csv
from moe.traces.myths import check_myths
from moe.traces.report import analyse_trace
from moe.traces.samples import CSV, SAMPLES

FOLDER = str(Path(__file__).parents[1] / "parity" / "deepseek_v3")
BALANCED, EARLY = str(SAMPLES[0].path), str(SAMPLES[1].path)


Run = Callable[..., subprocess.CompletedProcess[str]]


def test_trace_of_the_tiny_model_is_written_and_analysed(tmp_path: Path, run_moe: Run) -> None:
    texts = []
    for name in ("prose", "code"):
        (tmp_path / f"{name}.txt").write_text(f"some {name} " * 30)
        texts += ["--text", str(tmp_path / f"{name}.txt")]
    out = str(tmp_path / "out.parquet")
    done = run_moe("trace", "--model", "tiny", "--steps", "3", *texts, "--out", out, "--json")
    said, trace = json.loads(done.stdout), load_trace(out)
    assert said["n_tokens"] == trace.n_tokens == 330 + 300
    assert said["domains"] == ["prose", "code"] == list(trace.domains)
    assert trace.logits_LNE is not None and said["k"] == trace.k == 2
    assert "some" in "".join(trace.tokens).replace("␣", " ")


def test_analyze_prints_the_report_as_json(run_moe: Run) -> None:
    done = run_moe("analyze", EARLY, "--against", BALANCED, "--placement", "4", "--json")
    said = json.loads(done.stdout)
    assert len(said["myths"]) == 2 and said["layers"][0]["saturation"] > 0.2
    trace = load_trace(BALANCED)
    done = run_moe("analyze", BALANCED, "--json")
    myths = [check.as_json() for check in check_myths(trace)]
    assert json.loads(done.stdout) == json.loads(
        json.dumps(analyse_trace(trace).as_json() | {"myths": myths})
    )


def test_analyze_prints_a_table_and_plain_sentences(run_moe: Run) -> None:
    text = run_moe("analyze", str(CSV), "--k", "3", COLUMNS="400").stdout
    assert "3 of 16 experts per token" in text and "MaxVio" in text
    assert "Experts are topic specialists." in text and "The same experts stay hot." in text
    assert "This model sees 6 tokens at a time" in text and "arXiv 2412.19437" in text
    assert "stay hot" not in run_moe("analyze", BALANCED, "--no-myths").stdout


def test_analyze_says_how_many_experts_a_token_has_on_average(run_moe: Run) -> None:
    said = run_moe("analyze", str(CSV), "--router", "top_p", COLUMNS="400").stdout
    trace = read_logits_csv(CSV, make_router("top_p"))
    mean = (trace.expert_LNK >= 0).sum() / trace.n_tokens
    assert f"on average {mean:.2f} of 16 experts per token" in said and trace.k > mean + 0.5
    # Neighbours repeat more than chance; beside the widest token's they seemed to repeat less.
    (layer,) = analyse_trace(trace).layers
    assert layer.repeat_any > 1.5 * layer.chance_repeat_any


@pytest.mark.parametrize("command", ["trace", "analyze"])
def test_help_has_an_example_and_json(command: str, run_moe: Run) -> None:
    text = run_moe(command, "--help").stdout
    assert f"Example: moe {command}" in text and "--json" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["analyze", "none.npz"], "file: got 'none.npz'"),
        (["analyze", __file__], "file: got one that begins with"),
        (["analyze", BALANCED, "--against", "none.npz"], "file: got 'none.npz'"),
        (["analyze", BALANCED, "--placement", "5"], "placement: got 5"),
        (["analyze", str(CSV), "--router", "magic"], "router: got 'magic'"),
        (["trace", "--model", "tiny", "--out", "x.txt"], "path: got 'x.txt'"),
        (["trace", "--model", "tiny", "--out", "x.npz", "--text", "none"], "text: got 'none'"),
        (["trace", "--model", "tiny", "--out", "x.npz", "--steps", "0"], "steps: got 0"),
        (["trace", "--model", "./none", "--out", "x.npz"], "text: got none"),
        (["trace", "--out", "x.npz"], "--model"),
        (["analyze", BALANCED, "--k", "3"], "--k: got 3, allowed is one with a .csv of logits"),
        (["analyze", BALANCED, "--router", "topk"], "--router: got 'topk', allowed is one with"),
        (["analyze", FOLDER, "--batch", "3"], "--batch: got 3, allowed is none with a folder"),
        (["trace", "--model", "./none", "--out", "x.npz", "--steps", "9"], "--steps: got 9"),
        (["trace", "--model", "tiny", "--out", "x.npz", "--context", "9"], "--context: got 9"),
    ],
)
def test_a_bad_value_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, run_moe: Run
) -> None:
    done = run_moe(*arguments, code=2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("moe: ") and words in line


def test_analyze_lists_the_moe_layers_of_a_checkpoint(run_moe: Run) -> None:
    rows = json.loads(run_moe("analyze", FOLDER, "--json").stdout)
    layer = moe.load_layer(FOLDER, 1)
    assert [row["layer"] for row in rows] == [1]  # layer 0 is dense
    assert rows[0]["params"] == layer.n_params
    assert (rows[0]["experts"], rows[0]["d_model"]) == (layer.n_experts, layer.d_model)
    assert rows[0]["router"] == "deepseek_v3" and rows[0]["k"] == layer.router.k


def test_analyze_of_a_folder_without_a_checkpoint_is_one_line(tmp_path: Path, run_moe: Run) -> None:
    assert "config.json" in run_moe("analyze", str(tmp_path), code=2).stderr
