"""Figures and sentences of the page on moving data, for batches that a test makes up."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest

from moe.app.moving_data import story as moving
from moe.app.moving_data.story import EVENED, IN_ORDER, SPARE, Moved, MovingSettings, move
from moe.cluster.timing import PhaseTime
from moe.cost import GPUS, MODELS

BASE = MovingSettings(nodes=2, limit=2, tokens=128)


def batch(
    us: float = 1000.0,
    network_us: float = 900.0,
    nvlink_us: float = 100.0,
    load: tuple[float, ...] = (1, 1, 4, 2),
    **settings: object,
) -> Moved:
    """A batch whose dispatch and combine take so long on every GPU, with loads of first GPUs."""
    asked = replace(BASE, **settings)
    sent = move(asked).sent
    load_G = np.ones(asked.nodes * 8)
    load_G[: len(load)] = load
    sent = replace(sent, load_G=load_G * 8)

    def phase(name: str) -> PhaseTime:
        return PhaseTime(name, np.full(load_G.size, us / 2), nvlink_us / 2, network_us / 2, 0.0)

    return Moved(asked, sent, phase("dispatch"), phase("combine"))


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("limit", 1, 8), ("skew", 0.0, 2.0), ("tokens", 1, 2048), ("seed", 0, None)],
)
def test_numbers_are_taken_up_to_both_ends(name: str, low: float, high: float | None) -> None:
    step = 0.5 if isinstance(low, float) else 1
    for value in (low, high):
        if value is not None:
            assert getattr(replace(BASE, **{name: value}), name) == value
    for value in (low - step, *([high + step] if high is not None else [])):
        with pytest.raises(ValueError, match=f"^{name}: got {value}"):
            replace(BASE, **{name: value})


@pytest.mark.parametrize(
    ("name", "words"),
    [("copies", moving.COPIES), ("wire", moving.WIRES), ("placed", moving.PLACED),
     ("gpu", moving.GPUS), ("nodes", moving.NODES)],
)  # fmt: skip
def test_choices_are_those_that_are_listed(name: str, words: object) -> None:
    for word in words:
        assert getattr(replace(BASE, **{name: word}), name) == word
    with pytest.raises(ValueError, match=f"^{name}: got '?9'?, allowed is one of ") as stop:
        replace(BASE, **{name: 9 if name == "nodes" else "9"})
    assert str(stop.value).partition("one of ")[2] == ", ".join(map(str, words))


def test_the_layer_is_deepseek_v3s_and_the_choices_double() -> None:
    v3 = MODELS["deepseek-v3"]
    assert (v3.experts, v3.top_k, v3.d_model) == (moving.N_EXPERTS, moving.K, moving.D_MODEL)
    assert moving.PLACED == (IN_ORDER, EVENED, SPARE)
    for sizes, times in ((moving.NODES, 2), (moving.TOKENS, 4)):
        assert all(b == times * a for a, b in pairwise(sizes))
    usual = MovingSettings()
    assert (usual.nodes, usual.limit) == (8, v3.topk_group) and usual.tokens in moving.TOKENS
    assert {name: wire(7168) for name, wire in moving.WIRES.items()} == {"FP8": 7392, "BF16": 14336}
    for name, mode in moving.COPIES.items():
        assert name.lower() == f"once per {mode}"
    for name, key in moving.GPUS.items():
        assert replace(BASE, gpu=name).simulated().nvlink_gb_s == (
            GPUS["h800-sxm" if "800" in key else "h100-sxm"].nvlink_gb_s
        )


@pytest.mark.parametrize("limit", [1, 2, 8])
@pytest.mark.parametrize("placed", moving.PLACED)
def test_settings_of_the_page_are_settings_of_the_simulation(limit: int, placed: str) -> None:
    asked = replace(BASE, limit=limit, placed=placed, gpu="H100", skew=0.5, seed=3,
                    copies="once per GPU")  # fmt: skip
    made = asked.simulated()
    assert asked.reach == min(limit, 2)
    wanted = {
        "n_nodes": 2, "gpus_per_node": 8, "nvlink_gb_s": 450, "network_gb_s": 50,
        "n_experts": 256, "k": 8, "d_model": 7168, "skew": 0.5, "seed": 3, "copies": "gpu",
        "tokens": 128 * 16, "batch": 128, "router": "deepseek_v3", "kernels": "normal",
        "n_group": 2 if limit == 1 else 1, "topk_group": 1,
        "placement": {IN_ORDER: "contiguous", EVENED: "balanced", SPARE: "balanced"}[placed],
        "redundant": 16 if placed == SPARE else 0,
    }  # fmt: skip
    assert asdict(made).items() >= wanted.items()


def test_figures_of_a_batch_by_hand() -> None:
    sent = move(BASE).sent
    dispatch = PhaseTime("dispatch", np.arange(16) * 100.0, 300.0, 200.0, 0.0)
    combine = PhaseTime("combine", np.arange(16)[::-1] * 20.0 + 1000, 50.0, 400.0, 0.0)
    moved = Moved(BASE, sent, dispatch, combine)
    assert moved.ms == pytest.approx(1.5 + 1.3)
    assert moved.network_ms == pytest.approx(0.6) and moved.nvlink_ms == pytest.approx(0.35)
    both = [100 * g + 20 * (15 - g) + 1000 for g in range(16)]
    assert moved.slowest == pytest.approx(max(both) / (sum(both) / 16))
    np.testing.assert_allclose(moved.load_G, sent.load_G * 16 / sent.load_G.sum())
    both_GG = sent.dispatch_bytes_GG + sent.combine_bytes_GG
    for m in range(2):
        rows = both_GG[8 * m : 8 * m + 8]
        assert moved.nvlink_mb_M[m] == pytest.approx(rows[:, 8 * m : 8 * m + 8].sum() / 1e6)
        assert moved.network_mb_M[m] == pytest.approx(
            (rows.sum() - rows[:, 8 * m : 8 * m + 8].sum()) / 1e6
        )
    assert [(label, value) for label, value, _ in moved.figures()] == [
        ("Copies per token", f"{sent.copies_per_token:.2f}"),
        ("Dispatch", "1.50 ms"),
        ("Combine", "1.30 ms"),
        ("Slowest GPU's time", f"{moved.slowest:.2f}× the mean"),
    ]
    assert moved.as_row() == {
        "settings": asdict(BASE),
        "copies_per_token": sent.copies_per_token,
        "dispatch_us": 1500.0,
        "combine_us": 1300.0,
        "network_ms": moved.network_ms,
        "nvlink_ms": moved.nvlink_ms,
        "slowest": moved.slowest,
        "load": moved.load_G.tolist(),
        "node_to_node_mb": moved.node_MM.tolist(),
    }


def test_a_batch_in_words() -> None:
    load = (1.0,) * 10 + (3.0,)  # GPU 2 of node 1 has most
    moved = batch(load=load)
    leave, inside = (sum(mb_M) / 2 for mb_M in (moved.network_mb_M, moved.nvlink_mb_M))
    assert moved.words() == (
        f"For one layer and one batch, {leave:,.0f} MB leave a node over the network, and "
        f"{inside:,.0f} MB travel inside a node. Dispatch and combine take 1.00 ms; the network "
        f"decides. GPU 2 of node 1 has most to do: {3 / (18 / 16):.2f} fair shares."
    )
    alone = batch(nodes=1, limit=1, network_us=0.0)
    assert (
        alone.words().startswith("For one layer and one batch, ") and "network" not in alone.words()
    )
    assert batch(network_us=200.0, nvlink_us=200.0).bound_by == "NVLink"
    assert batch(network_us=201.0, nvlink_us=200.0).bound_by == "the network"


def test_ways_of_sending_are_what_their_titles_say() -> None:
    made = moving.ways(replace(BASE, nodes=4, limit=1, copies="once per GPU"))
    assert [way.title for way in made] == [
        "a copy for each expert", "one for each node", "one for each node, 1 node at most",
    ]  # fmt: skip
    assert [way.moved.settings.copies for way in made] == [
        "once per expert", "once per node", "once per node",
    ]  # fmt: skip
    assert [way.moved.settings.reach for way in made] == [4, 4, 1]
    none_of_64 = np.prod([(192 - i) / (256 - i) for i in range(8)])  # no expert on a node
    assert [way.by_chance for way in made] == pytest.approx([8, 4 * (1 - none_of_64), 1])
    assert [way.moved.sent.copies_per_token for way in made][::2] == [8, 1]
    two = moving.ways(replace(BASE, nodes=4, limit=2))
    assert two[2].title == "one for each node, 2 nodes at most"
    assert [len(moving.ways(replace(BASE, limit=limit))) for limit in (1, 2, 3)] == [3, 2, 2]
    words = moving.ways_words(made)
    first, last = made[0].moved.ms, made[2].moved.ms
    assert "A token's 8 experts often share a node" in words
    assert f"**{first:.2f} ms become {last:.2f} ms**" in words
    chances = ", ".join(f"{w.by_chance:.1f}" for w in made)
    assert f"With random choices it would be {chances} copies." in words


@pytest.mark.parametrize(
    ("less", "said"),
    [(1.04, "which is next to no change"), (0.96, "which is next to no change"),
     (1.06, "1.1 times less"), (0.94, "1.1 times more"), (3.0, "3.0 times less"),
     (0.25, "4.0 times more")],
)  # fmt: skip
def test_a_change_in_words(less: float, said: str) -> None:
    assert moving._change_words(less) == said


def test_speeds_are_those_of_the_links() -> None:
    assert moving.speeds_words(BASE) == "4 times slower on an H800"
    assert moving.speeds_words(replace(BASE, gpu="H100")) == "9 times slower on an H100"


def test_links_and_more_uneven_experts_are_of_the_same_batch() -> None:
    both = moving.links(BASE)
    assert [one.settings for one in both] == [BASE, replace(BASE, gpu="H100")]
    uneven = moving.more_uneven(replace(BASE, skew=0.5))
    assert uneven == replace(BASE, skew=0.8)
    assert moving.more_uneven(replace(BASE, skew=1.9)).skew == moving.MAX_SKEW == 2.0
    share = 0.699 / 0.880  # what DeepEP's kernels reach on either link
    assert moving.experts_per_row(BASE) == pytest.approx(200 * share / 50)
    assert moving.experts_per_row(replace(BASE, gpu="H100")) == pytest.approx(450 * share / 50)


def links_words(h800_us: float, worse: float, h100_bound: float = 900.0, **settings: object) -> str:
    """Words of exchanges of 1 ms on the H100, that take so long on the H800."""
    usual = {"limit": 2, **settings}
    both = [batch(h800_us, **usual), batch(network_us=h100_bound, gpu="H100", **usual)]
    uneven = [batch(1000.0 * worse, skew=0.6, **usual), batch(gpu="H100", skew=0.6, **usual)]
    return moving.links_words(both, uneven)


def test_what_the_cut_of_nvlink_costs_in_words() -> None:
    said = links_words(1000.0, 1.0)
    assert said == (
        "The H800 is an H100 whose NVLink was cut from 450 to 200 GB/s in each direction. Here the "
        "cut costs next to nothing: the network decides on both. While the network delivers one "
        "token, NVLink inside an H800 server can hand on 3.2, and inside an H100 server 7.1. So 3 "
        "experts on one H800 server cost no more time than one. Make popularity more uneven by "
        "0.3, and H800s need 0% longer than H100s: no worse than now."
    )
    assert "costs next to nothing" in links_words(1019.0, 1.0)
    for slower in (1020.0, 1500.0):
        assert f"Here it makes the exchange {slower / 1e3:.2f} times as long:" in links_words(
            slower, 1.0
        )
    apart = links_words(1000.0, 1.0, h100_bound=50.0)
    assert "the network decides on the H800, NVLink on the H100." in apart
    worse = links_words(1000.0, 1.5)
    assert worse.endswith(
        "That holds while experts are about equally popular. Make popularity more uneven by 0.3, "
        "and H800s need 50% longer than H100s."
    )
    assert "no worse than now" in links_words(1500.0, 1.505)
    assert "no worse than now" not in links_words(1500.0, 1.52)
    alone = links_words(1000.0, 1.5, nodes=1)
    assert alone.endswith(
        " With one node there is nothing but NVLink. Add nodes to see the network."
    )


def test_before_is_in_order_and_after_is_as_chosen() -> None:
    for placed, after in ((IN_ORDER, SPARE), (EVENED, EVENED), (SPARE, SPARE)):
        first, second = moving.before_after(replace(BASE, placed=placed))
        assert (first.settings.placed, second.settings.placed) == (IN_ORDER, after)
        assert second.load_G.max() < first.load_G.max()


def test_what_a_placement_changes_in_words() -> None:
    uneven, even = (1, 1, 4, 2), (1, 1, 2, 1)
    first, second = (4 / (20 / 16), 2 / (17 / 16))
    shares = (
        f"The busiest GPU had {first:.2f} fair shares of the computing and now has {second:.2f}"
    )
    learnt = "The placement was learnt from other tokens of the same popularity."
    said = moving.placement_words(batch(load=uneven), batch(800.0, load=even))
    assert said == f"{shares}; the exchange takes 0.80 ms instead of 1.00 ms. {learnt}"
    still = moving.placement_words(batch(load=uneven), batch(load=even))
    assert still == (
        f"{shares}; the exchange still takes 1.00 ms, for the network decides, but computing waits "
        f"less. {learnt}"
    )
    for ms, same in ((1009.0, True), (1011.0, False), (991.0, True), (989.0, False)):
        said = moving.placement_words(batch(load=uneven), batch(ms, load=even))
        assert ("still takes" in said) == ("computing waits less" in said) == same
    for after in (uneven, (1, 1, 5, 2)):
        said = moving.placement_words(batch(load=uneven), batch(load=after))
        assert "Here it does not even out the work." in said and "waits less" not in said
    # What counts is the busiest GPU, not the idlest one.
    busier = moving.placement_words(batch(load=(1, 4)), batch(load=(0.5, 2)))
    assert "does not even out" not in busier and "waits less" in busier
    limited = {"nodes": 2, "limit": 1}
    said = moving.placement_words(batch(load=uneven, **limited), batch(load=even, **limited))
    assert said.endswith("for more copies on the network.") and "inside each node only" in said
    assert "With a limit on nodes" not in still
