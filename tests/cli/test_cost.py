"""The commands about cost, and their facade."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import moe
from moe.cli.main import command_line
from moe.cost import GPUS, Range
from moe.cost.checks import V3_HOURS
from moe.cost.links import LINKS
from moe.cost.rows import decoding_rows, find_model, parse_range
from moe.cost.shape import MOST

RUNNER = CliRunner()
HUGE = "1" + "0" * 400  # no float holds it
COUNTS = Path(__file__).parents[1] / "cost" / "counts.json"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables as on a wide screen."""
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str, code: int = 0) -> str:
    done = RUNNER.invoke(command_line(), list(arguments))
    assert done.exit_code == code, done.output
    return done.output


def test_models_as_json_and_as_a_table():
    rows = json.loads(run("models", "--json"))
    assert len(rows) >= 25
    assert [row["name"] for row in rows] == list(moe.MODELS)
    for row in rows:
        assert {
            "name",
            "total_params",
            "published_total",
            "active_params",
            "published_active",
            "source",
            "active_with_input",
            "active_head_only",
            "active_neither",
        } <= set(row)
        assert row["active_params"] == row[f"active_{row['published_convention']}"]
    table = run("models")
    assert all(row["title"] in table for row in rows)
    assert "36.63B*" in table  # DeepSeek-V3's published convention is marked


def test_cost_as_json():
    row = json.loads(
        run("cost", "deepseek-v3", "--tokens", "14.8e12", "--gpu", "h800", "--mfu", "0.3894",
            "--price", "2", "--json")
    )  # fmt: skip
    assert row["train_flops"] == pytest.approx(14.8e12 * 250.4e9, rel=0.001)
    assert row["gpu_hours"] == pytest.approx(2.664e6, rel=0.02)
    assert row["dollars"] == pytest.approx(2 * row["gpu_hours"])
    assert row["mfu"] == row["mfu_low"] == 0.3894
    assert {"tokens", "mfu", "dollars_per_hour"} <= {a["name"] for a in row["assumptions"]}


def test_cost_as_a_table_and_of_a_users_file(tmp_path):
    assert "Assumptions" in run("cost", "deepseek-v3", "--n-gpus", "2048")
    config = json.loads(COUNTS.read_text("utf-8"))["mixtral"]["config"]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), "utf-8")
    row = json.loads(run("cost", str(path), "--tokens", "1e12", "--mfu", "0.2:0.3:0.4", "--json"))
    assert row["gpu_hours_low"] < row["gpu_hours"] < row["gpu_hours_high"]


def test_published_hours_are_those_of_pre_training():
    """250.46 GFLOP x 14.8T tokens over 2,664,000 hours at 989 TFLOP/s: 39.08 %, printed 38.94."""
    by_hand = 250.456e9 * 14.8e12 / (2_664_000 * 3600 * 989e12)
    for more in ([], ["--extra-hours", "124000"]):
        row = json.loads(run("cost", "deepseek-v3", "--json", *more))
        assert row["published_gpu_hours"] == 2_788_000
        assert row["published_pretraining_hours"] == 2_664_000
        assert row["mfu_of_published_hours"] == pytest.approx(by_hand, rel=1e-4)
        assert row["published_hours_dollars"] == 5_576_000
    said = run("cost", "deepseek-v3")
    assert "2,788,000 GPU-hours, $5.576M" in said
    assert "2,664,000 of them of pre-training" in said and "utilisation of 39.1%" in said
    assert round(by_hand, 3) == 0.391
    llama = run("cost", "llama-3.1-405b", "--gpu", "h100")
    assert "30,840,000 GPU-hours, $61.68M" in llama and "not told apart by stage" in llama
    for other in (["--tokens", "1e12"], ["--gpu", "h100"]):  # they are of neither
        assert "published:" not in run("cost", "deepseek-v3", *other)


def test_the_published_parts_of_v3_are_one_set_of_figures():
    v3 = moe.MODELS["deepseek-v3"]
    assert sum(V3_HOURS) == v3.gpu_hours == 2_788_000
    assert V3_HOURS[0] == v3.pretraining_hours and sum(V3_HOURS[1:]) == v3.other_gpu_hours


def test_cost_says_total_and_active_parameters(tmp_path):
    row = json.loads(run("cost", "deepseek-v3", "--json"))
    v3 = moe.MODELS["deepseek-v3"]
    assert row["total_params"] == v3.total_params == 671_026_419_200
    assert row["active_head_only"] == v3.active("head_only")
    text = run("cost", "deepseek-v3")
    for figure in ("671B in all", "11.61B more", "36.63B", "37.55B", "35.7B"):
        assert figure in text
    counts = json.loads(COUNTS.read_text("utf-8"))["olmoe"]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(counts["config"]), "utf-8")
    assert f"{counts['total']:,}" in run("cost", str(path), "--tokens", "1e9")
    assert (
        json.loads(run("cost", str(path), "--tokens", "1e9", "--json"))["total_params"]
        == (counts["total"])
    )


def test_multi_token_prediction_counts_or_says_that_it_does_not():
    for name, changes in (("minimax-m2", True), ("deepseek-v3", True), ("mixtral-8x7b", False)):
        call = ("cost", name, "--tokens", "1e12")
        without, with_it = (json.loads(run(*call, *f, "--json")) for f in ([], ["--mtp"]))
        assert (with_it["train_flops"] > without["train_flops"]) == changes
        assert bool(with_it["notes"]) != changes
        sentence = "this model has no multi-token prediction: asking for it changes no figure."
        assert (sentence in run(*call, "--mtp")) != changes
        assert "multi-token prediction: asking" not in run(*call)
    ruled = run("cost", "deepseek-v3", "--mtp", "--formula", "6ND")
    assert "not counted by 6 x parameters: asking for it changes no figure" in ruled


