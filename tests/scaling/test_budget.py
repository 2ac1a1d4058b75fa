"""A budget: three dense models that have in common what they should, and the words beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from moe.cost import find_gpu
from moe.cost.memory import WEIGHT_BYTES
from moe.numbers import digits
from moe.scaling.budget import BLOCKS, CONTEXT, border_words, compare, model_of
from moe.scaling.runs import ROUTERS, fitted, runs, taken


@pytest.mark.parametrize(("active", "experts", "batch"), [(130e6, 64, 1), (370e6, 8, 16)])
def test_the_three_dense_models_share_loss_memory_and_speed(
    active: float, experts: int, batch: int
) -> None:
    found = compare(active, experts, batch=batch)
    mixture, same_loss, same_memory, same_speed = found.options
    assert same_loss.loss == pytest.approx(mixture.loss, rel=1e-9)
    assert same_memory.memory_bytes == pytest.approx(mixture.memory_bytes, rel=1e-2)
    assert same_speed.tokens_per_s == pytest.approx(mixture.tokens_per_s, rel=2e-2)
    assert [one.experts for one in found.options] == [experts, 1, 1, 1]
    assert same_speed.loss > mixture.loss > same_memory.loss


def test_figures_follow_from_sizes_alone() -> None:
    """Written out again: weights of 13 matrices a block, an expert's eight in every other one."""
    mixture = compare(368_123_904, 64, precision="bf16").options[0]
    blocks, width = 12, 1536
    dense = 13 * blocks * width**2
    total = dense + 63 * blocks // 2 * 8 * width**2
    assert BLOCKS[368_123_904] == blocks
    assert mixture.total == pytest.approx(total, rel=1e-3)
    assert mixture.memory_bytes == pytest.approx(2 * total, rel=1e-3)
    cache = CONTEXT * blocks * 2 * width * 2
    assert mixture.bytes_per_token == pytest.approx(2 * dense + cache, rel=5e-3)
    bandwidth = find_gpu("m3-ultra").memory_bytes_per_s
    assert mixture.tokens_per_s == pytest.approx(bandwidth / mixture.bytes_per_token, rel=1e-6)


def test_a_model_has_the_parameters_that_were_asked_for() -> None:
    for active in (1e6, 2e7, 1e9, 3e10, 1e12):
        for experts in (1, 16):
            model = model_of(active, experts)
            assert model.active("neither") == pytest.approx(active, rel=0.05)
            assert model.layers % 2 == 0 and bool(model.moe_layers) == (experts > 1)
    assert model_of(1e9, 1).total_params * WEIGHT_BYTES["bf16"] > 1.9e9


def test_a_run_that_was_made_is_met() -> None:
    run = next(r for r in runs() if (r.router, r.size, r.experts) == ("S-Base", "370M", 64))
    dense = next(r for r in runs() if (r.router, r.size, r.usual) == ("Dense", "1.3B", True))
    mixture = compare(run.active, 64).options[0]
    assert abs(mixture.loss - run.loss) <= fitted().worst + 1e-4
    assert run.loss < dense.loss  # as the law says: 64 experts are worth more than 3.5 times


def test_words_are_computed() -> None:
    found = compare(370e6, 64)
    text = " ".join(found.words())
    assert f"{digits(found.times_larger)} times as many" in text and "question mark" in text
    assert "330 billion" in border_words("S-Base") and "11 billion" in border_words("S-Base")
    assert "arXiv 2402.07871" in text
    inside = compare(20e6, 2)
    assert "question mark" not in " ".join(inside.words())
    (row,) = (row for row in found.rows() if row[""] == "loss")
    asked = [value.endswith("?") for name, value in row.items() if name]
    assert asked == [not one.measured for one in found.options] == [False, False, True, False]


def test_a_loss_is_measured_where_the_fit_has_runs_around_it() -> None:
    """S-Base's fit leaves out the smallest size with 256 experts or more; the others have all."""
    smallest, second = 16_527_360, 27_279_360
    for router in ROUTERS:
        some = {(run.active, run.experts) for run in taken(runs(), router)}
        for active in (smallest, second):
            for experts in (128, 256, 512):
                mixture = compare(active, experts, router).options[0]
                assert mixture.measured == ((active, experts) in some), (router, active, experts)
    for active, experts, measured in ((20e6, 128, True), (20e6, 129, False), (30e6, 512, True),
                                      (30e6, 513, False), (1.4e9, 2, False)):  # fmt: skip
        assert compare(active, experts).options[0].measured == measured, (active, experts)


def test_the_smallest_and_the_largest_are_written_as_people_read_them() -> None:
    rows = {row[""]: row for row in compare(1e6, 2).rows()}
    assert rows["weights"]["the mixture"].endswith(" MB")
    largest = compare(1e12, 1_000_000)
    text = " ".join((*largest.words(), *(" ".join(row.values()) for row in largest.rows())))
    assert "1,000,000 experts make" in text and not re.search(r"\de\+\d", text)


def test_the_command_prints_the_comparison(run_moe: Callable[..., Any]) -> None:
    done = run_moe("scaling", "--active", "130e6", "--experts", "16", "--json")
    said = json.loads(done.stdout)
    assert said == json.loads(json.dumps(compare(130e6, 16).as_json()))
    assert said["border"] == pytest.approx(fitted().law.border)
    assert "parameters per token" in run_moe("scaling").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--active", "1"], "active: got 1.0, allowed is a number >= 1e+06"),
        (["--experts", "1"], "experts: got 1, allowed is a whole number in 2.."),
        (["--router", "top"], "router: got 'top', allowed is one of S-Base, RL-R, Hash"),
        (["--gpu", "none"], "gpu: got 'none', allowed is one of"),
        (["--precision", "3"], "precision: got '3', allowed is one of"),
        (["--batch", "0"], "batch: got 0, allowed is a whole number in 1.."),
        (["--batch", "1" + "0" * 400], "allowed is a whole number in 1.."),
    ],
)
def test_a_wrong_value_is_one_line(
    run_moe: Callable[..., Any], words: list[str], message: str
) -> None:
    said = run_moe("scaling", *words, code=2).stderr
    assert message in said and said.count("\n") == 1
