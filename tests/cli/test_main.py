"""The command line: JSON on stdout, progress on stderr, one line and exit code 2 for bad values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

import moe
from moe.capacity import DROP_POLICIES

SMALL = ["--steps", "4", "--batch", "64", "--d-model", "16", "--d-expert", "8"]


Run = Callable[..., subprocess.CompletedProcess[str]]


def process(*arguments: str, **environment: str) -> str:
    """What `python -m moe` prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "moe", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_train_prints_one_json_line_a_step(run_moe: Run) -> None:
    done = run_moe("train", *SMALL, "--balance", "bias", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    for line in lines:
        assert {"step", "loss", "load", "max_vio", "dropped"} <= set(line)
        assert sum(line["load"]) == 128
    truth = moe.train(moe.TrainSettings(steps=4, batch=64, d_model=16, d_expert=8, balance="bias"))
    assert lines == [json.loads(json.dumps(record.as_json())) for record in truth]


def test_train_prints_the_same_for_1_and_2_threads_and_twice(run_moe: Run) -> None:
    outputs = {process("train", *SMALL, "--json", MOE_NUM_THREADS="2")}
    for threads in "12":
        outputs.add(run_moe("train", *SMALL, "--json", MOE_NUM_THREADS=threads).stdout)
    assert len(outputs) == 1


def test_train_freezes_what_it_is_told_to(run_moe: Run) -> None:
    done = run_moe("train", *SMALL, "--freeze", "experts+gate", "--json")
    truth = moe.train(
        moe.TrainSettings(steps=4, batch=64, d_model=16, d_expert=8, freeze="experts+gate")
    )
    assert [json.loads(line)["loss"] for line in done.stdout.splitlines()] == [
        record.loss for record in truth
    ]
    wrong = run_moe("train", *SMALL, "--freeze", "head", code=2)
    assert "freeze: got 'head', allowed is one of experts, gate, embedding" in wrong.stderr


def test_train_without_json_shows_every_expert(run_moe: Run) -> None:
    done = run_moe("train", *SMALL, "--n-experts", "5")
    assert "MaxVio" in done.stdout
    assert all(f" {e} " in done.stdout for e in range(5))


@pytest.mark.parametrize(
    ("command", "registry"), [("routers", moe.ROUTERS), ("balancers", moe.BALANCERS)]
)
def test_registries(command: str, registry: dict, run_moe: Run) -> None:
    rows = json.loads(run_moe(command, "--json").stdout)
    assert [row["name"] for row in rows] == list(registry)
    assert all(row["source"] and row["title"] for row in rows)
    text = run_moe(command, COLUMNS="200").stdout
    assert all(name in text for name in registry)


def test_the_probe_lists_routers_and_drop_policies(run_moe: Run) -> None:
    rows = json.loads(run_moe("routers", "--probe", "--json").stdout)
    assert [row["name"] for row in rows] == [*moe.ROUTERS, *DROP_POLICIES]
    assert all(row["claims"] == row["found"] for row in rows)


@pytest.mark.parametrize("command", ["app", "train", "routers", "balancers", "bench"])
def test_help_has_an_example_and_json(command: str, run_moe: Run) -> None:
    text = run_moe(command, "--help").stdout
    assert f"Example: moe {command}" in text and "--json" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--k", "99"], "k: got 99, allowed is a whole number in 1..16"),
        (["train", "--n-experts", "0"], "n_experts: got 0, allowed"),
        (["train", "--router", "magic"], "router: got 'magic', allowed is one of topk"),
        (["train", "--capacity-factor", "-1", "--drop", "order"], "capacity_factor: got -1.0"),
        (["train", "--text", "no-such-file"], "text: got 'no-such-file'"),
        (["train", "--learning-rate", "nan"], "learning_rate: got nan"),
        (["train", "--steps", "many"], "--steps"),
        (["train", "--stepz", "3"], "--stepz"),
        (["magic"], "magic"),
        (["app", "--port", "0"], "--port"),
    ],
)
def test_a_bad_value_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, run_moe: Run
) -> None:
    done = run_moe(*arguments, code=2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("moe: ") and words in line


def test_version_and_bare_command(run_moe: Run) -> None:
    assert run_moe("--version").stdout.strip() == f"moescope {moe.__version__}"
    assert "Usage" in run_moe().stdout
