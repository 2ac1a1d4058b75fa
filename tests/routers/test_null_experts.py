"""Null experts: the paper's equations token by token, its presets, and its two properties."""

from __future__ import annotations

import math

import numpy as np
import pytest

import moe
from moe.routers.null_experts import NullExperts


def reference(row: list[float], null: float, copies: int, k: int) -> dict[int, float]:
    """arXiv 2601.15370, equations 2 and 3, weights divided by the sum of the real experts'."""
    extended = row + [null] * copies
    exps = [math.exp(v - max(extended)) for v in extended]
    p = [v / sum(exps) for v in exps]
    chosen = sorted(range(len(p)), key=lambda i: (-p[i], i))[:k]
    real = [i for i in chosen if i < len(row)]
    return {i: p[i] / sum(p[j] for j in real) for i in real}


@pytest.mark.parametrize(("k", "copies"), [(1, 1), (2, 6), (4, 4), (4, 2), (6, 3)])
def test_it_equals_its_source(k: int, copies: int) -> None:
    layer = moe.MoELayer.init(
        5, 4, 8 + copies, router=NullExperts(k=k, n_zero=copies), dtype="float64"
    )
    gate_DC = layer.params["gate_DE"]
    assert gate_DC.shape == (5, 9)
    x_ND = 2 * np.random.default_rng(1).standard_normal((200, 5))
    routing = layer.route(x_ND)
    computes = routing.expert_A < 8
    counts = set()
    for token in range(200):
        logits = [float(v) for v in x_ND[token] @ gate_DC]
        expected = reference(logits[:8], logits[8], copies, k)
        mine = np.flatnonzero((routing.token_A == token) & computes)
        assert set(routing.expert_A[mine].tolist()) == set(expected)
        for place in mine:
            assert routing.weight_A[place] == pytest.approx(expected[routing.expert_A[place]])
        counts.add(len(expected))
    assert not routing.weight_A[~computes].any()
    assert len(counts) > 1 or k == copies == 1 or k > copies + 1


def test_a_null_logit_below_all_gives_the_plain_top_k_of_the_experts() -> None:
    """Section 4.6: whatever plain top-r computes, a router of more places can compute, too."""
    layer = moe.MoELayer.init(6, 4, 12, router=NullExperts(k=2, n_zero=4), dtype="float64")
    plain = moe.MoELayer.init(6, 4, 8, router="topk", k=2, dtype="float64")
    x_ND = np.abs(np.random.default_rng(0).standard_normal((40, 6)))
    layer.params["gate_DE"][:, 8] = -50  # below all experts', as no x is negative
    for name in plain.params:
        plain.params[name] = (
            layer.params[name][:, :8].copy() if name == "gate_DE" else (layer.params[name])
        )
    assert np.allclose(layer(x_ND), plain(x_ND), rtol=1e-12)
    layer.params["gate_DE"][:, 8] = 50  # and above all: nothing is computed
    assert not layer(x_ND).any()


def test_presets_are_the_papers() -> None:
    """Sections 4.2 and 4.4, and the configurations of section 5.2."""
    assert NullExperts.at(64, 4, 0.5) == NullExperts(k=8, n_zero=64)
    assert NullExperts.at(64, 2, 0.25) == NullExperts(k=8, n_zero=192)
    assert NullExperts.at(64, 2, 2 / 3) == NullExperts(k=3, n_zero=32)
    for rho in (0.3, 1.0, 1e-3, 1e-320):
        with pytest.raises(ValueError, match=f"rho: got {rho} with 2 of 64 experts"):
            NullExperts.at(64, 2, rho)
    for rho in (0.0, 1.5, np.nan, "half"):
        with pytest.raises(ValueError, match=f"rho: got {rho!r}, allowed is a number > 0 and <= 1"):
            NullExperts.at(64, 2, rho)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"expected: got 65, allowed is a whole number in 1\.\.64"):
        NullExperts.at(64, 65, 0.5)
    with pytest.raises(ValueError, match=r"n_computing: got 6\.5"):
        NullExperts.at(6.5, 2, 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("k", "copies", "most"),
    [(4, 8, 1.1), (4, 4, 1.1), (4, 12, 1.25), (8, 24, 1.25), (12, 40, 1.25)],
)
def test_copies_are_about_as_even_as_the_experts_and_no_neighbour_matters(
    k: int, copies: int, most: float
) -> None:
    router = NullExperts(k=k, n_zero=copies)
    rng = np.random.default_rng(0)
    real_NE = rng.standard_normal((4000, 8))
    logits_NE = np.concatenate([real_NE, np.full((4000, copies), 0.3)], axis=1)
    routing = router.choose(logits_NE)
    null = routing.load[8:]
    assert null.sum() > 4000 and null.max() / null.mean() < most
    alone = router.choose(logits_NE[100:101])
    assert np.array_equal(alone.expert_A, routing.expert_A[routing.token_A == 100])


@pytest.mark.parametrize(
    ("copies", "starts"),
    [(2, [0, 1, 0, 1]), (4, [0, 1, 2, 3]), (8, [1, 2, 5, 7]), (6, [0, 1, 4, 5])],
)
def test_copies_start_where_the_best_experts_say(copies: int, starts: list[int]) -> None:
    best = [(0, 2), (1, 0), (2, 3), (3, 2)]
    real_NE = np.zeros((4, 4))
    for token, (first, second) in enumerate(best):
        real_NE[token, first], real_NE[token, second] = 9, 8
    null_NM = np.repeat([[5.0], [6.0], [7.0], [5.0]], copies, axis=1)
    routing = NullExperts(k=4, n_zero=copies).choose(np.concatenate([real_NE, null_NM], axis=1))
    expert_NK = routing.expert_A.reshape(4, 4)
    assert expert_NK[:, :2].tolist() == [list(pair) for pair in best]
    first_N = [(4 * a + b) * max(4, copies) // 16 % copies for a, b in best]
    assert first_N == starts == (expert_NK[:, 2] - 4).tolist()
    assert (expert_NK[:, 3] - 4).tolist() == [(start + 1) % copies for start in starts]
    # Copies whose logits differ are no copies: each is chosen by its own.
    apart_NM = null_NM - np.arange(copies) / 10
    routing = NullExperts(k=4, n_zero=copies).choose(np.concatenate([real_NE, apart_NM], axis=1))
    assert (routing.expert_A.reshape(4, 4)[:, 2:] == [4, 5]).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_plain_loss_over_the_pool_sets_the_share_that_computes(seed: int) -> None:
    """Equation 4: k rho experts on average, and tokens differ in how many they take."""
    settings = moe.TrainSettings(
        router="null_experts", k=4, balance="aux", balance_rate=0.3, n_experts=4, d_model=16,
        d_expert=8, batch=256, steps=60, seed=seed,
    )  # fmt: skip
    trainer = moe.Trainer(settings)
    list(trainer.run())
    inputs, _ = trainer.task.held_out(np.random.default_rng(0), 1000)
    routing = trainer.layer.route(trainer.embed(inputs))
    # Two of the four of the pool compute; all four places are taken, so exactly two do.
    assert np.bincount(routing.token_A[routing.expert_A < 2]).tolist() == [2] * 1000
    trainer = moe.Trainer(moe.TrainSettings(**{**vars(settings), "n_experts": 16, "k": 2}))
    list(trainer.run())
    routing = trainer.layer.route(trainer.embed(inputs))
    counts = np.bincount(routing.token_A[routing.expert_A < 14], minlength=1000)
    assert counts.mean() == pytest.approx(2 * 14 / 16, abs=0.15)
    assert counts.std() > 0.1
