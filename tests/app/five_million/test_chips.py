"""Which limit of a GPU binds: each part by hand, and both sides of every sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moe.app.five_million import chips
from moe.app.five_million.chips import (
    COMPUTE,
    MEMORY,
    NETWORK,
    NVLINK,
    ONE_A_NODE,
    ONE_A_NODE_4,
    ONE_AN_EXPERT,
    limits,
    side_by_side,
    words,
)
from moe.cluster.traffic import bf16_row_bytes, fp8_row_bytes
from moe.cost import GPUS, MODELS, Gpu, activation_bytes_per_token

V3 = MODELS["deepseek-v3"]
EVEN = Gpu("a", "Chip A", "data centre", bf16_tflops=1000.0, fp8_tflops=2000.0, memory_gb=80.0,
           memory_gb_s=3000.0, nvlink_gb_s=400.0, network_gb_s=50.0, power_w=700.0)  # fmt: skip


def named(gpu: Gpu, **changes: float) -> Gpu:
    return replace(gpu, name="Chip B", **changes)


@pytest.mark.parametrize("travel", chips.TRAVEL)
def test_copies_are_those_of_tokens_drawn_one_by_one(travel: str) -> None:
    """64 GPUs of 4 experts; a token lives on any of them."""
    rng = np.random.default_rng(0)
    reached = 128 if travel == ONE_A_NODE_4 else 256
    network = nvlink = 0
    n = 4_000
    for _ in range(n):
        chosen = rng.permutation(reached)[:8]
        home_node, home_gpu = int(rng.integers(8)), int(rng.integers(8))
        gpus = {int(e) // 4 for e in chosen}
        nodes = {gpu // 8 for gpu in gpus}
        if travel == ONE_AN_EXPERT:
            inside = [int(e) // 4 for e in chosen if e // 32 == home_node]
            network += 8 - len(inside)
            nvlink += sum(gpu % 8 != home_gpu for gpu in inside)
        else:
            network += len(nodes - {home_node})
            # A copy comes in at the GPU with the sender's index, and is passed on to the others.
            nvlink += sum(gpu % 8 != home_gpu for gpu in gpus)
    out, inside = chips.copies(V3, travel)
    assert out == pytest.approx(network / n, rel=0.02)
    assert inside == pytest.approx(nvlink / n, rel=0.04)
    if travel == ONE_A_NODE_4:
        assert chips.copies(V3) == (out, inside)


def test_travel_is_named_by_what_it_does() -> None:
    assert chips.TRAVEL == (ONE_A_NODE_4, ONE_A_NODE, ONE_AN_EXPERT)
    sent = [chips.copies(V3, travel)[0] for travel in chips.TRAVEL]
    assert sent == sorted(sent) and sent[2] == 8 * 7 / 8
    assert (
        "4 nodes" in ONE_A_NODE_4 and "any node" in ONE_A_NODE and "every expert" in ONE_AN_EXPERT
    )


@pytest.mark.parametrize("travel", chips.TRAVEL)
def test_each_limit_is_its_amount_over_its_speed(travel: str) -> None:
    found = {limit.name: limit for limit in limits(EVEN, "fp8", travel)}
    assert list(found) == [COMPUTE, MEMORY, NVLINK, NETWORK] == list(chips.PARTS)
    network, nvlink = chips.copies(V3, travel)
    row = 7168 + 4 * 7168 / 128 + 2 * 7168
    assert fp8_row_bytes(V3.d_model) + bf16_row_bytes(V3.d_model) == row
    amounts = {
        COMPUTE: (V3.flops_per_token(4096, causal=True, training=True), 2000e12, 1e9),
        MEMORY: (2 * activation_bytes_per_token(V3), 3000e9, 1e6),
        NVLINK: (58 * 2 * row * nvlink, 400e9, 1e6),
        NETWORK: (58 * 2 * row * network, 50e9, 1e6),
    }
    for name, (amount, speed, unit) in amounts.items():
        limit = found[name]
        assert limit.amount == pytest.approx(amount / unit), name
        assert limit.speed == speed
        assert limit.microseconds == pytest.approx(amount / speed * 1e6)
        assert limit.unit == ("billion operations" if name == COMPUTE else "MB")
    assert limits(EVEN) == limits(EVEN, "bf16", ONE_A_NODE_4)
    slowest = chips.binding(list(found.values()))
    assert slowest.microseconds == max(limit.microseconds for limit in found.values())


def test_words_name_the_part_that_binds_and_what_the_difference_costs() -> None:
    said = words(EVEN, named(EVEN), "bf16", ONE_A_NODE_4)
    assert said == (
        f"On both, “{COMPUTE}” takes longest and sets the pace: if everything runs at the same "
        "time, both are equally fast."
    )
    said = words(EVEN, named(EVEN, bf16_tflops=2000.0), "bf16", ONE_AN_EXPERT)
    first, second = (
        chips.binding(limits(gpu, "bf16", ONE_AN_EXPERT))
        for gpu in (EVEN, named(EVEN, bf16_tflops=2000.0))
    )
    assert first.name == second.name == NETWORK and "On both, “Network, out of it”" in said
    assert f"Of Chip A's parts, “{COMPUTE}” takes 2 times as long as on Chip B." in said
    assert said.endswith("It has time to spare there, as it waits for the slowest part.")


def test_words_of_two_chips_with_limits_of_their_own() -> None:
    slow = replace(EVEN, memory_gb_s=100.0, nvlink_gb_s=100.0)
    said = words(slow, named(EVEN), "bf16", ONE_A_NODE_4)
    a, b = (chips.binding(limits(gpu)) for gpu in (slow, EVEN))
    assert (a.name, b.name) == (MEMORY, COMPUTE)
    assert said.startswith(
        f"On Chip A “{MEMORY}” takes longest and sets the pace, on Chip B “{COMPUTE}”: if "
        f"everything runs at the same time, a token takes {a.microseconds / b.microseconds:.2g} "
        "times as long on Chip A."
    )
    assert said.endswith(
        f" Of Chip A's parts, “{MEMORY}” takes 30 times as long and “{NVLINK}” takes 4 times as "
        "long as on Chip B."
    )
    # The other way round nothing of the first one is slower.
    back = words(replace(EVEN, bf16_tflops=1010.0), named(EVEN), "bf16", ONE_A_NODE_4)
    assert "0.99 times as long on Chip A." in back and "parts" not in back


@pytest.mark.parametrize(("slower", "noticed"), [(1.004, False), (1.006, True)])
def test_half_a_percent_is_no_difference(slower: float, noticed: bool) -> None:
    said = words(EVEN, named(EVEN, bf16_tflops=1000.0 * slower), "bf16", ONE_A_NODE_4)
    assert ("Of Chip A's parts" in said) == noticed
    assert ("both are equally fast" in said) != noticed
    assert "time to spare" not in said


def test_data_sheets_hold_every_figure_with_its_mark() -> None:
    a = replace(EVEN, fp8_tflops=0.0, nvlink_gb_s=0.0, bf16_tflops=1234.5,
                checks={"bf16_tflops": "second-hand", "memory_gb": "unverified",
                        "power_w": "verified"})  # fmt: skip
    b = named(EVEN, memory_gb=160.0, nvlink_gb_s=0.0, memory_gb_s=4000.0)
    rows = side_by_side(a, b)
    assert [[row["Chip A"], row["Chip B"], row["First / second"]] for row in rows] == [
        ["1,234.5†", "1,000", "123%"],
        ["none", "2,000", "–"],
        ["80‡", "160", "50%"],
        ["3,000", "4,000", "75%"],
        ["none", "none", "–"],
        ["50", "50", "100%"],
        ["700", "700", "100%"],
    ]
    limits_named = [row["Limit"] for row in rows]
    for text, part in zip(
        limits_named, ("16-bit", "8-bit", "Memory", "Reading", "NVLink", "Network", "Power"),
        strict=True,
    ):  # fmt: skip
        assert text.startswith(part)
    assert side_by_side(b, a)[1]["First / second"] == "–"


def test_chips_to_choose_have_both_links_and_the_usual_ones_come_from_the_story() -> None:
    wanted = [gpu.name for gpu in GPUS.values() if min(gpu.nvlink_gb_s, gpu.network_gb_s) > 0]
    assert list(chips.CHOICES) == wanted and 2 < len(wanted) < len(GPUS)
    assert all(gpu.name == name for name, gpu in chips.CHOICES.items())
    first, second = (chips.CHOICES[name] for name in chips.USUAL)
    assert first.nvlink_gb_s < second.nvlink_gb_s  # the cut one first
    assert "H800" in first.name and "H100" in second.name


def test_what_the_times_assume_names_the_models_figures() -> None:
    said = chips.about()
    assert said.startswith(
        "DeepSeek-V3 in training: each token goes to 8 of 256 experts on 8 nodes of 8 chips"
    )
    assert "1 byte a value on the way there, 2 back" in said
