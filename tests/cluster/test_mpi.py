"""The layer over four real processes: equal results, predicted bytes, and an end to every run."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from moe.cluster import Cluster
from moe.cluster.mpi import THREADS
from moe.cluster.sent import predicted_bytes
from moe.routing import Routing

ROOT = Path(__file__).parents[2]
ROUTERS = ("topk", "deepseek_v3", "switch", "noisy_topk", "expert_choice")
LIMITED = "--router deepseek_v3 --ranks-per-node 2 --copies"
UNEVEN = [
    (1, ""),
    (3, "--tokens 7"),
    (4, "--tokens 2 --ranks-per-node 4"),
    (4, "--tokens 0"),
    (4, "--experts 6 --k 2 --copies gpu"),
]
FLOAT32 = (4, "--dtype float32")
LATENT = [f"--d-latent 16 --copies {copies}" for copies in ("expert", "gpu", "node")]
# Number of ranks and flags of the runs whose reports are looked at.
RUNS = [
    *((4, f"--router {router}") for router in ROUTERS),
    *((4, f"{LIMITED} {copies}") for copies in ("expert", "gpu", "node")),
    *UNEVEN,
    FLOAT32,
    *((4, flags) for flags in (*LATENT, LATENT[-1].replace("16", "0"))),
]
# A rank that does one run after another: interpreters that start cost more than what they compute.
SEVERAL = """
import shlex, sys
from moe.cluster.mpi_run import run
codes = set()
for flags in sys.argv[1:]:
    try:
        codes.add(run(shlex.split(flags)))
    except SystemExit as ended:
        codes.add(ended.code)
