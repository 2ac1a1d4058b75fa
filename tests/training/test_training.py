"""Training shows the truths: collapse, repair, and what they do to the loss."""

from __future__ import annotations

import dataclasses
import gc
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import moe
from moe import kernels, metrics
from moe.capacity import DROP_POLICIES
from moe.data import TASKS
from moe.kernels import workspace
from moe.optim import Adam
from moe.training import suits
from moe.training.runs import run, run_steps
from tests.gradients import worst_error

SMALL = dict(d_model=16, d_expert=12, n_experts=6, batch=64, steps=3)


@pytest.fixture(scope="module")
def runs() -> dict[str, object]:
    """The app's default runs on one seed, each balance method once."""
    return {name: run(moe.TrainSettings(balance=name)) for name in ("none", "aux", "bias")}


def test_without_balancing_load_collapses_and_bias_repairs_it(runs: dict) -> None:
    none, bias = (runs[name].summary() for name in ("none", "bias"))
    assert none.max_vio >= 5 * bias.max_vio
    assert none.dead >= 1 and bias.dead == 0
    assert none.hottest_share > 3 * none.fair_share


def test_the_auxiliary_loss_repairs_it_too_and_a_weaker_one_halfway(runs: dict) -> None:
    none, aux = (runs[name].summary() for name in ("none", "aux"))
    assert none.max_vio >= 5 * aux.max_vio and aux.dead == 0
    weak = run(moe.TrainSettings(balance="aux", balance_rate=0.01)).summary()
    assert aux.max_vio < weak.max_vio < none.max_vio


def test_balance_pays_in_loss_on_text_held_out(runs: dict) -> None:
    none, aux, bias = (runs[name].summary() for name in ("none", "aux", "bias"))
    assert max(bias.loss, aux.loss) < none.loss
    assert max(bias.held_out_loss, aux.held_out_loss) < none.held_out_loss
    assert none.held_out_loss < runs["none"].records[0].loss


def test_another_seed_tells_the_same_story() -> None:
    ends = {
        name: run(moe.TrainSettings(balance=name, seed=11, steps=150)).summary().max_vio
        for name in ("none", "bias")
    }
    assert ends["none"] >= 3 * ends["bias"]


@pytest.mark.parametrize("router", list(moe.ROUTERS))
@pytest.mark.parametrize("task", ["text", "spirals", "linear_maps"])
def test_same_seed_same_records_for_any_threads(router: str, task: str) -> None:
    balance = "aux" if moe.ROUTERS[router].scored else "none"
    settings = moe.TrainSettings(task=task, router=router, balance=balance, **SMALL)
    lines = []
    for threads in (1, 2, 3):
        with kernels.using(threads=threads):
            lines.append([json.dumps(record.as_json()) for record in moe.train(settings)])
    assert lines[0] == lines[1] == lines[2]
    other = dataclasses.replace(settings, seed=1)
    assert [json.dumps(r.as_json()) for r in moe.train(other)] != lines[0]


@pytest.mark.parametrize("task", ["text", "moons", "linear_maps"])
def test_both_backends_train_alike(task: str) -> None:
    settings = moe.TrainSettings(task=task, **SMALL)
    fast = [record.loss for record in moe.train(settings)]
    with kernels.using("numpy"):
        plain = [record.loss for record in moe.train(settings)]
    assert np.allclose(fast, plain, rtol=1e-4)


@pytest.mark.parametrize("balance", ["aux", "importance_load+simple_diverse"])
def test_one_step_follows_the_gradient_of_the_whole_model(balance: str) -> None:
    """The step's gradients, seen through a fake optimiser, equal finite differences."""
    trainer = moe.Trainer(moe.TrainSettings(balance=balance, **SMALL))
    trainer.layer = trainer.layer.astype("float64")
    trainer.params = {name: array.astype(float) for name, array in trainer.params.items()}
    inputs, target = trainer.task.draw(np.random.default_rng(5), 40)
    trainer.task = dataclasses.replace(trainer.task)
    object.__setattr__(trainer.task, "draw", lambda rng, size, run: (inputs, target))
    seen: dict[str, np.ndarray] = {}

    class Spy(Adam):
        def step(self, params: object, grads: object) -> None:
            seen.update(grads)  # type: ignore[call-overload]

    trainer.optimizer = Spy()
    trainer.step()

    def loss() -> float:
        x_ND = trainer.embed(inputs)
        y_ND, ctx = trainer.layer.forward(x_ND)
        out_NV = (x_ND + y_ND) @ trainer.params["out_DV"]
        balance_loss = trainer.balancer.loss(ctx.routing).value
        balance_loss += trainer.balancer.param_loss(trainer.layer.params)[0]
        return trainer._loss(out_NV, target)[0] + balance_loss

    arrays = trainer.params | trainer.layer.params
    assert set(seen) == set(arrays)
    assert worst_error(loss, arrays, seen) <= 1e-6


