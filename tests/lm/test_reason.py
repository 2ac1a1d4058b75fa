"""A run that learns to reason: its stages, its records, its bits; and its commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from moe.lm.reason import (
    DEFAULTS,
    PLANS,
    ColdStep,
    Iteration,
    ReasonRun,
    ReasonSettings,
)
from moe.lm.tasks import TASKS
from moe.studies.reasoning import ReasonFigures, _figures, reasoned

SHORT = dict(
    iterations=3, prompts=4, samples=4, cold_steps=5, cold_batch=8, examined=20, check_every=2,
    best_steps=2,
)  # fmt: skip


def short(**more: Any) -> ReasonSettings:
    return ReasonSettings(**SHORT | more)


def records(settings: ReasonSettings) -> list[ColdStep | Iteration]:
    return list(ReasonRun(settings).run())


def test_every_task_has_its_defaults() -> None:
    assert set(DEFAULTS) == set(TASKS)
    for name in TASKS:
        filled = ReasonSettings(task=name).filled()
        for field in ("iterations", "prompts", "cold_steps", "check_every"):
            assert getattr(filled, field) == DEFAULTS[name][field]
        assert replace(filled, iterations=7).filled().iterations == 7


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_is_followed_stage_by_stage(plan: str) -> None:
    run = ReasonRun(short(plan=plan))
    found = list(run.run())
    stages = [one.stage if isinstance(one, ColdStep) else "rl" for one in found[:-1]]
    lengths = {"cold": 5, "rl": 3, "best": 2}
    parts = plan.split("+")
    expected = [stage for stage in parts for _ in range(lengths[stage])]
    if "best" in stages or "best" not in parts:  # without one right answer there is no best one
        assert stages == expected and run.n_steps == len(found)
    iterations = [one for one in found if isinstance(one, Iteration)]
    assert [one.iteration for one in iterations] == list(range(3 * parts.count("rl") + 1))
    assert iterations[-1].examined and iterations[-1].chance_difference is None
    assert [one.examined for one in iterations[:-1]] == [
        one.iteration % 2 == 0 for one in iterations[:-1]
    ]


def test_a_cold_start_ends_where_enough_is_right() -> None:
    found = records(short(cold_steps=60, cold_until=1e-9 + 0.0, task="addition"))
    cold = [one for one in found if isinstance(one, ColdStep)]
    assert len(cold) % 10 == 0
    eager = records(short(cold_steps=60, cold_until=1.0, task="addition"))
    assert sum(isinstance(one, ColdStep) for one in eager) == 60


def bits(settings: ReasonSettings) -> list[Any]:
    """What a run says, without the clock, and the weights that it ends with."""
    run = ReasonRun(settings)
    said = [
        {name: value for name, value in vars(one).items() if name != "seconds"} for one in run.run()
    ]
    return [said, *(array.tobytes() for array in run.model.arrays().values())]


@pytest.mark.parametrize(
    "more",
    [{}, {"gate_bits": 3, "replay": True}, {"entropy_bonus": 0.01, "drop": False}],
    ids=["plain", "replay", "bonus"],
)
def test_same_seed_same_bits_with_one_thread_and_with_two(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    found = []
    for threads in (1, 2):
        monkeypatch.setenv("MOE_NUM_THREADS", str(threads))
        found.append(bits(short(**more)))
    assert found[0] == found[1]
    assert bits(short(seed=1, **more)) != found[0]


def test_a_rounding_sampler_differs_and_another_does_not() -> None:
    for gate_bits, differs in ((None, False), (1, True)):
        *_, before, _ = records(short(gate_bits=gate_bits, drop=False))
        assert isinstance(before, Iteration)
        assert before.routing_difference is not None and before.chance_difference is not None
        assert (before.routing_difference > 0) == differs
        assert (before.chance_difference > 1e-5) == differs


def test_a_fixed_set_of_demonstrations_is_seen_again_and_again() -> None:
    run = ReasonRun(short(cold_problems=3, cold_steps=60, plan="cold"))
    losses = [one.loss for one in run.run() if isinstance(one, ColdStep)]
    fresh = ReasonRun(short(cold_steps=60, plan="cold"))
    others = [one.loss for one in fresh.run() if isinstance(one, ColdStep)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(others[-10:])


def test_figures_are_those_of_the_records() -> None:
    found = records(short())
    cold = [one for one in found if isinstance(one, ColdStep)]
    iterations = [one for one in found if isinstance(one, Iteration)]
    figures = _figures(cold, iterations, 7.0)
    assert figures.accuracy_first == iterations[0].accuracy
    assert figures.accuracy_end == iterations[-1].accuracy
    assert figures.length_last == pytest.approx(sum(one.length for one in iterations) / 4)
    assert figures.supervised_steps == 5 and 0 < figures.cold_seconds < figures.clock_seconds
    same, other = reasoned(short()), vars(figures)
    assert figures.cpu_seconds == 7
    timed = {"clock_seconds", "cold_seconds", "cpu_seconds"}
    assert {k: v for k, v in vars(same).items() if k not in timed} == {
        k: v for k, v in other.items() if k not in timed
    }
    assert isinstance(same, ReasonFigures)


def test_a_cold_start_alone_has_figures_too() -> None:
    found = reasoned(short(plan="cold"))
    assert found.max_vio_top == pytest.approx(found.max_vio_first) and found.max_vio_top > 0
    assert found.accuracy_first == found.accuracy_last == found.accuracy_end


# Commands --------------------------------------------------------------------------------------


def test_reason_prints_a_line_for_each_iteration(run_moe: Callable[..., Any]) -> None:
    flags = [word for n, v in SHORT.items() for word in (f"--{n.replace('_', '-')}", str(v))]
    said = run_moe("lm", "reason", "--task", "mod5", "--seed", "0", *flags, "--json").stdout
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["iteration"] for line in lines] == [0, 1, 2, 3]
    for line in lines:
        assert {"accuracy", "length", "thinks", "max_vio"} <= set(line)
        assert 0 <= line["accuracy"] <= 1 and len(line["samples"]) == 4
    spoken = run_moe("lm", "reason", *flags).stdout
    assert "iteration 3: " in spoken and "right (held out, greedy)" in spoken


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--task", "chess"), "task: got 'chess', allowed is one of mod5, addition"),
        (("--samples", "1"), "samples: got 1, allowed is a whole number in 2..1024"),
        (("--gate-bits", "24"), "gate_bits: got 24, allowed is a whole number in 1..23"),
        (("--plan", "rl"), "plan: got 'rl', allowed is one of cold+rl"),
    ],
)
def test_a_wrong_value_of_reason_is_refused_in_one_line(
    run_moe: Callable[..., Any], flags: tuple[str, ...], said: str
) -> None:
    ended = run_moe("lm", "reason", *flags, code=2)
    assert ended.stderr.startswith(f"moe: {said}") and ended.stderr.count("\n") == 1
