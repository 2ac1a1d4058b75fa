"""A watched run of sums modulo 5: its records, the problems asked each time, and what ships."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moe.errors import CheckpointError
from moe.lm import shipped
from moe.lm.tasks import TASKS, decode
from moe.studies import thinking
from moe.studies.thinking import Look, Shown, Thinking, parted, prompts, rights, watch


@pytest.fixture(scope="module")
def short() -> list[Shown | Look]:
    settings = replace(thinking.settings_of(3, iterations=2), cold_steps=20, prompts=4, samples=4)
    return list(watch(replace(settings, examined=20)))


@pytest.fixture(scope="module")
def runs() -> list[Thinking]:
    return [Thinking.read(run) for run in shipped.unpack("think")["runs"]]


def test_a_run_shows_its_demonstrations_and_then_a_look_for_each_update(short):
    assert [(one.step, one.steps) for one in short[:2]] == [(10, 20), (20, 20)]
    looks = short[2:]
    assert [one.iteration for one in looks] == [0, 1, 2]
    assert all(len(one.written) == len(prompts()) == thinking.N_ASKED for one in looks)


def test_the_problems_are_held_out_and_the_same_every_time():
    asked, task = thinking.problems(), TASKS["mod5"]
    assert set(asked.number_B) <= set(task.numbers(held_out=True))
    assert prompts() == tuple(map(decode, thinking.problems().prompt_BP))


def test_rights_are_the_rewards_of_the_task():
    answers = [decode(answer_A) for answer_A in thinking.problems().answer_BA]
    assert all(rights(answers))
    wrong = [f">{(int(text[1]) + 1) % 5}$" for text in answers]
    assert not any(rights(wrong))
    assert rights(["012" + text for text in answers]) == (True,) * len(answers)
    assert not any(rights(["01234567890"] * len(answers)))


def test_an_answer_is_parted_from_what_stands_in_front_of_it():
    assert parted("034>2$") == ("034", "2")
    assert parted(">2$") == ("", "2")
    assert parted("0343") == ("0343", "") and parted("03$") == ("03", "")


def test_a_run_is_read_as_it_was_written(runs):
    assert Thinking.read(runs[0].as_json()) == runs[0]
    given = runs[0].as_json()
    for broken in (
        {**given, "seed": "a"}, {**given, "start": "none"}, {**given, "looks": [{}]},
        {"seed": 0}, {**given, "looks": given["looks"][1:]}, {**given, "looks": []},
    ):  # fmt: skip
        with pytest.raises(CheckpointError, match=r"^thinking: got other"):
            Thinking.read(broken)


def test_the_shipped_runs_are_those_of_the_settings_of_today(runs):
    from docs.generator.lm_runs import RUNS, is_of

    kept = shipped.unpack("think")["runs"]
    assert all(is_of(*pair) for pair in zip(RUNS["think"](), kept, strict=True))
    assert {run.start for run in runs} == set(thinking.STARTS)
    assert [bool(look.written) for run in runs for look in run.looks[:1]] == [True] + [False] * (
        len(runs) - 1
    )


def test_the_shipped_samples_think_as_their_figures_say(runs):
    film = runs[0]
    for look in (film.looks[0], film.looks[-1]):
        assert set("".join(look.written)) <= set("0123456789+=>$_ ")
        assert 0 <= sum(rights(look.written)) <= len(look.written)
    thinks = [sum(bool(parted(text)[0]) for text in look.written) for look in film.looks]
    assert thinks[-1] > thinks[0] and sum(rights(film.looks[-1].written)) >= 7
    for run in runs:
        if run.start == "good":
            first, last = run.looks[0], run.looks[-1]
            assert first.accuracy <= 0.25 and last.accuracy >= 0.95
            assert last.length >= 2 * first.length
