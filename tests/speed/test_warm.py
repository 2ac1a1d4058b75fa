"""Warming up: what is run, and what is said of it, without compiling."""

from __future__ import annotations

import pytest

from moe import ROUTERS, kernels
from moe.capacity import Capacity
from moe.layer import MoELayer
from moe.speed import warm as lab
from moe.speed.warm import WarmStep, warm


def test_a_step_in_words() -> None:
    assert WarmStep("Adam", 0.04, [], 32).describe() == "Adam: ready in 0.0 s"
    assert WarmStep("Adam", 1.26, ["b", "a", "b"], 32).describe() == (
        "Adam: 3 compiled in 1.3 s: a, b x2"
    )


def test_each_part_is_run_once_and_its_compilations_are_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled, ran, now = ["old", "x"], [], [10.0]

    def part(name: str, seconds: float, *new: str):
        def run() -> None:
            ran.append(name)
            now[0] += seconds
            compiled.extend(new)

        return run

    monkeypatch.setattr(kernels, "compiled", lambda: list(compiled))
    monkeypatch.setattr(lab.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(
        lab, "_parts", lambda: {"one": part("one", 1.5, "x", "b", "a"), "two": part("two", 0.5)}
    )
    monkeypatch.setattr(lab, "_layers", lambda dtype: {"three": part(dtype, 2.0, "x")})
    wide = kernels.VECTOR_BYTES
    wanted = [WarmStep("one", 1.5, ["a", "b", "x"], wide), WarmStep("two", 0.5, [], wide)]
    assert list(warm()) == wanted and ran == ["one", "two"]
    steps = list(warm(float64=True))
    assert steps[2] == WarmStep("three, float64", 2.0, ["x"], wide)
    assert ran[2:] == ["one", "two", "float64"]


def test_every_part_runs_what_it_is_named_after(monkeypatch: pytest.MonkeyPatch) -> None:
    made, batches, steps = [], [], []
    init = MoELayer.init

    def spied_init(*sizes, **options):
        made.append((sizes, options))
        return init(*sizes, **options)

    def forward(layer, x_ND):
        batches.append((x_ND.shape, x_ND.dtype.name))
        return x_ND, "context"

    class Adam:
        def step(self, params, gradients):
            steps.append((params["w"].dtype.name, gradients["w"].dtype.name, params.keys()))
            assert params["w"].shape == gradients["w"].shape and gradients["w"].all()

    monkeypatch.setattr(MoELayer, "init", spied_init)
    monkeypatch.setattr(MoELayer, "forward", forward)
    monkeypatch.setattr(MoELayer, "backward", lambda _, dy, ctx: batches.append((dy.shape, ctx)))
    monkeypatch.setattr(lab, "Adam", Adam)
    parts = lab._layers("float32")
    assert list(parts) == [
        "MoE layer", "DeepSeek-V3 gate", "balanced assignment", "other routers", "Adam",
    ]  # fmt: skip
    for run in parts.values():
        run()
    assert {sizes for sizes, _ in made} == {(8, 4, 8)}
    assert {options["dtype"] for _, options in made} == {"float32"}
    # One token takes kernels of its own, so each layer gets one and many.
    both_ways = [(n, kind) for n in ((1, 8), (40, 8)) for kind in ("float32", "context")]
    assert batches == both_ways * len(made)
    assert steps == [("float32", "float32", {"w"})]
    routers = [options["router"] for _, options in made]
    assert routers[0] == "topk" and made[0][1]["n_shared"] == 1
    assert type(routers[1]) is ROUTERS["deepseek_v3"] and routers[1].n_group == 2
    assert routers[2:] == ["base", *ROUTERS, "topk"]
    capacity = made[-1][1]["capacity"]
    assert capacity == Capacity(1.0, "reroute")


def test_the_parts_beside_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(kernels, "prepare", lambda: ran.append("prepare"))
    monkeypatch.setattr(kernels, "read_all", lambda values: ran.append(values.dtype.name))

    class Trainer:
        def __init__(self, settings):
            ran.append((settings.steps, settings.batch < 64, settings.d_model < 64))

        def run(self):
            ran.append("first")
            yield
            ran.append("run to its end")

    monkeypatch.setattr(lab, "Trainer", Trainer)
    monkeypatch.setattr(lab, "_layers", lambda dtype: {dtype: lambda: ran.append(dtype)})
    parts = lab._parts()
    assert list(parts) == [
        "float32", "threads", "training step", "memory", "steering", "cache of experts", "cluster",
    ]  # fmt: skip
    for run in parts.values():
        run()
    assert ran == ["float32", "prepare", (1, True, True), "first", "run to its end", "float32"]
    asked = []
    monkeypatch.setattr(kernels, "must_compile", lambda run: asked.append(run()) or True)
    ran.clear()
    assert lab.first_run() is True and ran[:2] == ["float32", "prepare"] and len(ran) == 6


@pytest.mark.parametrize(
    ("folders", "said"),
    [([], ""), (["/a", "/b"], "no folder for compiled kernels can be written; tried /a, /b")],
)
def test_folders_that_cannot_be_written_are_named(
    monkeypatch: pytest.MonkeyPatch, folders: list[str], said: str
) -> None:
    monkeypatch.setattr(kernels, "unsaved", lambda: folders)
    assert lab.unsaved() == said
