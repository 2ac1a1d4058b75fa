"""Output that nobody reads, that finds no room, no sign or no width; places that cannot be had."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.table import Table

import moe
from moe.cli.output import Screen
from moe.cli.streams import FULL, SPELLED, guarded

Run = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ["--steps", "4", "--batch", "64", "--d-model", "16", "--d-expert", "8"]
TABLES = [
    ["models"], ["hardware"], ["routers"], ["balancers"], ["check-numbers"],
    ["decode", "--gpu", "h100-sxm"], ["cost", "deepseek-v3"], ["train", *SMALL],
    ["params", "deepseek-v3"],
]  # fmt: skip


def started(*arguments: str, **options: object) -> subprocess.Popen[str]:
    """Start `moe` in a process of its own, whose streams these tests are about."""
    return subprocess.Popen(
        [sys.executable, "-m", "moe", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        **{"stdout": subprocess.PIPE} | options,
    )


def ended(process: subprocess.Popen[str], code: int) -> str:
    """What it said on stderr."""
    assert process.stderr
    said = process.stderr.read()
    assert process.wait(60) == code, said
    assert "Traceback" not in said and "Exception" not in said
    return said


def test_pipes_disks_and_terminals_that_take_no_more(tmp_path: Path) -> None:
    steps = started("train", *SMALL, "--steps", "400", "--json")
    told = started("--help")
    latin = started("train", *SMALL, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert steps.stdout and told.stdout and latin.stdout
    told.stdout.close()
    lines = [json.loads(steps.stdout.readline()) for _ in range(3)]
    steps.stdout.close()
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert ended(told, 0) == ended(steps, 0).strip() == ""
    shown = latin.stdout.read()
    ended(latin, 0)
    assert shown.isascii() and "MaxVio" in shown and "####" in shown
    if Path("/dev/full").exists():
        with Path("/dev/full").open("w") as full:
            (line,) = ended(started("routers", stdout=full), FULL).splitlines()
        assert line.startswith("moe: output: got 'No space left on device'")


def test_a_stream_without_a_reader_ends_in_silence_and_swallows_the_rest() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    own = os.fdopen(writer, "w")
    stream = guarded(own)
    with pytest.raises(SystemExit) as gone:
        print("x" * 100_000, file=stream, flush=True)
    assert gone.value.code == 0
    print("more", file=stream, flush=True)


def test_signs_are_spelled_where_the_terminal_has_none(tmp_path: Path) -> None:
    said = "é … ²" + "".join(SPELLED) + "日\udcff"
    for encoding in ("ascii", "latin-1", "utf-8"):
        with (tmp_path / encoding).open("w", encoding=encoding) as file:
            stream = guarded(file)
            stream.write(said)
            stream.flush()
        shown = (tmp_path / encoding).read_text(encoding)
        assert shown.endswith("?") and all(
            sign in shown or w in shown for sign, w in SPELLED.items()
        )
        assert ("é … ²" in shown) == (encoding == "utf-8")
        assert shown.startswith("é" if encoding != "ascii" else "e ... 2")


@pytest.mark.parametrize("command", TABLES, ids=lambda command: command[0])
@pytest.mark.parametrize("width", [40, 80])
def test_every_table_can_be_read_on_a_narrow_terminal(
    command: list[str], width: int, run_moe: Run
) -> None:
    shown = run_moe(*command, COLUMNS=str(width)).stdout
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    if command[0] in ("models", "hardware", "routers", "balancers"):
        said = re.sub(r"[^\w.]", "", shown)
        names = {
            "models": [model.name for model in moe.MODELS.values()],
            "routers": moe.ROUTERS,
            "balancers": moe.BALANCERS,
            "hardware": ["a100-sxm", "h800-sxm", "memory_gb_s"],
        }[command[0]]
        assert all(re.sub(r"[^\w.]", "", name) in said for name in names)


@pytest.mark.parametrize("width", [8, 20, 33, 47, 80, 200])
def test_no_cell_is_cut_at_any_width(width: int, rng: np.random.Generator) -> None:
    table = Table(title="a title", caption="a caption")
    names = [f"column{i}" for i in range(6)]
    for i, name in enumerate(names):
        table.add_column(name, no_wrap=i == 2)
    cells = [["w" * int(rng.integers(1, 9)) + f" {i}{j}" for i in range(6)] for j in range(7)]
    for row in cells:
        table.add_row(*row)
    screen = Screen(width=width, file=io.StringIO())
    screen.print(table)
    assert isinstance(screen.file, io.StringIO)
    shown = re.sub(r"[\W_]", "", screen.file.getvalue())
    for texts in [names, *cells]:
        assert all(word in shown for text in texts for word in text.split())
    if width < 47:
        assert "".join(f"{n}{c.replace(' ', '')}" for n, c in zip(names, cells[3])) in shown


def test_a_place_that_cannot_be_had_is_one_line(run_moe: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        (line,) = run_moe("app", "--port", port, code=2).stderr.splitlines()
        assert line.startswith(f"moe: port: got {port}") and "--port" in line
    for address in ("192.0.2.1", "no such host", "x" * 300):
        (line,) = run_moe("app", "--address", address, code=2).stderr.splitlines()
        assert line.startswith(f"moe: address: got '{address[:60]}'") and "127.0.0.1" in line