def test_what_is_not_counted_stands_in_the_output(tmp_path):
    config = json.loads(COUNTS.read_text("utf-8"))["mixtral"]["config"]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config | {"sliding_window": 64, "memory": 3}), "utf-8")
    call = (str(path), "--tokens", "1e12")
    named = json.loads(run("cost", *call, "--json"))["notes"]
    assert ["sliding_window" in named[0], "Not read: memory." in named[1]] == [True, True]
    for command in (("cost", *call), ("decode", str(path)), ("cost", "gpt-oss-20b", *call[1:])):
        assert "(sliding_window" in run(*command)
    every = " ".join(run("decode").split())
    assert "gpt-oss-20b, gpt-oss-120b, Trinity-Nano" in every
    assert "DeepSeek-V3.2, GLM-5, GLM-5.2, MiniMax-M3: layers have an indexer" in every
    assert "MiniMax-M3: 57 of 60 layers have an indexer" in run("decode", "minimax-m3")
    rows = {row["name"]: row["notes"] for row in json.loads(run("models", "--json"))}
    assert rows["llama-4-scout"] and not rows["deepseek-v3"]


def test_decode_as_json_and_as_a_table():
    (row,) = json.loads(run("decode", "deepseek-v3", "--gpu", "m3-ultra", "--json"))
    assert row["fits"] and row["limit"] == "bandwidth"
    assert row["tokens_per_s"] == pytest.approx(819e9 / row["bytes_per_token"])
    table = run("decode", "--gpu", "rtx-4090", "--batch", "8")
    assert all(model.name in table for model in moe.MODELS.values())


def test_hardware_and_check_numbers():
    rows = json.loads(run("hardware", "--json"))
    assert [row["key"] for row in rows] == [*GPUS, *LINKS]
    assert all(row["sources"] for row in rows)
    assert "h800-sxm" in run("hardware")
    checks = json.loads(run("check-numbers", "--json"))
    assert {"agrees", "listed", "unverified"} == {check["verdict"] for check in checks}
    assert "5.576M" in run("check-numbers")


def test_a_differing_figure_is_exit_code_1(monkeypatch):
    from moe.cost import rows as cost

    wrong = cost.check_rows()[0]
    object.__setattr__(wrong, "verdict", "differs")
    monkeypatch.setattr(cost, "check_rows", lambda: [wrong])
    run("check-numbers", code=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "model: got 'nonsense'"),
        (["none/config.json", "--tokens", "1"], "no such file"),
        (["deepseek-v3", "--gpu", "h900"], "gpu: got 'h900'"),
        (["deepseek-v3", "--mfu", "often"], "mfu: got 'often', allowed is VALUE"),
        (["deepseek-v3", "--mfu", "0.1:0.2"], "mfu: got '0.1:0.2'"),
        (["deepseek-v3", "--price", "3:2:1"], "price: got '3:2:1', allowed is VALUE or LOW:"),
        (["deepseek-v3", "--price", "-1"], "price: got '-1', allowed is VALUE or LOW:"),
        (["deepseek-v3", "--mfu", "nan"], "mfu: got 'nan', allowed is VALUE or LOW:"),
        (["deepseek-v3", "--context", HUGE], "context: got 1000"),
        (["deepseek-v3", "--n-gpus", HUGE], "n_gpus: got 1000"),
        (["deepseek-v3", "--tokens", "1e300"], "tokens: got 1e+300, allowed is a number >= 0 and"),
        (["deepseek-v3", "--extra-hours", "1e300"], "extra_hours: got 1e+300"),
        (["deepseek-v3", "--price", "1e300"], "dollars_per_hour: got 1e+300"),
        (["deepseek-v3", "--mfu", "1e-300"], "mfu: got 1e-300, allowed is a number >= 1e-30"),
        (["mixtral-8x7b"], "no published number"),
    ],
)
def test_wrong_values_are_named(arguments, message):
    done = RUNNER.invoke(command_line(), ["cost", *arguments])
    assert isinstance(done.exception, ValueError)
    assert message in str(done.exception)


@pytest.mark.parametrize("flag", ["batch", "context", "n-gpus"])
@pytest.mark.parametrize("value", ["0", HUGE])
def test_a_wrong_number_of_decoding_is_named(flag, value):
    done = RUNNER.invoke(command_line(), ["decode", "deepseek-v3", f"--{flag}", value])
    assert isinstance(done.exception, ValueError)
    name = flag.replace("-", "_")
    assert str(done.exception).startswith(f"{name}: got {value[:4]}")
    assert str(done.exception).endswith(f"allowed is a whole number in 1..{MOST}")


def test_the_facade():
    assert find_model("DeepSeek-V3") is moe.MODELS["deepseek-v3"]
    assert parse_range("x", "1:2:3") == Range(1, 2, 3)
    rows = decoding_rows(GPUS["h100-sxm"])
    assert [row["name"] for row in rows] == list(moe.MODELS)
    assert not {row["name"]: row["fits"] for row in rows}["kimi-k2"]
