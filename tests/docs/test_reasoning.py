"""The page on rewards, thinking and teachers says what its three records say."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from docs.generator import reasoning as page
from docs.generator import studies
from docs.generator.reasoning import case, why
from docs.generator.studies import Study
from moe.app.distil.page import recorded
from moe.app.distil.story import teacher_words

# What no case of a record names has these values there.
USUAL: dict[str, dict[str, Any]] = {
    page.THINK: dict(
        plan="cold+rl", cold_steps=None, cold_problems=None, iterations=None, balance=True,
        gate_bits=None, replay=False,
    ),
    page.ADDITION: dict(
        plan="cold+rl", cold_steps=None, cold_problems=None, cold_until=None, iterations=None,
        entropy_bonus=0.0, balance=True, gate_bits=None, replay=False,
    ),
    page.DISTIL: dict(method="logits", student="dense", mix=1.0, steps=250),
}  # fmt: skip
RECORDS = {
    name: [json.loads(line) for line in studies.record(name).read_text().splitlines()[1:]]
    for name in USUAL
}
ALL = "cold+rl+best+rl"
WEAK: dict[str, dict[str, Any]] = {
    page.THINK: {"cold_steps": 60}, page.ADDITION: {"cold_steps": 40},
}  # fmt: skip


def of(name: str, figure: str, **changed: Any) -> np.ndarray:
    """A figure of each seed of a case, from the lines of a record."""
    assert set(changed) <= set(USUAL[name])
    wanted = USUAL[name] | changed
    rows = [row for row in RECORDS[name] if {key: row[key] for key in wanted} == wanted]
    assert len({row["seed"] for row in rows}) == len(rows) >= 3
    return np.array([row[figure] for row in rows], float)


def share(values: np.ndarray) -> str:
    return f"{100 * values.mean():.1f} ± {100 * np.std(values, ddof=1):.1f} %"


def number(values: np.ndarray, digits: int = 2) -> str:
    return f"{values.mean():.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def interval(values: np.ndarray) -> str:
    half = stats.t(len(values) - 1).interval(0.95)[1] * stats.sem(values)
    low, high = values.mean() - half, values.mean() + half
    return f"{values.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def ends(values: np.ndarray) -> str:
    return f"{100 * values.min():.1f}–{100 * values.max():.1f} %"


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether a difference of means is within both deviations."""
    return bool(abs(a.mean() - b.mean()) <= a.std(ddof=1) + b.std(ddof=1))


@pytest.fixture(scope="module")
def text() -> str:
    return page.page().replace("\u00a0", " ")


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_thinking_stands_seed_by_seed_and_in_the_mean(text: str) -> None:
    said = section(text, "Thinking that pays")
    first, last = of("think", "accuracy_first"), of("think", "accuracy_last")
    assert ends(first) in said and ends(last) in said
    assert f"at least 95% in {(last >= 0.95).sum()} of {len(last)} seeds" in said
    for figure in ("thinks_first", "thinks_last", "right_thinking_first"):
        assert share(of("think", figure)) in said
    grown = [number(of("think", f"length_{end}"), 1) for end in ("first", "last")]
    assert f"from {grown[0]} to {grown[1]} signs" in said
    cold = {"plan": "cold", "cold_steps": 400}
    for figure in ("right_thinking_first", "thinks_last", "accuracy_last"):
        assert share(of("think", figure, **cold)) in said
    taken = number(of("think", "cpu_seconds", **cold), 1)
    assert f"take {taken} s instead of {number(of('think', 'cpu_seconds'), 1)} s" in said
    table = lines(said, "| ")[2:]
    assert len(table) == len(first) == 5
    for row, low, high, seconds in zip(table, first, last, of("think", "cpu_seconds"), strict=True):
        assert f"| {100 * low:.1f}% → {100 * high:.1f}% |" in row
        assert row.endswith(f"| {seconds:.1f} |")


def test_the_targets_of_thinking_and_addition_are_met() -> None:
    """Held-out answers, length, time and seeds, as the project set them for itself."""
    assert of("think", "accuracy_first").max() <= 0.25
    assert of("think", "accuracy_last").min() >= 0.95
    assert (of("think", "length_last") >= 2 * of("think", "length_first")).all()
    assert of("think", "cpu_seconds").max() <= 60
    assert of("reason", "sampled_first").max() < 0.4
    assert of("reason", "sampled_last").min() >= 0.8
    assert of("reason", "cpu_seconds").max() <= 180


