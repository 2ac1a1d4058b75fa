"""Records for the charts, each made once by the cheapest true path."""

from __future__ import annotations

from functools import cache

import numpy as np

import moe
from docs.generator.lm_cases import Case
from docs.generator.strength_chart import Point
from moe.app.cure.story import NOTHING, live_settings
from moe.app.five_million import story as money
from moe.app.moving_data import story as moving
from moe.app.real_models.story import Answers, Question
from moe.app.routers.story import Choice, SideBySide, SideSettings, put_side_by_side
from moe.app.shared.first_model import ready_model
from moe.app.start.story import SentenceRouting, route
from moe.app.your_model.story import YourModel
from moe.lm.tasks import decode
from moe.routing import Routing
from moe.studies.control import ControlSettings, Method, Response, respond_all
from moe.studies.distilling import ALONE, LONGER, READ, TAUGHT, Distilled
from moe.studies.distilling import Look as StudentLook
from moe.studies.language_model import KINDS, Learned
from moe.studies.language_model import Look as LanguageLook
from moe.studies.savings import ACTIVE, MOE, TOTAL, MeasuredCost
from moe.studies.thinking import Look, problems
from moe.sweeps.report import Group, Spread, SweepReport
from moe.traces import samples
from moe.training.runs import Run, run
from tests.app.your_model.test_story import made

SENTENCE = "Every letter goes to two of eight experts, here."  # more than one line of a staff
SMALL = dict(steps=25, batch=64, d_model=16, d_expert=8, n_experts=8)


@cache
def two_runs() -> tuple[Run, Run]:
    """Two short runs that differ in their balancing."""
    a, b = (run(moe.TrainSettings(balance=name, **SMALL)) for name in ("none", "bias"))
    return a, b


@cache
def zero_computation() -> tuple[Run, Run]:
    """Two runs whose experts that compute vary in number."""
    small = SMALL | dict(router="longcat")
    a, b = (run(moe.TrainSettings(balance=name, **small)) for name in ("none", "zero_computation"))
    return a, b


@cache
def responses() -> list[Response]:
    """Six controllers on few tokens."""
    return respond_all(0.01, ControlSettings(n_tokens=256, n_experts=8, batches=40))


@cache
def live() -> tuple[dict[Method, Run], dict[Method, moe.TrainSettings]]:
    """Two of seven live runs."""
    settings = live_settings(0.01)
    first = next(iter(settings))
    return dict(zip((first, NOTHING), two_runs(), strict=True)), settings


@cache
def routing() -> Routing:
    """Twelve tokens of three kinds and two of six experts for each; some find theirs full."""
    rng = np.random.default_rng(5)
    chosen = moe.make_router("topk", k=2).choose(rng.standard_normal((12, 6)).astype(np.float32))
    kept_A = np.ones(chosen.n_assignments, bool)
    kept_A[[3, 10]] = False
    return chosen.with_kept(kept_A)


@cache
def answers() -> Answers:
    """Real models on a machine that some do not fit."""
    return Answers(Question(machine="GeForce RTX 4090", batch=4))


@cache
def cost() -> moe.cost.TrainingCost:
    """The page's first assumptions."""
    return money.Assumed().cost()


@cache
def moved(gpu: str = "H800") -> moving.MovingSettings:
    """Two nodes, few tokens."""
    return moving.MovingSettings(nodes=2, limit=1, tokens=128, gpu=gpu)


@cache
def sides() -> SideBySide:
    """Two routers of which one drops."""
    return put_side_by_side(
        ready_model(), SENTENCE, SideSettings(Choice("topk"), Choice("switch"), room=1.0)
    )


def measured() -> list[MeasuredCost]:
    """Two batch sizes, three layers, two runs each."""
    seconds = {MOE: [1e-3, 2e-3], TOTAL: [4e-3, 3e-3], ACTIVE: [5e-4, 6e-4]}
    return [
        MeasuredCost.of(name, n, [n * s for s in own], [n * s for s in seconds[MOE]], n * gflops)
        for n in (1, 16)
        for (name, own), gflops in zip(seconds.items(), (1.0, 8.0, 0.9), strict=True)
    ]


