"""A live run: the same recipe is the same run, and every control acts from its step on."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from moe import kernels
from moe.balance import BALANCERS
from moe.routers import ROUTERS
from moe.training import LiveRecord, LiveRun, Recipe, Trainer, TrainSettings, suits
from moe.training.controls import BALANCING
from moe.training.live import SAMPLE, expert_axis

SMALL = TrainSettings(
    n_experts=8, d_model=16, d_expert=8, batch=128, context=3, sequence_length=32,
    learning_rate=5e-3,
)  # fmt: skip
PLANE = TrainSettings(task="spirals", n_experts=4, d_model=8, d_expert=8, batch=128)
CHANGES = (
    (2, "balancing", "deepseek"), (4, "k", 1), (5, "off", [1, 6]), (7, "room", 1.0),
    (8, "text", "names"), (9, "k", 3), (10, "off", [0]), (11, "balancing", "strong"),
    (12, "off", []), (12, "room", None), (13, "vector", [3, [0.5] * 16]), (14, "text", "all"),
)  # fmt: skip


def same(one: LiveRecord, other: LiveRecord) -> bool:
    """Whether two records are equal to the last bit."""
    plain = ("step", "loss", "mean_loss", "max_vio", "idle", "dropped")
    arrays = ("inputs", "token_A", "expert_A", "weight_A", "kept_A")
    return (
        all(getattr(one, name) == getattr(other, name) for name in plain)
        and np.array_equal(one.share_E, other.share_E)
        and all(
            np.array_equal(getattr(one.sample, name), getattr(other.sample, name))
            for name in arrays
        )
    )


def steps(run: LiveRun, n: int) -> list[LiveRecord]:
    return [run.step() for _ in range(n)]


@pytest.mark.parametrize("settings", [SMALL, PLANE])
def test_without_changes_it_is_the_run_of_a_trainer(settings: TrainSettings) -> None:
    trainer, run = Trainer(settings), LiveRun(settings)
    for mine, other in zip(steps(run, 12), (trainer.step() for _ in range(12)), strict=True):
        assert (mine.step, mine.loss, mine.max_vio) == (other.step, other.loss, other.max_vio)
        assert np.allclose(mine.share_E * other.load.sum(), other.load, atol=1e-3)
    arrays = run.trainer.arrays()
    assert all(np.array_equal(arrays[name], array) for name, array in trainer.arrays().items())


@pytest.mark.parametrize("threads", [1, 2])
def test_a_recipe_replays_to_the_same_bits(threads: int) -> None:
    with kernels.using(threads=threads):
        live = LiveRun(SMALL)
        records, waiting = [], list(CHANGES)
        while live.n_steps < 18:
            while waiting and waiting[0][0] == live.n_steps:
                live.change(*waiting.pop(0)[1:])
            records.append(live.step())
        written = json.loads(json.dumps(live.recipe.as_json()))
        again = LiveRun(SMALL, CHANGES)
        assert Recipe.from_json(written).as_json() == live.recipe.as_json()
        assert again.recipe.as_json() == written
        assert all(same(*pair) for pair in zip(records, steps(again, 18), strict=True))
        replayed = LiveRun.replay(Recipe.from_json(written), 18)
    assert same(live.step(), replayed.step())
    alone = LiveRun.replay(live.recipe, 19)  # with as many threads as there are
    arrays = alone.trainer.arrays()
    assert all(np.array_equal(arrays[n], array) for n, array in live.trainer.arrays().items())


def test_a_copy_goes_on_by_itself() -> None:
    run = LiveRun(SMALL, [(6, "balancing", "deepseek")])
    steps(run, 5)
    copy = run.copy()
    later = steps(run, 5)
    assert all(same(*pair) for pair in zip(later, steps(copy, 5), strict=True))
    copy.change("off", [2])
    steps(copy, 3)
    assert not run.controls.off and same(run.step(), LiveRun.replay(run.recipe, 11).step()) is False
    assert copy.trainer.task is run.trainer.task


def test_an_expert_that_is_off_gets_nothing_and_comes_back_as_it_was() -> None:
    run = LiveRun(SMALL, [(0, "balancing", "deepseek")])
    steps(run, 6)
    before = run.trainer.layer.params["w_down_EFD"][[2, 5]].copy()
    run.change("off", {5, 2})
    for record in steps(run, 30):
        assert not record.share_E[[2, 5]].any() and np.isclose(record.share_E.sum(), 1)
        assert not np.isin(record.sample.expert_A, [2, 5]).any()
        weight_N2 = record.sample.weight_A.reshape(SAMPLE, 2)
        assert np.allclose(weight_N2.sum(axis=1), 1, atol=1e-6)
        assert 0 <= record.max_vio <= 6 / 2 - 1  # of the six that are left
    run.change("off", [2])
    place = run.controls.on.tolist().index(5)
    assert np.array_equal(run.trainer.layer.params["w_down_EFD"][place], before[1])
    assert max(record.share_E[5] for record in steps(run, 40)) > 0


def test_without_some_experts_the_others_do_what_they_would_do_alone() -> None:
    run = LiveRun(SMALL)
    steps(run, 4)
    inputs = np.random.default_rng(0).integers(0, 256, (200, 3)).astype(np.uint8)
    x_ND = run.trainer.embed(inputs)
    logits_NE = x_ND @ run.trainer.layer.params["gate_DE"]
    run.change("off", [0, 3])
    logits_NE[:, [0, 3]] = -np.inf
    assert np.array_equal(run.route(inputs), logits_NE.argmax(axis=1))
    routing = run.trainer.layer.route(x_ND)
    best_N2 = -np.sort(-logits_NE, axis=1)[:, :2].astype(np.float64)
    weight_N2 = np.exp(best_N2) / np.exp(best_N2).sum(axis=1, keepdims=True)
    assert np.allclose(routing.weight_A.reshape(-1, 2), weight_N2, atol=1e-6)


def test_each_control_acts() -> None:
    def after(control: str, value: object, run: LiveRun | None = None) -> LiveRecord:
        run = run or LiveRun(SMALL)
        steps(run, 3)
        run.change(control, value)
        return steps(run, 12)[-1]

    assert set(np.bincount(after("k", 1).sample.token_A)) == {1}
    assert set(np.bincount(after("k", 5).sample.token_A)) == {5}
    tight = after("room", 0.5)
    assert tight.dropped >= 0.5 and tight.share_E.max() < 0.14
    assert not tight.sample.kept_A.all()
    names = after("text", "names").sample.inputs
    assert set(bytes(names)) <= set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -\n")
    off, gentle, strong, bias = (after("balancing", word).max_vio for word in BALANCING)
    assert strong < gentle < off and bias < off
    biased = LiveRun(SMALL)
    after("balancing", "deepseek", biased)
    assert biased.trainer.layer.buffers["select_bias_E"].any()
    biased.change("balancing", "off")
    assert not biased.trainer.layer.buffers["select_bias_E"].any()


def test_the_plane_takes_any_router_and_balancer_and_a_router_vector() -> None:
    run = LiveRun(PLANE)
    steps(run, 2)
    for router in ROUTERS:
        balance = next(name for name in ("bias", "aux", "none") if suits(name, router))
        run.change("balance", "none")
        run.change("router", router)
        run.change("balance", balance)
        assert np.isfinite(run.step().loss), router
    run.change("balance", "none")
    run.change("router", "topk")
    for balance in BALANCERS:
        if suits(balance, "topk"):
            run.change("balance", balance)
            assert np.isfinite(run.step().loss), balance
    run.change("task", "moons")
    assert np.isfinite(run.step().loss)
    again = LiveRun.replay(run.recipe, run.n_steps)
    assert same(run.step(), again.step())
    points = np.random.default_rng(1).standard_normal((50, 2))
    x_ND = run.trainer.embed(points)
    run.change("balance", "none")
    run.set_router_vector(1, 100 * x_ND[0])
    assert run.route(points[:1]).tolist() == [1]


@pytest.mark.parametrize("router", [name for name in ROUTERS if name != "soft"])
def test_experts_go_off_and_come_back_with_any_router(router: str) -> None:
    run = LiveRun(TrainSettings(task="spirals", n_experts=12, d_model=8, d_expert=8, batch=64))
    run.change("router", router)
    steps(run, 2)
    try:
        run.change("off", [1, 2, 4])
    except ValueError as error:
        allowed = ("allowed is", "allowed are")
        assert any(word in str(error) for word in allowed)
        return
    for record in steps(run, 3):
        assert not record.share_E[[1, 2, 4]].any() and np.isfinite(record.loss)
    run.change("router", "topk")
    run.change("off", [])
    assert np.isfinite(run.step().loss)
    assert same(run.step(), LiveRun.replay(run.recipe, run.n_steps).step()) is False


@pytest.mark.parametrize(
    ("control", "value", "says"),
    [
        ("speed", 1, "control: got 'speed', allowed is one of balancing"),
        ("balancing", "weak", "balancing: got 'weak', allowed is one of off, gentle"),
        ("balancing", None, "balancing: got None"),
        ("k", 0, "k: got 0, allowed is a whole number in 1..8"),
        ("k", 9, "k: got 9"),
        ("k", 2.5, "k: got 2.5"),
        ("room", 0, "room: got 0, allowed is a number > 0"),
        ("room", "tight", "room: got 'tight'"),
        ("room", float("nan"), "room: got nan"),
        ("off", [8], "off: got 8, allowed is a whole number in 0..7"),
        ("off", [1, 1], "off: got [1, 1], allowed is each expert once"),
        ("off", "1", "off: got '1', allowed is a list"),
        ("off", list(range(7)), "off: got 7 of 8 experts, allowed are at most 6"),
        ("text", "latin", "text: got 'latin', allowed is one of all, prose"),
        ("task", "moons", "task: got 'moons', allowed is one of text"),
        ("router", "best", "router: got 'best'"),
        ("balance", 3, "balance: got 3"),
        ("balance", "zero_computation", "balance: got 'zero_computation' with router"),
        ("vector", [0, [1.0]], "vector: got 1 numbers, allowed are 16"),
        ("vector", [9, [1.0] * 16], "vector: expert: got 9"),
        ("vector", [0, [float("inf")] * 16], "vector: got inf"),
        ("vector", 7, "vector: got 7"),
        ("off", object(), "value: got <object"),
    ],
)
def test_bad_values_change_nothing(control: str, value: object, says: str) -> None:
    run = LiveRun(SMALL)
    before = run.recipe
    with pytest.raises(ValueError) as error:
        run.change(control, value)
    assert str(error.value).startswith(says)
    assert run.recipe == before and np.isfinite(run.step().loss)


@pytest.mark.parametrize(
    "broken",
    [
        lambda data: 7,
        lambda data: {"settings": {}},
        lambda data: data | {"settings": {"speed": 1}},
        lambda data: data | {"settings": {"n_experts": "many"}},
        lambda data: data | {"settings": [1]},
        lambda data: data | {"changes": "off"},
        lambda data: data | {"changes": [[1, "k"]]},
        lambda data: data | {"changes": [[-1, "k", 1]]},
        lambda data: data | {"changes": [[5, "k", 1], [4, "k", 2]]},
        lambda data: data | {"changes": [[5, ["k"], 1]]},
        lambda data: data | {"changes": [[1, "off", [0, 1, 2]], [2, "k", 6]]},
        lambda data: data | {"changes": [[1, "k", 1]] * 1000},
    ],
)
def test_recipes_that_are_none_say_so(broken: Callable[[dict], object]) -> None:
    with pytest.raises(ValueError, match="got"):
        Recipe.from_json(broken(LiveRun(SMALL).recipe.as_json()))


def test_array_names_say_which_axis_is_the_experts() -> None:
    found = {n: expert_axis(n) for n in ("gate_DE", "w_gate_up_ED2F", "b_gate_up_E2F", "out_DV")}
    assert found == {"gate_DE": 1, "w_gate_up_ED2F": 0, "b_gate_up_E2F": 0, "out_DV": None}
    assert expert_axis("aux_count_WE") == 1 and expert_axis("residual_EE") is None


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gentle_helps_without_balancing_and_strong_balances_and_costs(seed: int) -> None:
    settings = TrainSettings(
        n_experts=8, d_model=32, d_expert=32, batch=512, context=4, sequence_length=32,
        learning_rate=5e-3, seed=seed,
    )  # fmt: skip
    vio, loss = {}, {}
    for word in BALANCING:
        run = LiveRun(settings, [(0, "balancing", word)])
        records = steps(run, 150)
        vio[word] = np.mean([record.max_vio for record in records[60:120]])
        loss[word] = records[-1].mean_loss
    assert vio["off"] > 1.3 * vio["gentle"] > 1.3 * 2 * vio["strong"]
    assert vio["deepseek"] < 0.75 * vio["gentle"]
    assert loss["strong"] > max(loss["gentle"], loss["deepseek"], loss["off"]) + 0.1