sys.exit(codes.pop() if len(codes) == 1 else 99)
"""


def start(*flags: str, ranks: int = 4, code: tuple[str, ...] = ("-m", "moe.cluster.mpi")):
    launcher = Path(sys.executable).parent / "mpiexec"  # the mpich wheel's, not the machine's
    return subprocess.Popen(
        [str(launcher), "-n", str(ranks), sys.executable, *code, *flags],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=dict.fromkeys(THREADS, "1") | {"MOE_BACKEND": "numpy"} | os.environ,
    )  # fmt: skip


@pytest.fixture(scope="module")
def reports() -> dict[tuple[int, str], dict]:
    """What each of the runs reports; those on as many ranks share their processes."""
    found = {}
    for ranks in {ranks for ranks, _ in RUNS}:
        own = [flags for n, flags in RUNS if n == ranks]
        asked = [f"--json {flags}" for flags in own]
        with start(*asked, ranks=ranks, code=("-c", SEVERAL)) as job:
            out, errors = job.communicate(timeout=240)
        lines = out.splitlines()
        assert len(lines) == len(own), errors
        found |= {(ranks, flags): json.loads(line) for flags, line in zip(own, lines)}
    return found


def test_the_command_reports_what_runs_of_shared_processes_do(reports):
    with start("--json") as job:
        out, errors = job.communicate(timeout=120)
    assert job.returncode == 0, errors
    report = json.loads(out)
    assert report["bytes_sent"] == reports[4, "--router topk"]["bytes_sent"]
    assert report.keys() == reports[4, "--router topk"].keys()


@pytest.mark.parametrize("router", ROUTERS)
def test_results_gradients_and_bytes_equal_one_process(router, reports, capsys):
    report = reports[4, f"--router {router}"]
    with capsys.disabled():
        print(
            f"\n  {router}: max|diff| {report['max_abs_diff']:.1e}, bytes sent "
            f"{report['bytes_sent']:,} predicted {report['bytes_predicted']:,}"
        )
    assert report["ranks"] == 4
    assert 0 <= report["max_abs_diff"] <= 1e-6
    assert report["backward_diff"] > 0  # sums over ranks round otherwise: something was compared
    assert report["bytes_sent"] == report["bytes_predicted"] > 0
    assert report["bytes_equal"]
    assert report["internode_bytes"] == report["internode_predicted"] > 0
    assert (report["allgather_bytes"] > 0) == (router in ("noisy_topk", "expert_choice"))


@pytest.mark.parametrize("copies", ["expert", "gpu", "node"])
def test_a_limit_on_nodes_cuts_the_bytes_between_nodes_where_copies_are_merged(
    copies, reports, capsys
):
    report = reports[4, f"{LIMITED} {copies}"]
    limited, free = report["internode_bytes"], report["internode_bytes_unlimited"]
    with capsys.disabled():
        print(f"\n  a row per {copies}: {limited:,} bytes between nodes, {free:,} without limit")
    assert report["bytes_equal"] and report["max_abs_diff"] <= 1e-6
    # One copy per expert is sent wherever the experts are: a limit alone saves nothing then.
    assert limited < {"expert": 1.1, "gpu": 0.8, "node": 0.6}[copies] * free


@pytest.mark.parametrize("flags", LATENT)
def test_rows_of_latent_experts_are_sent_as_short_as_they_are(flags, reports):
    report = reports[4, flags]
    assert report["bytes_equal"] and report["bytes_sent"] > 0
    assert 0 <= report["max_abs_diff"] <= 1e-6 and report["backward_diff"] > 0
    if flags == LATENT[-1]:
        whole = reports[4, LATENT[-1].replace("16", "0")]
        # The gate is the same, and so are the rows: 48 of 64 float64 numbers are spared of each.
        rows, left = divmod(whole["bytes_sent"] - report["bytes_sent"], (64 - 16) * 8)
        assert left == 0
        # Beside rows goes what each assignment needs: expert and row (int32), weight, its gradient.
        assert (report["bytes_sent"] - rows * 16 * 8) % (4 + 4 + 8 + 8) == 0


@pytest.mark.parametrize("asked", UNEVEN)
def test_uneven_sizes(asked, reports):
    report = reports[asked]
    assert report["ranks"] == asked[0]
    assert report["bytes_equal"] and report["max_abs_diff"] <= 1e-6


def test_float32_differs_by_its_own_rounding_only(reports):
    report = reports[FLOAT32]
    assert 0 < report["max_abs_diff"] < 1e-4
    assert report["bytes_equal"]


@pytest.mark.parametrize("parent", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_a_killed_rank_ends_the_run_and_is_named(parent):
    with start("--steps", "1000000") as job:
        try:
            deadline = time.monotonic() + 60
            while len(ranks := computing_below(job.pid)) < 4:
                assert time.monotonic() < deadline and job.poll() is None
                time.sleep(0.2)
            victim, above = list(ranks.items())[2]
            os.kill(above if parent else victim, signal.SIGKILL)
            killed = time.monotonic()
            _, errors = job.communicate(timeout=60)
        finally:
            job.kill()
    assert time.monotonic() - killed < 30  # its million steps would take hours
    assert job.returncode != 0
    if not parent:
        assert f"(process {victim}) was ended by SIGKILL; all ranks end" in errors
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in ranks):
        assert time.monotonic() < deadline, "a rank outlived its run"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("kill:2", "moe: rank 2 (process "),
        ("kill:0", "moe: rank 0 (process "),
        ("raise:2", "moe: rank 2 failed: RuntimeError: rank 2 was asked to fail"),
        ("hang:1", "still waits after 2 s; ending the run"),
    ],
)
def test_a_rank_that_fails_ends_all(how, message):
    begun = time.monotonic()
    with start("--fail", how, "--timeout", "2" if how[0] == "h" else "60") as job:
        out, errors = job.communicate(timeout=60)
    assert time.monotonic() - begun < 45  # four interpreters start on a busy machine
    assert job.returncode != 0
    assert message in errors and "Traceback" not in errors
    assert out.strip() == "" or "BAD TERMINATION" in out


WRONG = {
    "--router soft": "its slots mix all tokens",
    "--router hash": "it routes by token ids",
    "--router nothing": "router: got 'nothing'",
    "--ranks-per-node 3": "ranks_per_node: got 3",
    "--k 99": "k: got 99",
    "--copies two": "copies: got 'two'",
    "--fail sleep": "fail: got 'sleep'",
    "--tokens -1": "tokens: got -1",
}


@pytest.mark.parametrize("flags", ["--router soft", "--tokens -1"])  # known early, and late
def test_wrong_arguments_end_with_one_line(flags):
    with start(*shlex.split(flags), ranks=2) as job:
        _, errors = job.communicate(timeout=60)
    lines = [line for line in errors.splitlines() if line.startswith("moe:")]
    assert job.returncode == 2
    assert len(lines) == 1 and WRONG[flags] in lines[0] and "Traceback" not in errors


def test_each_wrong_argument_is_named_once():
    with start(*WRONG, ranks=2, code=("-c", SEVERAL)) as job:
        _, errors = job.communicate(timeout=60)
    lines = [line for line in errors.splitlines() if line.startswith("moe:")]
    assert job.returncode == 2 and "Traceback" not in errors  # each of them, on every rank
    assert len(lines) == len(WRONG)
    assert all(message in line for message, line in zip(WRONG.values(), lines))


def test_prediction_by_hand():
    expert_NK = np.array([[2, 3], [0, 1]])
    listed_NK = np.array([[True, True], [True, False]])
    routing = Routing.from_choices(expert_NK, np.ones((2, 2)), 4, listed_NK=listed_NK)
    rest = (np.array([0, 3]), np.arange(4), Cluster(2, 2))
    # Token 0 goes to rank 2 and on to rank 3; token 1 to rank 1 and on to rank 0.
    sent = predicted_bytes(routing, *rest, "node", d_row=10, value_bytes=4)
    row = 2 * 10 * 4
    assert sent[0, 2] == row + 2 * 12 and sent[2, 0] == row + 2 * 4
    assert sent[2, 3] == sent[3, 1] == sent[1, 0] == row + 12
    assert sent[3, 2] == sent[1, 3] == sent[0, 1] == row + 4
    assert sent.sum() == 4 * 2 * row + 5 * 16 and not sent.diagonal().any()
    each = predicted_bytes(routing, *rest, "expert", d_row=10, value_bytes=4)
    assert each[0, 2] == row + 12 and each[2, 0] == row + 4
    assert each[0, 3] == each[3, 0] == 2 * row + 16  # both send there, and back
    assert each.sum() == 3 * (2 * row + 16)


def computing_below(pid: int) -> dict[int, int]:
    """Processes below a launcher that have computed for a second, and their parents."""
    found, below = {}, [pid]
    while below:
        parent = below.pop()
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True
        ).stdout.split()
        for child in map(int, listed):
            below.append(child)
            if seconds(child) > 1:
                found[child] = parent
    return found


def seconds(pid: int) -> float:
    """Processor time of a process; 0 if it is gone."""
    try:
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, times[11:13])) / os.sysconf("SC_CLK_TCK")
