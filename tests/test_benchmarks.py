"""The benchmark's arithmetic on made-up timings, its peers against the layer, its page."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import concurrency, constants, invariance, measure, memory, results
from benchmarks.measure import (
    BEST,
    BEST_LIBRARY,
    BEST_TORCH,
    BOTH,
    DENSE,
    DENSE_NUMPY,
    FORWARD,
    ONE_THREAD,
    Plan,
)
from benchmarks.peer import NUMPY, OURS, Peer
from benchmarks.peers import candidates, check, checked, ours
from benchmarks.targets import judged, targets
from docs.generator import speed
from moe.experts import expert_flops
from moe.kernels import items
from moe.kernels.costs import NUMBER_NS
from moe.speed import machine
from moe.speed.machine import SHAPES, SQUARES, Case, peak, peak_calls, read_calls, reading

WIDE_BYTES = 64  # of the run that the page shows, whatever machine the tests run on
TARGETS = targets(WIDE_BYTES)
SMALL = (40, 8, 12, 4, 2)  # widths in fours, which PyTorch's grouped product asks for
TINY_PLAN = Plan(
    {"mid": SMALL}, {"N = 40": SMALL}, blocks=1, block_seconds=0, pause=0, threads=2, calls=3
)
# Peak 100 GFLOP/s, reached by the largest square only.
ROOF_SECONDS = {f"sgemm {size}": 1.0 for size in SQUARES} | {
    f"sgemm {SQUARES[-1]}": 2 * SQUARES[-1] ** 3 / 100e9
}


@pytest.fixture
def timed(monkeypatch):
    """Let every call take as many seconds as the test says."""
    seconds: dict[str, float] = {}
    monkeypatch.setattr(
        measure, "time_in_turn", lambda calls, *args: {name: seconds[name] for name in calls}
    )
    return seconds


def peers_of(case: Case, *names: str) -> dict[str, Peer]:
    return {name: replace(ours(case), name=name) for name in (OURS, *names)}


def made_up(**changed: float) -> dict:
    """Results of a run in which every target is just met."""
    figures = {target.figure: target.bound for target in TARGETS}
    for passed in (FORWARD, BOTH):
        for name in SHAPES:
            prefix = f"{name}/{passed}"
            figures.setdefault(f"{prefix}/times/{BEST}", 2.0)
            figures |= {f"{prefix}/ms/{OURS}": 1.0, f"{prefix}/ms/{NUMPY}": 2.0}
            figures.setdefault(f"{prefix}/share/{OURS}", 0.5)
            figures[f"{prefix}/share/{NUMPY}"] = 0.25
    figures |= {
        f"{name}/{FORWARD}/{what}": 0.9
        for name in ("mid", "fine")
        for what in ("speed-up over dense", "dense share", "threads")
    } | {f"mid/{FORWARD}/threads": 1.9}
    figures |= {"machine/GFLOP/s": 100.0, "machine/GB/s": 10.0, "memory MB/needed": 100.0}
    figures |= {f"memory MB/{OURS}": 130.0, "sweep/N = 1/ms/MoEscope": 1.0}
    figures |= {"sweep/N = 1/ms/plain numpy": 3.0, f"sweep/N = 1/times/{BEST}": 3.0}
    made = results.made([figures | changed], Plan(), ["one thing: a reason."], quick=False)
    return made | {"targets": judged(made["figures"], True, WIDE_BYTES)}


# Figures ---------------------------------------------------------------------------------------


def test_forward_figures_are_ratios_within_the_same_blocks(timed):
    case = Case.make(SMALL)
    work = case.flops / 100e9  # seconds at the peak
    dense_work = SMALL[0] * expert_flops(SMALL[1], SMALL[2] * SMALL[3], "swiglu")
    timed.update(ROOF_SECONDS)
    timed.update({OURS: 2 * work, NUMPY: 3 * work, "HF a": 5 * work, ONE_THREAD: 3.8 * work})
    timed.update({DENSE: 3.6 * work, DENSE_NUMPY: 9 * work})
    found = measure.forward_figures(Plan(), "mid", case, peers_of(case, NUMPY, "HF a"))
    prefix = f"mid/{FORWARD}"
    assert found == pytest.approx(
        {
            f"{prefix}/ms/{OURS}": 2e3 * work,
            f"{prefix}/ms/{NUMPY}": 3e3 * work,
            f"{prefix}/ms/HF a": 5e3 * work,
            f"{prefix}/times/{NUMPY}": 1.5,
            f"{prefix}/times/HF a": 2.5,
            f"{prefix}/times/{BEST}": 1.5,
            f"{prefix}/times/{BEST_TORCH}": 2.5,
            f"{prefix}/times/{BEST_LIBRARY}": 2.5,
            f"{prefix}/share/{OURS}": 1 / 2,
            f"{prefix}/share/{NUMPY}": 1 / 3,
            f"{prefix}/share/HF a": 1 / 5,
            f"{prefix}/roof": 100.0,
            f"{prefix}/threads": 1.9,
            f"{prefix}/speed-up over dense": 1.8,
            f"{prefix}/speed-up over theory": 0.9,  # E / k is 2
            f"{prefix}/dense share": dense_work / (3.6 * work) / 100e9,
        }
    )


def test_few_tokens_are_held_against_reading_what_they_touch(timed):
    n_tokens, d_model, d_expert, n_experts, k = 1, 8, 6, 4, 2
    case = Case.make((n_tokens, d_model, d_expert, n_experts, k))
    assert case.weight_bytes == 4 * (k * 3 * d_model * d_expert + d_model * n_experts)
    timed.update({"read, numpy": 5e-6, "read, kernel": 4e-6})
    timed.update({OURS: 5e-6, NUMPY: 1e-5})
    found = measure.forward_figures(Plan(), "decode", case, peers_of(case, NUMPY))
    assert found[f"decode/{FORWARD}/share/{OURS}"] == pytest.approx(0.8)
    assert found[f"decode/{FORWARD}/roof"] == pytest.approx(case.weight_bytes / 4e-6 / 1e9)
    assert f"decode/{FORWARD}/threads" not in found


def test_forward_and_backward_counts_three_times_the_operations(timed):
    case = Case.make(SMALL)
    timed.update(ROOF_SECONDS)
    timed.update({OURS: 6 * case.flops / 100e9, NUMPY: 1.0})
    found = measure.both_figures(Plan(), "mid", case, peers_of(case, NUMPY))
    assert found[f"mid/{BOTH}/share/{OURS}"] == pytest.approx(0.5)


def test_the_roofs_are_the_best_of_each_kind():
    assert set(peak_calls()) == set(ROOF_SECONDS)
    assert peak(ROOF_SECONDS) == pytest.approx(100e9)
    ways = {"read, numpy": 0.5, "read, kernel": 0.25}
    assert set(read_calls(4000)) == set(ways)
    assert reading(ways, 1000) == 4000


def test_a_sweep_changes_one_number_at_a_time():
    shapes = measure.sweep_shapes()
    assert len(shapes) == sum(len(values) for _, values in measure.SWEEP_VALUES.values())
    for name, shape in shapes.items():
        differing = [a for a, b in zip(shape, measure.SWEEP_BASE) if a != b]
        assert differing in ([], [int(name.split(" = ")[1])])


# Peers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [SMALL, (1, 8, 12, 4, 2), (70, 8, 12, 4, 1), (33, 12, 4, 6, 6), (300, 16, 8, 24, 5)]
)
def test_every_peer_on_this_machine_computes_the_layer_and_its_gradients(shape):
    case = Case.make(shape)
    peers, _ = checked(case)
    assert list(peers)[:2] == [OURS, NUMPY]
    assert all(check(peer, case) < 1e-5 for peer in peers.values())


@pytest.mark.parametrize("wrong", range(3))
def test_a_peer_that_computes_something_else_is_refused(wrong):
    case = Case.make(SMALL)

    def both() -> tuple:
        y_ND, dx_ND, grads = case.both()
        parts = [y_ND, dx_ND, grads["gate_DE"]]
        parts[wrong] *= 1.001
        return y_ND, dx_ND, grads

    with pytest.raises(
        ValueError, match=r"numpy: (y|dx|gate_DE) differs from the layer's by 0.001"
    ):
        check(Peer(NUMPY, case.forward, both, lambda result: result), case)


def test_without_pytorch_its_peers_are_left_out_with_one_sentence(monkeypatch):
    monkeypatch.delitem(sys.modules, "benchmarks.torch_peers", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    peers, left_out = candidates(Case.make(SMALL))
    assert list(peers) == [OURS, NUMPY]
    assert left_out == ["PyTorch and the reference library: torch is not installed."]


def test_no_token_of_a_case_hangs_on_rounding():
    for seed in range(3):
        case = Case.make((3000, 8, 2, 32, 4), seed)
        logits_NE = np.sort(case.x_ND.astype(float) @ case.layer.params["gate_DE"], axis=1)
        assert (logits_NE[:, -4] - logits_NE[:, -5]).min() >= 1e-4 * np.abs(logits_NE).max()


# Memory, threads -------------------------------------------------------------------------------


def test_what_is_needed_is_what_forward_and_backward_hold():
    case = Case.make(SMALL)
    y_ND, ctx = case.layer.forward(case.x_ND)
    dx_ND, grads = case.layer.backward(case.dy_ND, ctx)
    assert ctx.h_SH is not None
    held = [case.x_ND, y_ND, case.dy_ND, dx_ND, ctx.h_SH]
    held += [*case.layer.params.values(), *grads.values()]
    assert memory.needed_bytes(SMALL) == sum(array.nbytes for array in held)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak when asked")
def test_the_peak_holds_what_is_needed():
    shape = (512, 128, 256, 8, 2)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", json.dumps(shape), OURS],
        cwd=memory.ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 0.9 * memory.needed_bytes(shape) < int(done.stdout) < 20 * memory.needed_bytes(shape)


def test_where_the_system_tells_no_peak_there_is_no_figure(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "nothing")
    assert memory.memory_figures(SMALL) == {}


def test_concurrent_calls_give_the_same_bits():
    assert concurrency.differences(n_threads=4, n_calls=12) == 0


def test_other_bits_are_counted(monkeypatch):
    made = iter(range(1000))
    monkeypatch.setattr(concurrency, "_bits", lambda case: [b"%d" % next(made)])
    assert concurrency.differences(n_threads=3, n_calls=5) == 15


# The same bits in any batch ---------------------------------------------------------------------


def test_no_token_of_ours_changes_with_the_batch():
    found = invariance.invariance_figures(SMALL, (1, 5, 17))
    ours_only = {name: share for name, share in found.items() if name.endswith(f"/{OURS}")}
    assert ours_only == {f"batch/{what}/{n}/{OURS}": 0 for what in ("y", "dx") for n in (1, 5, 17)}
    assert set(found) - set(ours_only) >= {f"batch/y/17/{NUMPY}", f"batch/dx/1/{NUMPY}"}


def test_a_token_that_changes_is_counted(monkeypatch):
    def drifting(case: Case) -> tuple[dict[str, Peer], list[str]]:
        peer = ours(case)

        def both() -> tuple:
            y_ND, dx_ND, grads = case.both()
            y_ND[0] += 1e-6 * len(y_ND)
            return y_ND, dx_ND, grads

        return {OURS: replace(peer, both=both)}, []

    monkeypatch.setattr(invariance, "candidates", drifting)
    found = invariance.invariance_figures(SMALL, (4,))
    assert found == {f"batch/y/4/{OURS}": 0.25, f"batch/dx/4/{OURS}": 0}


# Results ---------------------------------------------------------------------------------------


def test_runs_are_joined_by_the_median_of_their_medians():
    runs = [{"a": 1.0, "b": 5.0}, {"a": 4.0, "b": 5.0}, {"a": 2.0, "b": 5.0}]
    assert results.joined(runs) == {
        "a": {"median": 2.0, "low": 1.0, "high": 4.0},
        "b": {"median": 5.0, "low": 5.0, "high": 5.0},
    }


@pytest.mark.parametrize("width", [32, 64])
def test_targets_say_yes_no_or_not_measured(width):
    promised = targets(width)
    just = results.joined([{target.figure: target.bound for target in promised}])
    assert [row["met"] for row in judged(just, True, width)] == [True] * len(promised)
    worse = {
        target.figure: target.bound + (-0.01 if target.at_least else 0.01) for target in promised
    }
    assert not any(row["met"] for row in judged(results.joined([worse]), True, width))
    beside = ("best peer", "transformers' best")
    without = [row for row in judged(just, False, width) if row["met"] is None]
    assert without == [
        row for row in judged(just, False, width) if any(word in row["what"] for word in beside)
    ]
    assert {row["met"] for row in judged({}, True, width)} == {None}


def test_results_are_compared_figure_by_figure(tmp_path):
    path = tmp_path / "old.json"
    results.write({"figures": results.joined([{"a": 2.0, "b": 3.0, "gone": 1.0}])}, path)
    now = results.joined([{"new": 1.0, "b": 3.3, "a": 1.0}])
    rows = results.against(now, results.read(path)["figures"])
    assert rows == [("b", 3.0, 3.3, pytest.approx(1.1)), ("a", 2.0, 1.0, 0.5)]


@pytest.mark.parametrize("text", [None, "not JSON", '{"layers": []}', "[]"])
def test_a_file_that_is_no_result_is_refused(tmp_path, text):
    path = tmp_path / "old.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=r"results: got '.*old.json'"):
        results.read(path)


def test_the_command_measures_prints_and_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "QUICK", TINY_PLAN)
    monkeypatch.setattr(machine, "SQUARES", (64, 128))
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "absent")  # no processes of its own
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.delenv("OPENBLAS_L2_SIZE", raising=False)
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    command.main(["--quick", "--repeat", "2", "--out", str(old)])
    command.main(["--quick", "--out", str(new), "--against", str(old)])
    printed = capsys.readouterr()
    assert "OPENBLAS_CORETYPE would slow numpy down" in printed.err
    for word in ("Targets", "not measured", "Against older results", NUMPY):
        assert word in printed.out
    found = results.read(old)
    assert found["settings"]["runs"] == 2 and found["settings"]["quick"]
    assert found["figures"][f"mid/{FORWARD}/ms/{OURS}"]["median"] > 0
    assert found["figures"][f"sweep/N = 40/times/{BEST}"]["median"] > 0
    assert found["figures"]["concurrent/differences"]["median"] == 0


# The page --------------------------------------------------------------------------------------


def test_every_cost_of_an_operation_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    constants.print_costs(blocks=1, seconds=0.0)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    found = {row[0]: row[1:] for row in rows[: len(NUMBER_NS) + 1]}
    assert set(found) == {*NUMBER_NS, "product"}
    assert all(float(measured) > 0 for measured, _ in found.values())
    assert float(found["combine"][1]) == NUMBER_NS["combine"]


def test_values_of_a_constant_are_timed_in_turn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Server:
        def __init__(self, command: list[str], **options: object) -> None:
            self.name, self.value = command[-2], int(command[-1])

        def communicate(self) -> None:
            order.append(("end", self.value))

    def seconds(server: Server, call: str) -> float:
        order.append((call, server.value))
        return 1.0 if server.value == items.SHORT else 1.5

    order: list[tuple[str, int]] = []
    monkeypatch.setattr(constants.subprocess, "Popen", Server)
    monkeypatch.setattr(constants, "_seconds", seconds)
    constants.main(["items.SHORT", "48"])
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].split() == [str(items.SHORT), "48"]
    assert rows[2].split() == ["tiny", "forward", "1.000", "1.500"]
    assert len(rows) == 2 + len(constants.CALLS)
    turns = [value for call, value in order if call == "fine both"]
    assert turns == [items.SHORT, 48] * constants.BLOCKS
    assert order[-2:] == [("end", items.SHORT), ("end", 48)]


def page_of(made: dict, path) -> str:
    results.write(made, path)
    return speed.page(speed.figure(path).alt, path)


def test_the_page_says_what_was_measured(tmp_path):
    text = page_of(made_up(), tmp_path / "results.json")
    assert f"{len(TARGETS)} of {len(TARGETS)} are met." in text
    assert "Forward reaches 90% of the peak" in text
    assert "at no shape is another one faster." in text
    assert "- one thing: a reason." in text
    assert "## Memory" in text and "| N = 1 | 1 | 3 | plain numpy | 3.00 |" in text


def test_the_page_says_whose_bits_change(tmp_path):
    shares = {f"batch/{what}/3/{OURS}": 0.0 for what in ("y", "dx")}
    shares |= {f"batch/y/3/{NUMPY}": 2 / 3, f"batch/dx/3/{NUMPY}": 1.0}
    text = page_of(made_up(**shares), tmp_path / "results.json")
    assert "| y | plain numpy | 67% |" in text.replace(" – |", "")
    assert "| gradient at x | MoEscope | 0% |" in text.replace(" – |", "")


def test_the_page_shows_the_run_without_avx512_too(tmp_path):
    assert "## Without AVX-512" not in page_of(made_up(), tmp_path / "results.json")
    results.write(made_up(), tmp_path / speed.NARROW)
    text = page_of(made_up(), tmp_path / "results.json")
    assert text.index("## Without AVX-512") > text.index("## Targets")


def test_the_page_says_where_another_one_is_faster(tmp_path):
    slow = {f"small/{FORWARD}/times/{BEST}": 0.5}
    text = page_of(made_up(**slow), tmp_path / "results.json")
    assert "Another one is faster at: small, forward (0.50 times as fast)." in text
    assert f"{len(TARGETS) - 1} of {len(TARGETS)} are met." in text
    (bound,) = [t.bound for t in TARGETS if t.figure == f"small/{FORWARD}/times/{BEST}"]
    assert f"| small, forward: times the best peer's speed | 0.5 | ≥ {bound:g} | no |" in text


def test_the_picture_says_the_best_other_one_at_each_shape(tmp_path):
    results.write(made_up(), tmp_path / "results.json")
    figure = speed.figure(tmp_path / "results.json")
    assert "tiny MoEscope 45%, plain numpy 25%" in figure.alt
    assert {row["name"] for rows in figure.data.values() for row in rows} == {OURS, NUMPY}