def test_the_plateau_of_addition_is_that_of_the_record(text: str) -> None:
    said = section(text, "A plateau")
    for figure in ("sampled_first", "sampled_last", "accuracy_first", "accuracy_last"):
        assert ends(of("reason", figure)) in said
    for figure in ("zero_variance_first", "zero_variance_last", "sampled_last"):
        assert share(of("reason", figure)) in said
    assert number(of("reason", "entropy_first")) in said
    assert number(of("reason", "entropy_last"), 3) in said
    bonus = of("reason", "sampled_last", entropy_bonus=0.02)
    assert share(bonus) in said
    assert ("changes nothing" in said) == same(bonus, of("reason", "sampled_last"))
    cold = dict(plan="cold", cold_steps=1000, cold_until=0.0)
    assert share(of("reason", "accuracy_last", **cold)) in said
    sooner = of("reason", "cpu_seconds", **cold), of("reason", "cpu_seconds")
    assert ("sooner than rewards" in said) == (
        not same(*sooner) and sooner[0].mean() < sooner[1].mean()
    )
    table = lines(said, "| ")[2:]
    for row, low, high in zip(
        table, of("reason", "zero_variance_first"), of("reason", "zero_variance_last"), strict=True
    ):
        assert f"| {100 * low:.0f}% → {100 * high:.0f}% |" in row


