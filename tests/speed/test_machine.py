"""The machine's limits and the layer's speed, from times that a test makes up."""

from __future__ import annotations

import platform
from importlib.metadata import version

import numpy as np
import pytest

from moe import kernels
from moe.speed import machine
from moe.speed.machine import Case, Machine

SHAPE = (6, 8, 4, 5, 2)  # N, D, F, E, K, no two alike


def test_a_case_is_the_layer_tokens_and_a_gradient_of_its_seeds() -> None:
    case = Case.make(SHAPE)
    assert case.layer.d_model == 8 and case.layer.n_experts == 5
    assert case.x_ND.shape == case.dy_ND.shape == (6, 8)
    assert case.x_ND.dtype == case.dy_ND.dtype == np.float32
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(case.x_ND, rng.standard_normal((6, 8), np.float32))
    np.testing.assert_array_equal(case.dy_ND, rng.standard_normal((6, 8), np.float32))
    other = Case.make(SHAPE, seed=1)
    assert (other.x_ND != case.x_ND).all()
    expert = 3 * 8 * 4  # weights
    assert case.flops == 6 * 2 * (2 * expert + 8 * 5)
    logits_NE = case.x_ND @ case.layer.params["gate_DE"]
    touched = len(set(np.argsort(-logits_NE, axis=1)[:, :2].ravel().tolist()))
    assert case.weight_bytes == 4 * (8 * 5 + touched * expert)
    alone = Case.make((1, 8, 4, 5, 2))
    assert alone.weight_bytes == 4 * (8 * 5 + 2 * expert)


def test_a_case_runs_forward_and_both_ways() -> None:
    case = Case.make(SHAPE)
    y_ND, ctx = case.layer.forward(case.x_ND)
    dx_ND, gradients = case.layer.backward(case.dy_ND, ctx)
    np.testing.assert_array_equal(case.forward(), y_ND)
    made_y_ND, made_dx_ND, made = case.both()
    np.testing.assert_array_equal(made_y_ND, y_ND)
    np.testing.assert_array_equal(made_dx_ND, dx_ND)
    assert made.keys() == gradients.keys() == case.layer.params.keys()


def test_tokens_whose_choice_hangs_on_rounding_are_drawn_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [np.arange(6) % 4 == 1, np.zeros(6, bool)]  # tokens 1 and 5, then none
    monkeypatch.setattr(machine, "_nearly_tied", lambda *_: answers.pop(0))
    x_ND = Case.make(SHAPE).x_ND
    rng = np.random.default_rng(0)
    wanted_ND = rng.standard_normal((6, 8), np.float32)
    wanted_ND[[1, 5]] = rng.standard_normal((2, 8), np.float32)
    np.testing.assert_array_equal(x_ND, wanted_ND)


@pytest.mark.parametrize(
    ("logits", "k", "near"),
    [
        ([10_000.0, 9_999.5, 0.0], 1, True),
        ([10_000.0, 9_999.0, 0.0], 1, False),  # a gap of just 1e-4 of the largest
        ([10_000.0, 9_999.5, 0.0], 2, False),  # both are chosen
        ([0.5, 0.0, -10_000.0], 1, True),  # the largest by its size
        ([0.0, -10_000.0, 5.0], 2, False),
        ([1.0, 1.0, 1.0], 3, False),  # all are chosen
    ],
)
def test_which_choices_hang_on_rounding(logits: list[float], k: int, near: bool) -> None:
    x_ND = np.array([logits], np.float32)
    assert machine._nearly_tied(x_ND, np.eye(3), k).tolist() == [near]


def test_the_peak_is_that_of_the_best_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SQUARES", (4, 8))
    calls = machine.peak_calls()
    assert list(calls) == ["sgemm 4", "sgemm 8"]
    a, b = (np.random.default_rng(0).standard_normal((4, 4), np.float32) for _ in range(2))
    np.testing.assert_array_equal(calls["sgemm 4"](), a @ b)
    assert np.asarray(calls["sgemm 8"]()).shape == (8, 8)
    assert machine.peak({"sgemm 4": 1.0, "sgemm 8": 4.0}) == 2 * 8**3 / 4
    assert machine.peak({"sgemm 4": 0.1, "sgemm 8": 4.0}) == 2 * 4**3 / 0.1


