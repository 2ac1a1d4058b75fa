"""What each experiment of a sweep measures, against the code that it stands for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moe
from moe.capacity import DROP_POLICIES, Capacity
from moe.cluster.simulate import ClusterSettings, simulate
from moe.cost import Range, TrainingCost
from moe.studies.causality import ProbeSettings, probe_capacity, probe_router
from moe.studies.control import ControlSettings, Method, respond
from moe.studies.savings import SavingsSettings
from moe.sweeps.experiments import (
    EXPERIMENTS,
    HIGHER,
    LOWER,
    NO_DATA,
    CausalityRun,
    ControlRun,
    CostRun,
    Experiment,
)

TINY = dict(task="linear_maps", d_model=8, d_expert=4, n_experts=4, batch=16, steps=25)


def figures(name: str, settings: Any) -> Any:
    return EXPERIMENTS[name].measure(settings)


def test_a_training_is_measured_at_its_end() -> None:
    settings = moe.TrainSettings(**TINY, capacity_factor=1.0, drop="order")
    trainer = moe.Trainer(settings)
    records = list(trainer.run())
    last = records[5:]
    load_E = np.sum([record.proposed for record in last], axis=0)
    got = figures("train", settings)
    assert got.held_out_loss == trainer.evaluate()
    assert got.loss == pytest.approx(sum(record.loss for record in last) / 20)
    assert got.max_vio == pytest.approx(sum(record.max_vio for record in last) / 20)
    assert got.cv == pytest.approx(sum(record.cv for record in last) / 20)
    assert got.dropped == pytest.approx(sum(record.dropped for record in last) / 20)
    assert got.dropped > 0
    assert got.idle == (records[-1].proposed == 0).sum()
    assert got.hottest_share == load_E.max() / load_E.sum()
    assert got.flops_per_token == pytest.approx(sum(r.executed_flops for r in last) / 20 / 16)


def test_a_controller_is_let_act_under_the_runs_settings() -> None:
    usual = ControlSettings(n_tokens=64, n_experts=4, batches=40, skew=1.0, seed=2)
    for balance in ("pi", "bias(rate=0.01)"):
        got = figures("control", ControlRun(**vars(usual), balance=balance))
        response = respond(Method("mine", "", balance), usual)
        assert got.steady_error == response.steady_error
        assert (got.swing, got.settled_after) == (response.swing, response.settled_after)
    with pytest.raises(ValueError, match="got 'magic', allowed is"):
        ControlRun(balance="magic")
    with pytest.raises(ValueError, match="n_tokens: got 0"):
        ControlRun(n_tokens=0)


def test_savings_are_counted_by_hand() -> None:
    d, f, n, k, tokens = 8, 4, 6, 2, 3
    got = figures("savings", SavingsSettings(d, f, n, k, n_tokens=tokens))
    expert = 3 * d * f  # gate, up and down
    router = d * n
    assert got.total_params == n * expert + router
    assert got.active_params == k * expert + router
    assert got.flops_per_token == pytest.approx(2 * got.active_params)
    # Dense ones of n and of k experts' width read all that they have, the MoE layer what it meets.
    assert got.flops_saved == pytest.approx(1 - (k * expert + router) / (n * expert))
    assert got.bytes_saved == pytest.approx(1 - got.weight_bytes / (4 * n * expert))
    assert got.bytes_saved_to_active == pytest.approx(1 - got.weight_bytes / (4 * k * expert))


@pytest.mark.parametrize("method", ["topk", "expert_choice", "order", "rank"])
def test_the_probe_is_that_of_the_method(method: str) -> None:
    hard = dict(n_early=6, n_future=5, n_experts=4, trials=3, seed=1)
    got = figures("causality", CausalityRun(**hard, method=method))
    settings = ProbeSettings(**hard)
    row = (
        probe_router(moe.make_router(method), settings)
        if method in moe.ROUTERS
        else probe_capacity(Capacity(drop=method), settings)
    )
    assert (got.changed, got.causal, got.claims) == (row.changed, row.found, row.claims)
    assert got.causal == (got.changed == 0)
    assert got.causal == (method in ("topk", "order"))


def test_any_router_or_policy_can_be_probed_and_nothing_else() -> None:
    for method in (*moe.ROUTERS, *DROP_POLICIES):
        assert CausalityRun(method=method).method == method
    with pytest.raises(ValueError, match="method: got 'magic', allowed is one of topk"):
        CausalityRun(method="magic")


def test_a_cost_is_that_of_its_assumptions() -> None:
    run = CostRun("llama-3.1-405b", 3e12, "h100", 0.3, 2.5, 8192, "fp8")
    result = TrainingCost(
        model="llama-3.1-405b", tokens=3e12, gpu="h100", mfu=Range(0.3, 0.3, 0.3),
        dollars_per_hour=Range(2.5, 2.5, 2.5), context=8192, precision="fp8",
    ).result()  # fmt: skip
    got = figures("cost", run)
    hours = result.train_flops / (0.3 * 1979e12) / 3600
    assert got.gpu_hours == pytest.approx(hours, rel=0.01)
    assert got.dollars == pytest.approx(2.5 * got.gpu_hours)
    assert (got.energy_mwh, got.train_flops) == (result.energy_mwh.mid, result.train_flops)
    usual = TrainingCost().result()
    assert figures("cost", CostRun()).dollars == pytest.approx(usual.dollars.mid)
    with pytest.raises(ValueError, match="gpu: got 'x'"):
        CostRun(gpu="x")


def test_a_cluster_is_measured_by_its_summary() -> None:
    settings = ClusterSettings(tokens=512, batch=8, skew=0.5)
    (result,) = simulate(settings)
    got = vars(figures("cluster", settings))
    assert got == {name: result.summary()[name] for name in got} and len(got) == 7


# What is read ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["train", "collapse", "interference"])
def test_trainings_read_the_data_of_their_task(name: str) -> None:
    experiment = EXPERIMENTS[name]
    for task in ("linear_maps", "spirals"):
        settings = experiment.settings(**TINY | dict(task=task))
        assert experiment.data(settings) == next(iter(moe.train(moe.TrainSettings(task=task)))).data


def test_a_text_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    text, data = tmp_path / "own.txt", EXPERIMENTS["train"].data
    settings = moe.TrainSettings(text=str(text))
    with pytest.raises(ValueError, match="text: got"):
        data(settings)
    found = []
    for time, words in enumerate(("one " * 2000, "two " * 2000)):
        text.write_text(words)
        os.utime(text, ns=(time, time))
        found.append(data(settings))
    assert len(set(found)) == 2 and {len(one) for one in found} == {12}
    with pytest.raises(ValueError, match="text: got"):
        data(moe.TrainSettings(text=str(tmp_path)))  # a folder


def test_a_cluster_reads_its_trace_and_the_rest_nothing(tmp_path: Path) -> None:
    trace, data = tmp_path / "a.npz", EXPERIMENTS["cluster"].data
    assert data(ClusterSettings(trace=str(trace))) == data(ClusterSettings()) == NO_DATA == "none"
    trace.write_bytes(b"routes")
    assert data(ClusterSettings(trace=str(trace))) == hashlib.sha256(b"routes").hexdigest()[:12]
    for name in ("control", "savings", "causality", "cost", "reason"):
        assert EXPERIMENTS[name].data(EXPERIMENTS[name].settings()) == "none"


# What is better --------------------------------------------------------------------------------

FIRST = {
    "train": "held_out_loss", "collapse": "hottest_share", "interference": "gate_cosine",
    "reason": "accuracy_last", "distil": "gain", "control": "steady_error",
    "savings": "flops_saved", "causality": "changed",
    "cost": "dollars", "cluster": "overlapped_us", "lm": "bits_per_byte",
    "lm_collapse": "hottest_share", "lm_tokens": "token_last",
    "prune": "after", "upcycle": "bits_per_byte", "opportunistic": "bits",
    "switch": "settling", "traits": "spread",
}  # fmt: skip
MORE_IS_BETTER = {
    "gate_cosine", "embedding_cosine", "flops_saved", "bytes_saved", "accuracy_last",
    "sampled_last", "gain", "gain_seconds",
    "token_last", "topic_last", "quarter_last", "apart", "choices", "spread",
}  # fmt: skip


def test_the_report_ranks_by_what_the_experiment_is_about() -> None:
    assert (LOWER, HIGHER) == ("lower", "higher")
    assert {name: next(iter(kind.better)) for name, kind in EXPERIMENTS.items()} == FIRST
    for kind in EXPERIMENTS.values():
        for figure, better in kind.better.items():
            assert (better == "higher") == (figure in MORE_IS_BETTER), figure
            assert better in ("lower", "higher")


@pytest.mark.parametrize("kind", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_figures_have_their_types_in_order(kind: Experiment) -> None:
    assert list(kind.figure_types()) == list(kind.figures.__dataclass_fields__)
    assert not set(kind.figure_types()) & set(kind.setting_names())  # both are columns of a row
    types = set(kind.figure_types().values())
    assert types <= {float, int, bool, float | None, int | None}