@pytest.mark.parametrize("name", WEAK)
def test_starts_that_fail_stand_beside_their_groups(name: str, text: str) -> None:
    said = section(text, "Starts from which nothing is learnt")
    few: dict[str, Any] = {"cold_problems": 100}
    if name == page.ADDITION:
        few |= {"cold_steps": 250, "cold_until": 0.0}
    task = {page.THINK: "mod5", page.ADDITION: "addition"}[name]
    table = lines(said, f"| `{task}` |")
    for row, changed in zip(table, ({}, {"cold_steps": 1}, WEAK[name], few), strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        figures = ("sampled_first", "accuracy_last", "zero_variance_first", "zero_variance_last")
        assert cells[2:6] == [share(of(name, figure, **changed)) for figure in figures]
        assert cells[6] == number(of(name, "entropy_first", **changed))
        if changed:
            low = (of(name, "accuracy_last", **changed) < 0.5).sum()
            seeds = len(of(name, "seed", **changed))
            assert f"{low} of {seeds} seeds stay below 50%" in said or low == 0
    weak = of(name, "zero_variance_first", **WEAK[name])
    assert f"*{task}, {WEAK[name]['cold_steps']} steps*" in said and share(weak) in said


def made(task: str, **figures: list[float | None]) -> Study:
    """Rows of one start, a seed each."""
    usual: dict[str, list[float | None]] = {
        "accuracy_last": [0.1, 0.2], "zero_variance_first": [0.9, 0.8],
        "right_thinking_first": [None, None], "right_at_once_first": [0.2, 0.3],
    }  # fmt: skip
    columns = usual | figures
    rows = [{"seed": n} | {name: values[n] for name, values in columns.items()} for n in (0, 1)]
    return Study("reason", "1", "none", {"task": task}, tuple(rows))


def test_the_reason_of_a_failure_is_read_from_its_first_groups() -> None:
    def said(**figures: list[float | None]) -> str:
        return why("mod5", "bad", made("mod5", **figures)).replace("\u00a0", " ")

    assert said() == (
        "*mod5, bad*: 2 of 2 seeds stay below 50%; 85.0 ± 7.1 % of the first groups have no "
        "variance."
    )
    varied: list[float | None] = [0.0, 0.1]
    helpless = said(zero_variance_first=varied, right_thinking_first=[0.2, 0.3])
    assert "answers that think are right in 25.0 ± 7.1 % of cases, others in 25.0" in helpless
    other = said(zero_variance_first=varied, right_thinking_first=[0.8, 0.9])
    assert other.endswith("though only 5.0 ± 7.1 % of the first groups have no variance.")
    never = said(zero_variance_first=varied)
    assert never == other
    assert "no failure here; all 2 seeds learn, to 85.0" in said(accuracy_last=[0.9, 0.8])
    assert "1 of 2 seeds stay" in said(accuracy_last=[0.9, 0.3])


@pytest.mark.parametrize(
    ("name", "task", "half"), [("think", "mod5", 12), ("reason", "addition", 200)]
)
def test_stages_load_and_mismatch_are_those_of_the_record(
    name: str, task: str, half: int, text: str
) -> None:
    said = section(text, "Several stages")
    stages = {"plan": ALL, "iterations": half}
    alone, four = of(name, "sampled_last"), of(name, "sampled_last", **stages)
    assert f"{share(four)} against {share(alone)}, higher in {(four > alone).sum()} of" in said
    how = "leave" if same(alone, four) else "raise" if four.mean() > alone.mean() else "lower"
    assert f"in `{task}` four stages {how} " in said
    cells = lines(said, f"| `{task}` | four stages |")[0]
    assert share(of(name, "accuracy_last", **stages)) in cells
    assert f"| {number(of(name, 'cpu_seconds', **stages), 1)} |" in cells

    said = section(text, "The experts' load")
    for word, balance in (("with", True), ("without", False)):
        (row,) = lines(said, f"| `{task}` | {word} |")
        for figure in ("max_vio_first", "max_vio_last", "max_vio_top"):
            assert number(of(name, figure, balance=balance)) in row
        assert share(of(name, "accuracy_last", balance=balance)) in row

    rises = [
        of(name, "max_vio_last", balance=balance).mean()
        - of(name, "max_vio_first", balance=balance).mean()
        > sum(of(name, f"max_vio_{at}", balance=balance).std(ddof=1) for at in ("first", "last"))
        for balance in (True, False)
        for name in ("think", "reason")
    ]
    assert ("in none of the rows" in said) == (not any(rises))
    assert not any(rises) or f"it does in {sum(rises)} of the 4 rows" in said

    said = section(text, "A sampler that differs from the trainer")
    gap, mended = (
        of(name, "chance_difference", gate_bits=1, replay=replay) for replay in (False, True)
    )
    assert f"differ by {number(gap, 4)} nats" in said and f"by {number(mended, 4)}" in said
    assert f"replay mends {100 - 100 * mended.mean() / gap.mean():.0f}% of it" in said
    for words, changed in (
        ("the trainer's | no", {}), ("bfloat16 | no", {"gate_bits": 7}),
        ("one bit | no", {"gate_bits": 1}), ("one bit | yes", {"gate_bits": 1, "replay": True}),
    ):  # fmt: skip
        (row,) = lines(said, f"| `{task}` | {words} |")
        assert f"| {100 * of(name, 'routing_difference', **changed).mean():.2f}% |" in row
        assert share(of(name, "sampled_last", **changed)) in row


def test_students_have_their_gains_with_intervals(text: str) -> None:
    said = section(text, "A teacher")
    for changed in (
        {}, {"student": "moe"}, {"method": "text"}, {"method": "text", "student": "moe"},
        {"mix": 0.5}, {"steps": 1000},
    ):  # fmt: skip
        gain, seconds = (of("distil", f, **changed) for f in ("gain", "gain_seconds"))
        assert gain == pytest.approx(
            of("distil", "alone", **changed) - of("distil", "taught", **changed)
        )
        assert f"| {interval(gain)} | {interval(seconds)} |" in said
        assert number(of("distil", "taught", **changed), 3) in said
    for student in ("dense", "moe"):
        gain = of("distil", "gain", student=student)
        seconds = of("distil", "gain_seconds", student=student)
        for values, equal in ((gain, "steps"), (seconds, "seconds")):
            sure = stats.ttest_1samp(values, 0).pvalue < 0.05
            says = ("it helps" if values.mean() > 0 else "it harms") if sure else "no telling"
            assert f"{interval(values)}, {says}, at equal {equal}" in said


def test_a_longer_run_leaves_less_to_a_teacher_as_the_app_says() -> None:
    long = of("distil", "gain", steps=1000)
    assert long.max() < 0.1 * of("distil", "gain").min()
    assert "in longer runs" in teacher_words(recorded())


def test_a_case_differs_from_the_first_in_what_is_asked_alone() -> None:
    study = studies.read(page.THINK)
    assert [row["seed"] for row in case(study).rows] == [0, 1, 2, 3, 4]
    assert {row["cold_steps"] for row in case(study, cold_steps=60).rows} == {60}
    assert not case(study, cold_steps=61).rows