def test_reading_is_that_of_the_faster_way() -> None:
    calls = machine.read_calls(4_000)
    # Ones and not zeros, which the system hands out without any memory behind them.
    assert calls["read, numpy"]() == 1.0
    assert calls["read, numpy"].__self__.nbytes == calls["read, kernel"].args[0].nbytes == 4_000
    assert calls["read, kernel"]() == kernels.read_all(np.ones(1_000, np.float32))
    for ways in ((2.0, 4.0), (4.0, 2.0)):
        seconds = dict(zip(("read, numpy", "read, kernel"), ways, strict=True))
        assert machine.reading(seconds, 1_000) == 500.0
        assert machine.reading(seconds) == machine.READ_BYTES / 2
    assert machine.READ_BYTES % 4 == 0 and machine.READ_BYTES >= 128 * 2**20


def test_a_machine_is_measured_in_about_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def timed(calls, blocks, block_seconds, pause):
        asked.update(names=list(calls), seconds=len(calls) * blocks * (block_seconds + pause))
        return dict.fromkeys(calls, 0.5)

    monkeypatch.setattr(machine, "time_in_turn", timed)
    monkeypatch.setattr(machine, "SQUARES", (4, 16, 8))
    read_calls = machine.read_calls
    monkeypatch.setattr(machine, "read_calls", lambda: read_calls(4_000))
    found = machine.measure_machine()
    assert asked["names"] == [*(f"sgemm {n}" for n in machine.SQUARES), "read, numpy",
                              "read, kernel"]  # fmt: skip
    assert 1.5 < asked["seconds"] < 2.5
    assert found.cores == kernels.num_threads() and found.vector_bytes == kernels.VECTOR_BYTES
    assert found.flops_per_s == 2 * max(machine.SQUARES) ** 3 / 0.5
    assert found.bytes_per_s == machine.READ_BYTES / 0.5


def test_a_machine_is_described_in_billions() -> None:
    assert Machine(2, 123.4e9, 10.26e9).describe() == (
        "2 cores, 123 GFLOP/s in float32 matrix products, 10.3 GB/s reading memory"
    )


def test_the_layers_speed_is_its_work_over_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"forward": 2e-3, "both": 8e-3, "sgemm 4": 1e-6, "sgemm 8": 1e-3}
    asked = []

    def timed(calls, blocks):
        asked.append(blocks)
        assert list(calls) == list(times)
        assert isinstance(calls["both"](), tuple) and isinstance(calls["forward"](), np.ndarray)
        return times

    monkeypatch.setattr(machine, "time_in_turn", timed)
    monkeypatch.setattr(machine, "SQUARES", (4, 8))
    monkeypatch.setattr(machine, "SHAPES", {"one": SHAPE, "two": (1, 8, 4, 5, 2)})
    first, second = machine.measure_layers(blocks=7)
    assert asked == [7, 7]
    case, peak = Case.make(SHAPE), 2 * 4**3 / 1e-6
    assert (first.shape, second.shape) == ("one", "two")
    assert (first.n_tokens, first.d_model, first.d_expert, first.n_experts, first.k) == SHAPE
    assert first.forward_ms == pytest.approx(2) and first.forward_backward_ms == pytest.approx(8)
    rate, both = case.flops / 2e-3, 3 * case.flops / 8e-3  # backward is twice forward
    assert first.forward_gflops_per_s == pytest.approx(rate / 1e9)
    assert first.forward_backward_gflops_per_s == pytest.approx(both / 1e9)
    assert first.share_of_peak == pytest.approx(rate / peak)
    assert first.share_of_peak_both == pytest.approx(both / peak)
    assert first.gigabytes_per_s == pytest.approx(case.weight_bytes / 2e-3 / 1e9)


def test_the_shapes_are_what_their_names_say() -> None:
    shapes = machine.SHAPES
    work = {name: n * k * d * f for name, (n, d, f, _, k) in shapes.items()}
    stored = {name: d * f * e for name, (_, d, f, e, _) in shapes.items()}
    assert work["tiny"] < work["small"] < work["mid"] == work["fine"]
    assert stored["tiny"] < stored["small"] < stored["mid"] == stored["fine"]
    assert shapes["fine"][3] == 4 * shapes["mid"][3]  # as much in four times as many experts
    assert shapes["decode"][0] == 1 and shapes["decode16"] == (16, *shapes["decode"][1:])
    assert list(shapes) == ["tiny", "small", "mid", "fine", "decode", "decode16"]
    assert list(machine.SQUARES) == sorted(machine.SQUARES)


def test_versions_are_those_that_run() -> None:
    assert machine.versions() == {
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba", "scipy")},
    }
