"""The best models for a machine, by the rule that is stated; the race of a mixture and its twin."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moe.app.real_models import best, typing
from moe.app.real_models.story import HAVE, MACHINES, OWN_MACHINE, Answers, Question
from moe.cost import MODELS
from moe.numbers import count, digits

READING = 250 / 60 * 4 / 3  # tokens a second: 250 words a minute, four tokens for three words
OWN = Question(machine=OWN_MACHINE, memory_gb=100.0, memory_gb_s=500.0, tflops=20.0)


def asked(have: str) -> Question:
    machine, many = HAVE[have]
    return Question(machine=machine, n_machines=many)


def by_hand(question: Question) -> list[tuple[float, str, float]]:
    """Parameters, name and tokens a second of each checked model that fits, at 4 bits, alone."""
    gpu, found = question.gpu, []
    for model in MODELS.values():
        weights, cache = model.total_params * 4.5 / 8, 4096 * model.kv_bytes_per_token()
        states = 4 * model.state_values()
        room = question.n_machines * gpu.memory_gb * 1e9 * question.usable_percent / 100
        if model.published_check == "verified" and weights + cache + states <= room:
            read = (model.active("head_only") + model.d_model) * 4.5 / 8 + cache + 2 * states
            speed = question.n_machines * gpu.memory_gb_s * 1e9 / read
            found.append((model.total_params, model.name, speed))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("have", HAVE)
def test_the_best_are_the_largest_that_write_as_fast_as_one_reads(have: str) -> None:
    question = asked(have)
    quick = [(name, speed) for _, name, speed in by_hand(question) if speed >= READING][:3]
    answers = Answers(question)
    found = best.best(answers)
    assert [one.model.name for one in found] == [name for name, _ in quick] and len(found) == 3
    for one, (name, speed) in zip(found, quick, strict=True):
        shown = best.card(one, question)
        assert shown[0] == name and shown[1] == f"{digits(speed)} tokens/s"
        assert f"{digits(speed * 45)} words a minute" in shown[2] and one.kind in shown[2]
    said = best.best_words(answers)
    assert said.startswith(f"**{len(answers.fitting)} of {len(MODELS)}** models fit. The best is ")
    assert f"**{quick[0][0]}**" in said and f"**{digits(quick[0][1])} tokens a second**" in said


def test_where_nothing_is_quick_the_fastest_are_named_and_said_to_be_slow() -> None:
    slow = replace(OWN, memory_gb_s=1.0)
    found = best.best(Answers(slow))
    speeds = [speed for _, _, speed in by_hand(slow)]
    assert max(speeds) < READING
    assert [one.decoding.tokens_per_s for one in found] == pytest.approx(
        sorted(speeds, reverse=True)[:3], rel=1e-6
    )
    said = best.best_words(Answers(slow))
    assert "The fastest is" in said and said.endswith("tokens a second**, slower than you read.")


def test_many_conversations_share_the_speed() -> None:
    many = replace(OWN, batch=8)
    for one in best.best(Answers(many)):
        assert best.each_tokens_per_s(one, many) * 8 == one.decoding.tokens_per_s
    assert "** in each conversation." in best.best_words(Answers(many))


def test_a_machine_too_small_is_told_what_it_would_need() -> None:
    answers = Answers(replace(OWN, memory_gb=0.5))
    assert best.best(answers) == [] and best.race(answers) == []
    assert best.best_words(answers) == (
        "**No** model fits in 0.5 GB of memory; Granite-3.0-1B-A400M needs the least, 1.0 GB."
    )


def test_the_rule_names_its_numbers() -> None:
    assert pytest.approx(READING) == best.READING
    assert "250 words a minute, or 5.6 tokens a second at 0.75 words a token" in best.rule_words()


@pytest.mark.parametrize("machine", MACHINES)
def test_the_twin_reads_all_of_its_weights_for_each_token(machine: str) -> None:
    question = Question(machine=machine)
    dense, mixture = best.race(Answers(question))
    name = mixture.name.partition(",")[0]
    model = MODELS[name.lower()]
    assert model.moe_layers
    inputs = 0 if model.tied else (model.vocab - 1) * model.d_model  # one row of the input table
    weights = model.total_params - inputs if not model.tied else model.total_params + model.d_model
    kept = 4096 * model.kv_bytes_per_token() + 2 * 4 * model.state_values()
    read = weights * 4.5 / 8 + kept
    assert dense.tokens_per_s == pytest.approx(question.gpu.memory_gb_s * 1e9 / read, rel=1e-3)
    assert mixture.tokens_per_s > dense.tokens_per_s
    assert dense.about == f"all {count(model.total_params, 3)} parameters for each token"
    assert mixture.about.startswith(f"{count(model.active_params)} of ")


def test_what_the_browser_gets() -> None:
    typists = best.race(Answers(Question()))
    sent = typing.sent(typists)
    assert sent["text"] == best.TEXT
    for side, one in zip(sent["sides"], typists, strict=True):
        assert side["letters_per_s"] == 4 * one.tokens_per_s
        assert side["speed"] == f"{digits(one.tokens_per_s)} tokens/s"
    times = typists[1].tokens_per_s / typists[0].tokens_per_s
    assert f"read {digits(times)} times as much" in sent["told"]
