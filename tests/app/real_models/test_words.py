"""The page on real models: options, every column of its table, and both sides of its sentences."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from moe.app.real_models import story as models
from moe.app.real_models.story import Answers, Question
from moe.cost import CONVENTIONS, GPUS, MODELS, decode
from moe.numbers import digits

MIXTRAL = MODELS["mixtral-8x7b"]
OWN = Question(machine=models.OWN_MACHINE, memory_gb=100.0, memory_gb_s=500.0, tflops=20.0)


def test_a_machine_of_ones_own_is_what_was_given() -> None:
    gpu = OWN.gpu
    assert (gpu.memory_gb, gpu.memory_gb_s, gpu.bf16_tflops, gpu.power_w) == (100, 500, 20, 0)
    assert gpu.name == "your machine" and gpu.kind == gpu.key == "own"
    assert Question(machine=GPUS["h20-sxm"].name).gpu is GPUS["h20-sxm"]
    assert Question().gpu is GPUS["laptop-16gb"] and models.DEFAULT_MACHINE in models.MACHINES
    assert list(models.MACHINES.values()) == list(GPUS.values())[::-1]


def test_every_option_reaches_the_bounds() -> None:
    usual = {"batch": 1, "context": 4096, "precision": "4-bit", "n_gpus": 1, "usable": 0.9}
    for change, meant in (
        ({}, {}),
        ({"batch": 5}, {"batch": 5}),
        ({"context": 77}, {"context": 77}),
        ({"weights": "8 bits"}, {"precision": "fp8"}),
        ({"weights": "16 bits"}, {"precision": "bf16"}),
        ({"n_machines": 3}, {"n_gpus": 3}),
        ({"usable_percent": 20}, {"usable": 0.2}),
    ):
        asked = replace(OWN, **change)
        assert asked.decoding(MIXTRAL) == decode(MIXTRAL, OWN.gpu, **(usual | meant)), change
    assert replace(OWN, n_machines=3, usable_percent=50).usable_gb == 150
    assert list(models.PRECISIONS) == ["4 bits", "8 bits", "16 bits"]
    assert replace(OWN, usable_percent=26).decoding(MIXTRAL).fits is False


@pytest.mark.parametrize("convention", models.CONVENTIONS)
def test_active_parameters_are_counted_as_asked(convention: str) -> None:
    answers = Answers(replace(OWN, convention=convention)).rows
    key = {
        "as each publisher counts": None,
        "all that a token meets": "with_input",
        "without the input table": "head_only",
        "without both tables": "neither",
    }[convention]
    for answer in answers:
        assert answer.active == answer.model.active(key or answer.model.active_convention)
    assert list(models.SHORT) == list(CONVENTIONS)
    assert [answer.needed_gb for answer in answers] == sorted(a.needed_gb for a in answers)
    assert {answer.model.name for answer in answers} == {m.name for m in MODELS.values()}
    for answer in answers:
        assert answer.needed_gb == answer.decoding.needed_bytes / 1e9
        assert answer.fits == (answer.needed_gb <= 90)
        fast = f"{digits(answer.decoding.tokens_per_s)} tokens/s at most"
        assert answer.speed == (fast if answer.fits else "does not fit")


def test_every_column_of_the_table() -> None:
    answers = Answers(OWN)
    assert {answer.fits for answer in answers.rows} == {True, False}
    for answer, row in zip(answers.rows, answers.table(), strict=True):
        model, bounds = answer.model, answer.decoding
        check = {"verified": "", "second-hand": " †", "unverified": " ‡", "": ""}
        how = {"stated": "says so", "fitted": "fits best", "": "",
               "contradicted": "fits best; says another"}[model.convention_basis]  # fmt: skip
        short = {"with_input": "with both tables", "head_only": "no input table",
                 "neither": "no table"}  # fmt: skip
        total, active = model.published_total / 1e9, model.published_active / 1e9
        assert row == {
            "Model": model.name,
            "Total, billions": model.total_params / 1e9,
            "Total as published": total if total else None,
            **{f"Active, {words}": model.active(name) / 1e9 for name, words in short.items()},
            "Active as published": active if active else None,
            "Counted as published": f"{short[model.active_convention]} ({how})",
            "Experts": model.experts,
            "per token": model.top_k,
            "Memory needed, GB": answer.needed_gb,
            "Fits": "yes" if answer.needed_gb <= 90 else "no",
            "Tokens/s at most": bounds.tokens_per_s if answer.needed_gb <= 90 else None,
            "by memory": bounds.by_bandwidth,
            "by arithmetic": bounds.by_compute,
            "Cache, bytes a token": model.kv_bytes_per_token(),
            "Published figures from": model.published_source + check[model.published_check],
        }
    assert not any("~" in str(key) for key in answers.table()[0])


def test_marks_of_sources_and_bases() -> None:
    for check, mark in (("second-hand", " †"), ("unverified", " ‡"), ("verified", ""), ("", "")):
        assert models._source(replace(MIXTRAL, published_source="a", published_check=check)) == (
            f"a{mark}"
        )
    assert models._or_none(0.0) is None and models._or_none(2.0) == 2.0


def test_those_that_fit_come_first_and_the_fastest_of_them() -> None:
    answers = Answers(OWN)
    fits = [answer for answer in answers.listed if answer.fits]
    assert answers.listed[: len(fits)] == fits and len(fits) == len(answers.fitting)
    speeds = [answer.decoding.tokens_per_s for answer in fits]
    assert speeds == sorted(speeds, reverse=True)
    needs = [answer.needed_gb for answer in answers.listed[len(fits) :]]
    assert needs == sorted(needs) and min(needs) > 90
    assert answers.memory_words() == "90 GB of memory"
    assert answers.machine_words() == "your machine"
    assert Answers(replace(OWN, n_machines=2)).machine_words() == "2 × your machine"


@pytest.mark.parametrize("machine", models.MACHINES)
def test_bars_end_where_at_least_half_of_the_models_are_slower(machine: str) -> None:
    answers = Answers(Question(machine=machine))
    speeds = [answer.decoding.tokens_per_s for answer in answers.fitting]
    assert sum(speed <= answers.top for speed in speeds) >= len(speeds) / 2
    below = [top for top in models.TOPS if top < answers.top]
    if below:
        assert sum(speed <= below[-1] for speed in speeds) < len(speeds) / 2 + 1


def test_bars_of_ones_own_machine_end_at_one_place() -> None:
    tops = {Answers(replace(OWN, memory_gb_s=speed)).top for speed in (10.0, 100.0, 5000.0)}
    assert tops == {models.OWN_TOP} and Answers(replace(OWN, memory_gb=0.1)).top == models.OWN_TOP


def test_figures_of_the_machine_have_their_sources() -> None:
    laptop = Question()
    rows = models.machine_rows(laptop)
    gpu = laptop.gpu
    assert [row[gpu.name] for row in rows] == ["Memory", "Reading memory", "Arithmetic"]
    assert rows[1][""] == "89.6 GB a second †" and "2 channels of 8 bytes" in rows[1]["Source"]
    assert {row["Source"] for row in models.machine_rows(OWN)} == {"given"}


def test_batches_double() -> None:
    assert all(b == 2 * a for a, b in pairwise(models.BATCHES))
    assert models.BATCHES[0] == 1 and models.BATCHES[-1] == 1024
    for batch, bound in Answers(replace(OWN, batch=99)).by_batch("Mixtral-8x7B"):
        assert bound == replace(OWN, batch=batch).decoding(MIXTRAL)


@pytest.mark.parametrize(
    ("change", "arithmetic", "full"),
    [
        ({"tflops": 1e6, "memory_gb": 1e4}, None, 1024),
        ({"tflops": 20.0, "memory_gb": 1e4}, True, 1024),
        ({"tflops": 1e-3, "memory_gb": 60.0}, True, None),
        ({"memory_gb": 1.0}, True, 0),
    ],
)
def test_batches_in_words(
    change: dict[str, float], arithmetic: bool | None, full: int | None
) -> None:
    answers = Answers(replace(OWN, **change))
    steps = answers.by_batch("Mixtral-8x7B")
    said = answers.batch_words("Mixtral-8x7B")
    assert said.startswith(
        f"Alone, a conversation with Mixtral-8x7B gets at most {digits(steps[0][1].tokens_per_s)} "
        f"tokens a second; 1,024 at once get {digits(steps[-1][1].tokens_per_s)} together."
    )
    first = [batch for batch, bound in steps if bound.by_compute < bound.by_bandwidth]
    assert bool(first) == bool(arithmetic)
    if first:
        assert f"From {first[0]:,} on, arithmetic is the limit, not memory." in said
    assert ("Reading memory stays the limit throughout." in said) == (not first)
    fits = [batch for batch, bound in steps if bound.fits]
    assert ("it does not fit in the memory at all" in said) == (full == 0) == (not fits)
    partly = bool(fits) and fits[-1] < 1024
    assert partly == (full is None)
    assert (" the memory is full." in said) == partly
    if partly:
        assert said.endswith(f" But beyond {fits[-1]:,} conversations the memory is full.")


def test_ways_of_counting_in_words() -> None:
    v3 = MODELS["deepseek-v3"]
    assert models.convention_words() == (
        "Makers count differently: some leave out the word tables. For DeepSeek-V3 that changes "
        f"{v3.active('with_input') / 1e9:.1f} billion to {v3.active('neither') / 1e9:.1f} billion; "
        "DeepSeek says 36.7 billion."
    )
    said = models.counted_words()
    used = [model.active_convention for model in MODELS.values()]
    counts = {name: sum(one == name for one in used) for name in models.SHORT}
    fits = ", ".join(f"{counts[name]} “{words}”" for name, words in models.SHORT.items())
    assert f"Of {len(MODELS)} models, the published figure fits {fits}." in said
    for model in MODELS.values():
        stated = model.convention_basis == "stated"
        assert (model.name in said.partition("The makers of ")[2].partition(" say which")[0]) == (
            stated
        )
        assert (f"The makers of {model.name} say " in said) == (
            model.convention_basis == "contradicted"
        )
    marked = models.marks(Answers(OWN).table())
    assert [at for at, _ in marked] == list(range(len(MODELS)))
    assert set(models.NAMED.values()) <= {"left", "right", "below"}
