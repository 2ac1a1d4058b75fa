"""`moe sweep`: the page's example runs as it is written, and mistakes end with one line."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "sweeps.md").read_text("utf-8")
COUNTED = 'experiment = "savings"\ngrid = { k = [1, 2] }\n'


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(run_moe: Run) -> Run:
    """`moe sweep` with what follows it."""
    return lambda *arguments, **options: run_moe("sweep", *arguments, **options)


def test_the_example_of_the_page_runs(tmp_path: Path, run: Run) -> None:
    example, cases = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    commands = re.findall(r"^moe sweep (.*rates.*)$", PAGE, re.MULTILINE)
    dry, real, report, cluster = (
        [str(tmp_path / word) if word.startswith("rates") else word for word in line.split()]
        for line in commands
    )
    (tmp_path / "rates.toml").write_text(example)
    planned = [json.loads(line) for line in run(*dry, "--json").stdout.splitlines()]
    assert len(planned) == int(re.search(r"These are (\d+) runs", PAGE)[1])
    assert {row["state"] for row in planned} == {"to do"}
    assert not (tmp_path / "rates.parquet").exists()

    done = run(*real, "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["id"] for row in rows} == {row["id"] for row in planned}
    assert "18/18" in done.stderr
    assert "moe sweep report" in run(*real).stdout  # nothing left to do
    assert " ok " in run(*dry).stdout

    groups = [json.loads(line) for line in run(*report, "--json").stdout.splitlines()]
    assert len(groups) == 6 and all(group["n"] == 3 for group in groups)
    assert sum(group["best"] for group in groups) == 1
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    assert "18 finished runs of train" in run(*report).stdout

    (tmp_path / "cases.toml").write_text('experiment = "train"\n' + cases)
    assert len(run("--dry-run", str(tmp_path / "cases.toml"), "--json").stdout.splitlines()) == 2
    assert cluster[1] == "--scheduler"


def test_the_page_lists_the_experiments_and_keys() -> None:
    from moe.sweeps.experiments import EXPERIMENTS
    from moe.sweeps.plan import KEYS

    (row,) = (line for line in PAGE.splitlines() if line.startswith("| `experiment`"))
    assert set(re.findall(r"`(\w+)`", row)) == {"experiment", *EXPERIMENTS}
    assert all(re.search(rf"`\[*{key}\]*`", PAGE) for key in KEYS)


@pytest.mark.parametrize("command", [(), ("run",), ("report",)])
def test_help_has_an_example_and_json(command: tuple[str, ...], run: Run) -> None:
    text = run(*command, "--help").stdout
    assert "Example: moe sweep" in text and "--json" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such.toml"], "file: got 'no-such.toml', allowed is a TOML file"),
        (["PLAN", "--workers", "0"], "workers: got 0, allowed is a whole number in 1..256"),
        (["PLAN", "--out", "PLAN"], "out: got the file"),
        (["PLAN", "--magic"], "--magic"),
        (["report", "no-such.parquet"], "out: got 'no-such.parquet' with no runs"),
    ],
)
def test_a_bad_value_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, tmp_path: Path, run: Run
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(COUNTED)
    done = run(*(str(plan) if word == "PLAN" else word for word in arguments), code=2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("moe: ") and words in line


def test_failed_runs_end_with_code_1_until_they_are_done_again(tmp_path: Path, run: Run) -> None:
    from moe.sweeps.plan import read_plan
    from moe.sweeps.store import FAILED, SweepStore, columns

    plan, out = tmp_path / "plan.toml", tmp_path / "plan.parquet"
    plan.write_text(COUNTED)
    failing = read_plan(plan).runs[0]
    out.mkdir()
    about = dict(
        id=failing.id, experiment="savings", status=FAILED, error="Boom: a", seconds=1.0,
        version=failing.version, data=failing.data, repeat=0,
    )  # fmt: skip
    SweepStore(out).add(dict.fromkeys(columns("savings")) | failing.settings | about)
    for _ in range(2):
        assert "1 of 2 runs failed" in run(str(plan), code=1).stderr
    assert "1 failed and are left out: Boom: a." in run("report", str(out)).stdout
    run(str(plan), "--retry")
    assert "2 finished runs" in run("report", str(out)).stdout
