"""Every export holds what its page shows, under the right name, and its code does the same."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest

import moe
from moe.app.cure import share as cure_share
from moe.app.cure.story import judge
from moe.app.moving_data import share as moving_data_share
from moe.app.moving_data.story import MovingSettings
from moe.app.real_models import share as real_models_share
from moe.app.real_models import who_works
from moe.app.real_models.story import Answers, Question
from moe.app.routers import share as routers_share
from moe.app.routers.story import Choice, SideSettings, put_side_by_side
from moe.app.savings import share as savings_share
from moe.app.shared import sharing
from moe.app.shared.first_model import (
    FirstModel,
)
from moe.app.start import share as start_share
from moe.app.start.story import route
from moe.app.start.walk import walk
from moe.data import token_text
from moe.speed.machine import Machine
from moe.studies.control import ControlSettings, respond_all
from moe.studies.savings import ACTIVE, MOE, TOTAL, MeasuredCost, SavingsSettings, count
from moe.training import Trainer
from tests.app.visit import made_by, plain, read


@pytest.fixture(scope="module")
def model() -> FirstModel:
    """Hardly trained, with a bonus that moves characters."""
    bonus_E = np.linspace(0.3, -0.3, 8, dtype=np.float32)
    trainer = Trainer(moe.TrainSettings(n_experts=8, steps=3, batch=64, seed=1))
    for _ in trainer.run():
        pass
    return FirstModel(trainer, 0.0, bonus_E)


def test_the_first_page(model: FirstModel) -> None:
    found = read(start_share.document(model, "Hello", 2, 50), "start")
    routing, walked = route(model, "Hello", 50), walk(model, "Hello", 50)
    assert not np.array_equal(routing.load_E, route(model, "Hello", 0).load_E)
    assert moe.TrainSettings(**found.pop("settings")) == model.trainer.settings
    assert found == {
        "data": model.trainer.task.sha256,
        "sentence": "Hello",
        "balancing_percent": 50,
        "without": None,
        "load": list(routing.load_E),
        "experts": [list(row) for row in routing.expert_NK],
        "weights": [list(row) for row in routing.weight_NK.astype(float)],
        "character": {
            "position": 2,
            "token": "l",
            "logits": list(walked.logits_NE[2].astype(float)),
            "scores": list(walked.scores_NE[2].astype(float)),
            "bias": [pytest.approx(half) for half in model.bias_E / 2],
            "experts": list(routing.expert_NK[2]),
            "weights": [pytest.approx(weight) for weight in routing.weight_NK[2]],
            "parts": list(walked.part_ONK[0, 2]),
            "executed_flops": walked.executed_flops,
            "all_flops": walked.all_flops,
            "guesses": [
                [token_text(byte), float(p)]
                for byte, p in zip(
                    walked.guess_ONG[0, 2], walked.probability_ONG[0, 2], strict=True
                )
            ],
        },
    }


def test_the_page_on_routers(model: FirstModel) -> None:
    settings = SideSettings(Choice("topk", (("k", 3),)), Choice("soft"), room=1.0)
    found = read(routers_share.document(model, "Hello", settings), "routers")
    assert found["settings"] == plain(asdict(settings))
    assert moe.TrainSettings(**found["model"]) == model.trainer.settings
    assert (found["data"], found["sentence"]) == (model.trainer.task.sha256, "Hello")
    assert found["words"] == put_side_by_side(model, "Hello", settings).words()


def test_the_page_on_cures() -> None:
    settings = ControlSettings(n_tokens=64, n_experts=4, batches=10)
    responses = respond_all(0.01, settings)
    found = read(cure_share.document(0.01, settings, responses), "cure")
    assert (found["rate"], found["settings"]) == (0.01, asdict(settings))
    assert found["words"] == judge(responses).words
    for told, response in zip(found["controllers"], responses, strict=True):
        assert told == {
            **asdict(response.method),
            "settled_after": response.settled_after,
            "steady_error": response.steady_error,
            "swing": response.swing,
            "max_vio": list(response.max_vio_S),
            # A swing takes two batches to see.
            "load_at_the_end": [list(response.load_SE[-2]), list(response.load_SE[-1])],
        }
    assert set(found) == {"rate", "settings", "words", "controllers"}


def test_the_page_on_savings() -> None:
    settings, machine = SavingsSettings(16, 16, 4), Machine(2, 1e11, 1e10)
    runs = {MOE: [1e-3, 1e-3], TOTAL: [2e-3, 3e-3], ACTIVE: [4e-3, 3e-3]}
    measured = [MeasuredCost.of(name, 64, own, runs[MOE], 1.0) for name, own in runs.items()]
    found = read(savings_share.document(settings, count(settings), measured, machine), "savings")
    assert found == {
        "settings": asdict(settings),
        "machine": asdict(machine),
        "counted": [asdict(cost) for cost in count(settings)],
        "measured": [plain(asdict(cost)) for cost in measured],
    }
    assert read(savings_share.document(settings, [], [], None), "savings")["machine"] is None


def test_the_page_on_real_models() -> None:
    answers = Answers(Question(batch=8))
    found = read(real_models_share.document(answers, "Law"), "real-models")
    assert found["who_works"] == plain(who_works.as_json("Law"))
    assert found["who_works"]["fair_shares"] == who_works.fair_shares("Law").tolist()
    assert Question(**found["question"]) == answers.question
    assert found["machine"] == answers.machine_words()
    assert found["table"] == plain(answers.table())
    assert found["best"] == ["gpt-oss-20b", "DeepSeek-V2-Lite", "Llama-3.1-8B"]
    assert [one["tokens_per_s"] for one in found["race"]] == sorted(
        one["tokens_per_s"] for one in found["race"]
    )
    for told, answer in zip(found["models"], answers.rows, strict=True):
        bounds = plain(asdict(answer.decoding))
        assert told == bounds | {
            "name": answer.model.name, "fits": answer.fits, "limit": answer.decoding.limit,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        (savings_share.code, SavingsSettings(8, 4, n_experts=6, n_tokens=3)),
        (moving_data_share.code, MovingSettings(nodes=4, wire="BF16", skew=0.5)),
        (
            lambda settings: real_models_share.code(settings, "All four"),
            Question(n_machines=3, weights="8 bits", context=10),
        ),
        (
            lambda settings: cure_share.code(0.02, settings),
            ControlSettings(n_tokens=64, skew=1.0, seed=3),
        ),
        (
            lambda settings: routers_share.code("Hi", settings),
            SideSettings(Choice("topk", (("k", 3),)), Choice("soft"), room=2.0, noise=True),
        ),
    ],
)
def test_code_holds_the_settings_that_differ_and_no_others(
    code: Callable[[Any], str], settings: Any
) -> None:
    names = {type(settings).__name__: type(settings), "Choice": Choice}
    assert made_by(code(settings), names) == [settings]
    shown = code(settings)
    for field in fields(settings):
        changed = getattr(settings, field.name) != field.default
        assert (f"{field.name}=" in shown) == changed, field.name


def test_code_on_a_sentence_quotes_it_and_says_where() -> None:
    said = 'He said "it\'s"'
    code = start_share.code(said, 30, 5)
    assert f"sentence = {said!r}" in code and f"sentence = {said!r}" in routers_share.code(
        said, SideSettings()
    )
    assert "walk(model, sentence, percent=30)" in code
    assert "case, character = 0, 5  # with all experts" in code
    assert "= 3, 5  # without expert C" in start_share.code(said, 30, 5, 3)
    assert "respond_all(0.02, ControlSettings())" in cure_share.code(0.02, ControlSettings())


def test_the_command_of_a_training_makes_its_settings() -> None:
    for settings in (
        moe.TrainSettings(),
        moe.TrainSettings(
            task="spirals", router="switch", balance="aux", balance_rate=0.5, n_experts=4, k=1,
            capacity_factor=1.5, drop="order", steps=5, seed=3, learning_rate=0.5,
        ),
    ):  # fmt: skip
        words = shlex.split(sharing.train_command(settings))
        assert words[:2] == ["moe", "train"]
        given = dict(zip(words[2::2], words[3::2], strict=True))
        options = {}
        for flag, value in given.items():
            name = flag.removeprefix("--").replace("-", "_")
            text = isinstance(getattr(settings, name), str)
            options[name] = value if text else json.loads(value)
        assert moe.TrainSettings(**options) == settings
        # Always said, so that the command tells what it does.
        assert {"balance", "steps", "seed"} <= set(options)
