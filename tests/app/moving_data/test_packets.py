"""Packets take the ways that are counted, and wishes are counted another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moe.app.moving_data.packets import N_TOKENS, payload, ways_of_tokens
from moe.app.moving_data.story import (
    COPIES,
    N_EXPERTS,
    PER_NODE,
    K,
    MovingSettings,
    by_limit,
    limit_words,
    wishes_met,
)
from moe.cluster.sampling import popularity, sample_routings
from moe.cluster.traffic import traffic
from moe.pictures.palette import PAPER_INK


@pytest.mark.parametrize("copies", COPIES)
@pytest.mark.parametrize("limit", [1, 4, 8])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_packets_cross_the_links_that_are_counted(copies: str, limit: int, seed: int) -> None:
    settings = MovingSettings(copies=copies, limit=limit, seed=seed)
    ways = ways_of_tokens(settings)
    cluster = settings.simulated().cluster()
    rng = np.random.Generator(np.random.SFC64((seed, 0, 0)))
    popular_E = popularity(N_EXPERTS, settings.skew, seed)
    (routing,) = sample_routings(settings.simulated().make_router(), N_TOKENS, popular_E, rng)
    device_E = cluster.contiguous(N_EXPERTS)
    counted = traffic(routing, device_E, cluster, copies=COPIES[copies])
    network_GG, nvlink_GG = np.zeros((2, cluster.n_gpus, cluster.n_gpus), int)
    for hops in ways:
        for hop in hops:
            (network_GG if hop.network else nvlink_GG)[hop.sender, hop.receiver] += 1
            assert hop.after < 0 or hops[hop.after].receiver == hop.sender
    assert (network_GG == counted.network_GG).all()
    assert (nvlink_GG == counted.nvlink_GG).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_wishes_met_are_those_that_both_routers_choose(seed: int) -> None:
    settings = MovingSettings(seed=seed)
    met = wishes_met(settings)
    assert list(met) == list(range(1, 9)) and met[8] == 1.0
    assert all(np.diff(list(met.values())) > 0)  # a wider limit meets more wishes
    # By another way: of the eight best ratings, those on the nodes that the limit leaves.
    rng = np.random.Generator(np.random.SFC64((seed, 2)))
    logits_NE = rng.standard_normal((4096, N_EXPERTS), np.float32)
    logits_NE += popularity(N_EXPERTS, settings.skew, seed)
    score_NGe = (1 / (1 + np.exp(-logits_NE.astype(float)))).reshape(4096, 8, -1)
    group_NG = np.sort(score_NGe, axis=2)[:, :, -2:].sum(axis=2)  # DeepSeek-V3's rule
    for reach in (1, 4):
        open_NG = group_NG >= np.sort(group_NG, axis=1)[:, [8 - reach]]
        threshold_N = np.sort(logits_NE, axis=1)[:, -K]
        wished_NGe = (logits_NE >= threshold_N[:, None]).reshape(score_NGe.shape)
        share = (wished_NGe & open_NG[:, :, None]).sum() / wished_NGe.sum()
        assert met[reach] == pytest.approx(share, abs=1e-3)


def test_the_browser_gets_every_limit_with_its_words() -> None:
    settings = MovingSettings(tokens=128, nodes=4, limit=2)
    limits = by_limit(settings)
    sent = payload(settings, limits, PAPER_INK)
    assert sent["rest"] == 2 and list(sent["limits"]) == ["1", "2", "3", "4"]
    assert sent["slower"] == 4 and sent["per_node"] == PER_NODE
    for limit in limits:
        one = sent["limits"][str(limit.reach)]
        assert one["share"] == f"{limit.wishes:.0%}" and limit.words() in one["alt"]
        assert len(one["hops"]) == N_TOKENS
    assert payload(replace(settings, seed=1), limits, PAPER_INK)["id"] != sent["id"]


def test_the_price_of_a_limit_in_words() -> None:
    limits = by_limit(MovingSettings(tokens=128))
    said = limit_words(limits, 4)
    saved = 1 - limits[3].moved.ms / limits[7].moved.ms
    assert said.endswith(
        f"Against no limit that saves {saved:.0%} of the time and costs "
        f"{1 - limits[3].wishes:.0%} of the wishes."
    )
    assert "every wish is met" in limit_words(limits, 8)