@pytest.mark.parametrize("task", list(TASKS))
def test_every_task_is_learnt(task: str) -> None:
    records = list(moe.train(moe.TrainSettings(task=task, steps=60, batch=256)))
    assert records[-1].loss < 0.8 * records[0].loss


def test_records_add_up() -> None:
    settings = moe.TrainSettings(capacity_factor=1.0, drop="score", n_shared=1, **SMALL)
    for step, record in enumerate(moe.train(settings)):
        assert record.step == step
        assert record.proposed.sum() == 64 * 2
        assert record.load.max() <= np.ceil(64 * 2 / 6)
        assert record.dropped == pytest.approx(1 - record.load.sum() / 128)
        assert record.dead == (record.proposed == 0).sum()
        rows = record.load.sum() + 64  # kept assignments, and every token through shared
        assert record.executed_flops == rows * 6 * 16 * 12 + 64 * 2 * 16 * 6
        assert len(record.data) == 12
        json.dumps(record.as_json())


PART_OF = {
    "table_CVD": "embedding", "in_ID": "embedding", "in_bias_D": "embedding", "out_DV": "output",
    "gate_DE": "gate", "noise_DE": "gate", "gate_scale_1": "gate", "threshold_E": "gate",
    "w_gate_up_ED2F": "experts", "w_down_EFD": "experts",
    "shared_w_gate_up_D2F": "experts", "shared_w_down_FD": "experts",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "freeze"),
    [
        (dict(), "experts"),
        (dict(n_shared=1), "experts"),
        (dict(router="noisy_topk"), "gate"),
        (dict(router="soft"), "gate"),
        (dict(router="dynmoe"), "gate"),
        (dict(), "embedding"),
        (dict(task="linear_maps"), "embedding+gate"),
        (dict(n_shared=1), "experts+gate+embedding"),
    ],
    ids=str,
)
def test_frozen_parts_keep_their_bits_and_others_learn(change: dict, freeze: str) -> None:
    trainer = moe.Trainer(moe.TrainSettings(**SMALL | change, freeze=freeze))
    before = {name: array.copy() for name, array in trainer.arrays().items()}
    list(trainer.run())
    for name, array in trainer.arrays().items():
        kept = PART_OF[name] in freeze.split("+")
        assert np.array_equal(array, before[name]) == kept, name


def test_freezing_nothing_is_the_plain_run_and_what_is_frozen_is_in_the_settings() -> None:
    plain = moe.Trainer(moe.TrainSettings(**SMALL))
    frozen = moe.Trainer(moe.TrainSettings(**SMALL, freeze="experts"))
    first, second = plain.step(), frozen.step()
    assert first.as_json() == second.as_json()  # nothing had been learnt yet
    assert np.array_equal(plain.layer.params["gate_DE"], frozen.layer.params["gate_DE"])
    assert dataclasses.asdict(frozen.settings)["freeze"] == "experts"


def test_the_two_losses_gradients_add_up_to_the_step_s() -> None:
    trainer = moe.Trainer(moe.TrainSettings(balance="aux", balance_rate=0.3, **SMALL))
    made = trainer.begin()
    both = trainer.gradients(made)
    task, balance = (trainer.gradients(made, **{other: False}) for other in ("balance", "task"))
    for name, grad in both.items():
        assert np.allclose(task[name] + balance[name], grad, rtol=1e-4, atol=1e-7), name
    assert balance["gate_DE"].any() and not balance["out_DV"].any()
    assert not balance["w_down_EFD"].any()
    assert not trainer.gradients(made, task=False, balance=False)["gate_DE"].any()


