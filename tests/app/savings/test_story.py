"""Counted and measured costs in words, for measurements that a test makes up."""

from __future__ import annotations

from dataclasses import replace

from moe.app.savings.story import (
    Verdict,
    count_words,
    measured_words,
    question,
    read_words,
    truth,
    verdict,
)
from moe.speed.machine import Machine
from moe.studies.savings import ACTIVE, MOE, TOTAL, MeasuredCost, SavingsSettings, count
from tests.studies.test_savings import SHAPE


def made(spans: dict[int, tuple[list[float], list[float]]]) -> list[MeasuredCost]:
    """Rows of runs in which the MoE takes 1 ms and the dense layers what is given."""
    return [
        MeasuredCost.of(name, n, [ms / 1e3 for ms in runs], [1e-3] * len(runs), 1.0)
        for n, (total, active) in spans.items()
        for name, runs in ((MOE, [1.0] * len(total)), (TOTAL, total), (ACTIVE, active))
    ]


def judged(spans: dict[int, tuple[list[float], list[float]]]) -> Verdict:
    return verdict(SavingsSettings(), made(spans), Machine(2, 1e11, 1e10))


def test_counted_costs_in_words() -> None:
    moe, total, _ = count(SHAPE)
    assert count_words(SHAPE) == (
        "Each token uses 2 of 5 experts and 1 that all share: "
        f"{total.flops_per_token / moe.flops_per_token:.1f} times fewer operations than an "
        "ordinary layer that stores as much."
    )
    assert "2 of 5 experts: " in count_words(replace(SHAPE, n_shared=0))
    every = replace(SHAPE, k=5)
    assert "as many operations as an ordinary layer" in count_words(every)
    assert (truth(every), truth(SavingsSettings()), truth(SavingsSettings(n_experts=64))) == (
        "1", "8", "64",
    )  # fmt: skip
    assert question(SHAPE).words.startswith("Each token uses 2 of 5 experts.")
    assert set(question(SHAPE).options) == {"1", "2", "8", "64"}


def test_what_a_batch_reads_in_words() -> None:
    n = SHAPE.shape().all_read_batch()
    assert f"a batch of {n} tokens already reads nine in ten of the 5." in read_words(SHAPE)


def test_the_measured_layer_in_words() -> None:
    rows = made({1: ([2.0, 3.0], [2.0, 3.0])})
    assert measured_words(SHAPE, rows) == (
        "Measured for 5 experts, 2 for each token, 1 shared, 4 wide in tokens of 8; 2 runs of "
        "each layer, in turn."
    )
    assert "shared" not in measured_words(replace(SHAPE, n_shared=0), rows)


def test_as_fast_is_neither_faster_nor_slower() -> None:
    even = judged({1: ([1.0, 2.0], [0.5, 1.0]), 4: ([2.0], [1.0])})
    assert even.text.startswith(
        "Against an ordinary layer that stores as much: faster at 4 tokens; the runs disagree "
        "at 1 token. With 4 tokens it was 2.0 times as fast."
    )
    assert even.faster_than_total_from == 4 and even.faster_than_active_from is None
    assert "uses as much: the runs disagree at 1 and 4 tokens" in even.text
    assert "With 4 tokens it was 1.0 times as fast." in even.text
    assert "it does the same arithmetic" not in even.text
    assert "it does the same arithmetic" in judged({1: ([2.0], [0.9])}).text


def test_faster_at_all_sizes_is_from_the_least_on() -> None:
    always = judged({n: ([2.0], [1.5]) for n in (2, 4, 8, 16)})
    assert always.faster_than_total_from == always.faster_than_active_from == 2
    assert "faster at 2, 4, 8 and 16 tokens" in always.text


def test_the_rest_is_named_where_operations_promise_more() -> None:
    shape = SavingsSettings().shape()
    fewer = shape.dense("total").flops_per_token / shape.flops_per_token
    rows = made({4: ([fewer], [2.0])})
    at_least = [replace(row, most=fewer) if row.layer == TOTAL else row for row in rows]
    machine = Machine(2, 1e11, 1e10)
    text = verdict(SavingsSettings(), at_least, machine).text
    assert f"By its operations it would be {fewer:.1f} times as fast. Against an" in text
    text = judged({4: ([fewer - 0.1], [2.0])}).text
    assert "times as fast. Choosing experts, gathering their rows and smaller matrix" in text


def test_the_batch_sizes_stand_under_their_labels() -> None:
    settings = SavingsSettings(d_model=64, d_expert=64, n_experts=8, k=2)
    found = verdict(
        settings, made({1: ([0.5], [2.0]), 1024: ([3.0], [0.1])}), Machine(2, 1e11, 1e9)
    )
    n = 1
    while 1 - (1 - 2 / 8) ** n < 0.9:
        n += 1
    assert found.all_read_batch == n
    shape = settings.shape()
    even = next(
        n for n in range(1, 10**6)
        if n * shape.flops_per_token / 1e11 >= shape.weight_bytes(n) / 1e9
    )  # fmt: skip
    assert found.break_even_batch == even > 1
    assert [(label, value) for label, value, _ in found.figures()] == [
        ("Beats “stores as much”", "from 1,024 tokens"),
        ("Beats “uses as much”", "at no size tried"),
        ("Experts all read", f"from {n} tokens"),
        ("Break-even", f"from {even:,} tokens"),
    ]
    abouts = [about for _, _, about in found.figures()]
    assert "stores as much" in abouts[0] and "uses as much" in abouts[1]
    assert "nine in ten experts" in abouts[2] and "reading the weights" in abouts[3]
