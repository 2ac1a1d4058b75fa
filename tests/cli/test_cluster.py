"""`moe cluster` on the command line."""

import json

import pytest
from typer.testing import CliRunner

from moe.cli.main import command_line, main


def call(*arguments):
    done = CliRunner().invoke(command_line(), ["cluster", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_simulate_prints_one_object():
    answer = json.loads(
        call("simulate", "--tokens", "4096", "--n-nodes", "4", "--copies", "node", "--json")
    )
    assert answer["gpus"] == 32 and answer["tokens"] == 4096
    assert answer["settings"]["n_nodes"] == 4 and len(answer["node_gb"]) == 4
    assert answer["copies_per_token"] <= 4


def test_calibrate_prints_every_row_and_the_median_error():
    answer = json.loads(call("calibrate", "--json"))
    assert len(answer["rows"]) == 42
    assert answer["median_error"]["held out"] <= 0.20
    text = call("calibrate")
    assert "median error, held out" in text and "EP256" in text


def test_copies_and_bubbles():
    rows = json.loads(call("copies", "--tokens", "8192", "--json"))
    assert [round(row["formula"], 2) for row in rows[:3]] == [8.0, 5.29, 3.63]
    assert "3.629" in call("copies", "--tokens", "8192")
    idle = [row["idle"] for row in json.loads(call("bubbles", "--json"))]
    assert idle == [45.0, 15.0, 14.0]
    assert "DualPipe" in call("bubbles", "--both", "2.5")


def test_the_table_for_people_names_the_figures():
    text = call("simulate", "--tokens", "1000")
    assert "copies per token" in text and "slowest compute" in text


def test_a_wrong_setting_ends_with_one_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["moe", "cluster", "simulate", "--n-nodes", "3"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "redundant: got 0, which makes 256 experts; allowed is 8" in capsys.readouterr().err