def test_own_text(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_bytes(b"abcdefghij" * 300)
    trainer = moe.Trainer(moe.TrainSettings(text=str(path), steps=60, batch=128, d_model=16))
    records = list(trainer.run())
    assert records[-1].loss < 0.1 and trainer.evaluate(256) < 0.1
    with pytest.raises(ValueError, match="text: got"):
        moe.train(moe.TrainSettings(text=str(tmp_path / "none")))


def test_pasted_text_trains_like_a_file(tmp_path: Path) -> None:
    raw = b"one two three four five " * 100
    (tmp_path / "own.txt").write_bytes(raw)
    small = SMALL | dict(text=str(tmp_path / "own.txt"))
    *_, pasted = run_steps(moe.TrainSettings(**SMALL), raw)
    from_path = run(moe.TrainSettings(**small))
    assert [r.as_json() for r in pasted.records] == [r.as_json() for r in from_path.records]
    with pytest.raises(ValueError, match="bytes of text: got 5"):
        run_steps(moe.TrainSettings(**SMALL), b"short")


def test_router_noise_does_not_change_the_batches() -> None:
    quiet, noisy = (moe.Trainer(moe.TrainSettings(router=r, **SMALL)) for r in ("topk", "switch"))
    assert np.array_equal(quiet.params["table_CVD"], noisy.params["table_CVD"])
    quiet.step(), noisy.step()
    a, b = (t._data_rng.integers(0, 1 << 30, 4) for t in (quiet, noisy))
    assert np.array_equal(a, b)


BAD = {
    "k": (dict(k=17), "k: got 17"),
    "task": (dict(task="chess"), "task: got 'chess', allowed is one of text, spirals"),
    "balance": (
        dict(balance="magic"),
        "balance: got 'magic', allowed is one of none, aux, bias, quantile",
    ),
    "rate": (dict(balance_rate=-1.0), "balance_rate: got -1.0"),
    "capacity": (dict(capacity_factor=-0.5, drop="order"), "capacity_factor: got -0.5"),
    "drop alone": (dict(drop="order"), "drop: got 'order' with capacity_factor None"),
    "steps": (dict(steps=0), "steps: got 0"),
    "freeze": (dict(freeze="experts+head"), "freeze: got 'head', allowed is one of experts, gate"),
    "freeze nothing": (dict(freeze=""), "freeze: got '', allowed is one of experts, gate"),
    "learning rate": (dict(learning_rate=0.0), "learning_rate: got 0.0"),
    "bias without buffer": (
        dict(router="noisy_topk", balance="bias"),
        "balance: got 'bias' with router 'noisy_topk', allowed is it with one of topk, switch",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_named(case: str) -> None:
    change, message = BAD[case]
    with pytest.raises(ValueError) as caught:
        moe.TrainSettings(**change)  # type: ignore[arg-type]
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_every_setting_carries_its_help() -> None:
    for field in dataclasses.fields(moe.TrainSettings):
        assert field.metadata["help"].endswith(".")


def python_lines(**change: object) -> int:
    """Lines of Python, those of a loop each time, that one training step runs."""
    trainer = moe.Trainer(moe.TrainSettings(**SMALL | change))  # type: ignore[arg-type]
    trainer.step()
    lines, before = 0, sys.gettrace()

    def count(frame: object, event: str, argument: object) -> object:
        nonlocal lines
        lines += event == "line"
        return count

    gc.collect()  # or memory of earlier trainers might come back during this step
    gc.disable()
    try:
        with kernels.using(threads=1):
            sys.settrace(count)  # type: ignore[arg-type]
            trainer.step()
    finally:
        sys.settrace(before)  # who measures which lines run goes on
        gc.enable()
    return lines


FEW, MANY = dict(batch=512, n_experts=32), dict(batch=2048, n_experts=96)
OTHERS = [
    *({"router": name} for name in moe.ROUTERS),
    *({"task": name} for name in TASKS),
    *(
        {"balance": name, "router": next(r for r in moe.ROUTERS if suits(name, r))}
        for name in moe.BALANCERS
    ),
    *({"drop": name, "capacity_factor": 1.0} for name in DROP_POLICIES if name != "none"),
]


@pytest.fixture(scope="module")
def frozen() -> Iterator[None]:
    """Spare what was there before the 120 collections of `python_lines`."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("change", OTHERS, ids=lambda change: "-".join(map(str, change.values())))
def test_a_step_runs_no_python_per_token_or_expert(
    change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "LEAST", 1 << 60)  # its lines depend on sizes and history
    few, many = python_lines(**change, **FEW), python_lines(**change, **MANY)
    assert many < few + 32


def test_a_python_loop_over_experts_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(load_E: np.ndarray) -> float:
        top = 0
        for load in load_E.tolist():
            top = max(top, load)
        return float(top / load_E.mean() - 1)

    monkeypatch.setattr(workspace, "LEAST", 1 << 60)
    monkeypatch.setattr(metrics, "max_vio", slow)
    assert python_lines(**MANY) >= python_lines(**FEW) + 2 * (MANY["n_experts"] - FEW["n_experts"])