def sentence() -> SentenceRouting:
    """The first page's model at work, half balanced."""
    return route(ready_model(), SENTENCE, 50)


def sweep(*axes: str) -> SweepReport:
    """A report in which the second group is the best; with 'lr', of curves over a number."""
    if axes:
        varied = [
            {"lr": lr, "router": name} for name in ("topk", "hash") for lr in (0.01, 0.1, 1.0)
        ]
    else:
        varied = [{"router": "topk"}, {"router": "hash"}, {"router": "sinkhorn"}]
    groups = tuple(
        Group(one, 2, {"loss": Spread(2.0 - at % 2, 0.1 * (at + 1), 2)}, best=at == 1)
        for at, one in enumerate(varied)
    )
    return SweepReport("train", groups, 0, (), "lower")


def strengths() -> list[Point]:
    """Two strengths of one balancer, and one of another."""
    return [
        Point(name, "topk", rate, 300, Spread(max_vio, 0.1, 3), Spread(loss, 0.01, 3))
        for name, rate, max_vio, loss in (
            ("aux", 0.01, 2.0, 1.7), ("aux", 0.3, 0.25, 1.6), ("bias", 0.003, 0.2, 1.5),
        )
    ]  # fmt: skip


def language_models() -> list[Case]:
    """Two lengths of a mixture, and one of a dense model."""
    return [
        Case(dense, 0.01, steps, bits, (0.1, 0.2), 1000)
        for dense, steps, bits in (
            ("none", 100, (2.5, 2.7)), ("active", 200, (2.4, 2.6)), ("none", 200, (2.1, 2.3)),
        )
    ]  # fmt: skip


@cache
def several_layers() -> YourModel:
    """A trace of several layers."""
    return YourModel.of(made())


@cache
def one_layer() -> YourModel:
    """A sample."""
    return YourModel.of(samples.SAMPLES[0].load())


def thinking_looks() -> list[Look]:
    """Two looks at a run of sums: the second writes more, and is right."""
    right = [decode(answer_A) for answer_A in problems().answer_BA]
    first = Look(0, 0.25, 0.3, 3.0, 0.2, 0.9, 0.2, 0.1, 4.0, ("01", *right[1:]))
    longer = tuple("034" + text for text in right)
    return [first, Look(1, 0.99, 0.9, 8.0, 0.95, 0.9, None, 0.8, 9.0, longer)]


def learned() -> list[Learned]:
    """A language model of each kind with two looks, its choices among ten experts."""
    letters = tuple("a passage of forty letters, in two rows.")
    chosen = tuple(place % 10 for place in range(len(letters)))
    loads = ((30, *[10] * 9), (10,) * 10)
    return [
        Learned(kind, 0, 100, letters, tuple(
            LanguageLook(step, 1.0, bits + at, ("x",), (chosen, chosen[::-1]), loads)
            for step, bits in ((10, 4.0), (20, 2.4))
        ))
        for at, kind in enumerate(KINDS)
    ]  # fmt: skip


def distilled() -> list[Distilled]:
    """Students of three seeds, whose teacher saves 0.2, 0.3 and 0.4 bits at equal steps.

    At equal seconds it saves 0.1 less, and its text costs 0.1, 0.0 and -0.1.
    """
    return [
        Distilled(seed, 2.0, 40.0, {
            TAUGHT: (StudentLook(10, 4.0, 1.5), StudentLook(20, 2.3 - 0.1 * seed, 3.0)),
            ALONE: (StudentLook(10, 4.5, 1.0), StudentLook(20, 2.5, 2.0)),
            LONGER: (StudentLook(15, 4.0, 1.5), StudentLook(30, 2.4, 3.0)),
            READ: (StudentLook(10, 4.5, 1.5), StudentLook(20, 2.6 - 0.1 * seed, 2.5)),
        })
        for seed in range(3)
    ]  # fmt: skip
