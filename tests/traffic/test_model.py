"""The law and the traffic made of it: against simulation, formulas and the measured tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import betabinom, norm

from moe.cost import expected_experts
from moe.traces import make_trace, save_trace
from moe.traffic import (
    TABLES,
    ExpertTraffic,
    Locality,
    chosen_by_law,
    find_traffic,
    fit_locality,
    fit_spread,
    reads_in_a_row,
    traffic_of_trace,
)
from moe.traffic.held_out import held_out
from moe.traffic.law import reads_at_random
from moe.traffic.tables import load_table

SIZES = np.array([1, 2, 4, 8, 16, 32, 64])


@pytest.mark.parametrize(("n_experts", "k"), [(4, 1), (8, 7), (64, 6), (256, 8), (5, 5)])
@pytest.mark.parametrize("spread", [0.0, 0.5, 2.0])
def test_the_law_gives_k_experts_whose_log_odds_are_normal(
    n_experts: int, k: int, spread: float
) -> None:
    chosen_E = chosen_by_law(n_experts, k, spread)
    assert chosen_E.sum() == pytest.approx(k) and (chosen_E > 0).all() and (chosen_E <= 1).all()
    assert (np.diff(chosen_E) <= 1e-12).all()
    if k < n_experts:
        odds_E = np.log(chosen_E / (1 - chosen_E))
        score_E = norm.ppf((np.arange(n_experts)[::-1] + 0.5) / n_experts)
        assert np.allclose(odds_E - odds_E.mean(), spread * (score_E - score_E.mean()), atol=1e-6)


def test_without_spread_it_is_the_even_formula() -> None:
    even = reads_at_random(chosen_by_law(64, 6, 0.0)[None], SIZES)[0]
    assert even.tolist() == pytest.approx([expected_experts(64, 6, n) for n in SIZES.tolist()])


def test_reads_in_a_row_are_the_beta_binomial_of_the_draws() -> None:
    chosen_RE = chosen_by_law(16, 3, 1.0)[None]
    for stickiness, n in ((0.0, 9), (0.5, 9), (0.25, 5)):
        draws = 1 + (n - 1) * (1 - stickiness)  # whole here, so that a distribution is known
        unread = [betabinom.pmf(0, int(draws), 20 * p, 20 * (1 - p)) for p in chosen_RE[0]]
        made = reads_in_a_row(chosen_RE, Locality(stickiness, 20.0), [n])[0, 0]
        assert draws == int(draws) and made == pytest.approx(16 - sum(unread))
    far = reads_in_a_row(chosen_RE, Locality(0.0, 1e7), SIZES)
    assert np.allclose(far, reads_at_random(chosen_RE, SIZES), rtol=1e-4)
    assert reads_in_a_row(chosen_RE, Locality(1.0, 1e7), [50])[0, 0] == pytest.approx(3, rel=1e-4)


def test_fits_find_the_numbers_that_made_the_figures() -> None:
    read_S = reads_at_random(chosen_by_law(64, 6, 0.9)[None], SIZES)
    assert fit_spread(64, 6, SIZES, read_S) == pytest.approx(0.9, abs=1e-3)
    chosen = [chosen_by_law(64, 6, 0.9)[None], chosen_by_law(64, 6, 1.2)[None]]
    true = Locality(0.2, 40.0)
    read_GS = np.concatenate([reads_in_a_row(rows, true, SIZES) for rows in chosen])
    read_GS[0, 3:] = np.nan
    found = fit_locality(chosen, SIZES, read_GS)
    assert found.stickiness == pytest.approx(0.2, abs=0.01)
    assert found.concentration == pytest.approx(40, rel=0.05)


def test_samples_choose_every_expert_as_often_as_its_chance_says(rng: np.random.Generator) -> None:
    traffic = ExpertTraffic("some", 3, np.stack([chosen_by_law(10, 3, s) for s in (0.0, 2.0)]))
    for row in (0, 1):
        chosen_NK = traffic.sample(20_000, rng, row)
        assert chosen_NK.shape == (20_000, 3) and chosen_NK.dtype == np.int32
        assert (np.diff(np.sort(chosen_NK, axis=1), axis=1) > 0).all()
        share_E = np.bincount(chosen_NK.ravel(), minlength=10) / 20_000
        # Five standard errors of a share of 20,000.
        assert np.abs(share_E - traffic.chosen_RE[row]).max() < 5 * 0.5 / np.sqrt(20_000)
    assert traffic.sample(0, rng).shape == (0, 3)


def test_documents_that_are_sampled_read_what_the_formula_says(rng: np.random.Generator) -> None:
    traffic = find_traffic("v2-lite")
    assert traffic is not None
    for n in (4, 32):
        read = [len(np.unique(traffic.sample(n, rng, 30, consecutive=True))) for _ in range(400)]
        said = reads_in_a_row(traffic.chosen_RE[30:31], traffic.locality, [n])[0, 0]
        error = np.std(read) / np.sqrt(len(read))
        assert abs(np.mean(read) - said) < 4 * error + 0.02 * said


@pytest.mark.parametrize("name", TABLES)
def test_traffic_of_a_table_reads_what_was_measured(name: str) -> None:
    """Its tokens were many, so that taking some without putting them back makes no difference."""
    traffic, table = find_traffic(name), load_table(name)
    assert traffic is not None
    for n, measured in zip(table.sizes, table.batch_DS.mean(axis=0)):
        assert traffic.experts_read(n) == pytest.approx(measured, rel=2e-3)
        assert traffic.experts_read(n) <= expected_experts(table.n_experts, table.k, n) + 1e-9


def test_the_law_is_within_its_error_of_what_it_was_fitted_to() -> None:
    table, traffic = load_table("v2-lite"), find_traffic("v2-lite")
    assert traffic is not None
    law_RE = chosen_by_law(64, 6, traffic.spread)[None]
    error_S = reads_at_random(law_RE, table.sizes)[0] / table.batch_DS.mean(axis=0) - 1
    assert np.abs(error_S).max() < 0.02
    error_S = [
        traffic.experts_read(n, consecutive=True) / np.mean(table.in_a_row_DS[:, at]) - 1
        for at, n in enumerate(table.sizes)
        if np.isfinite(table.in_a_row_DS[:, at]).all()
    ]
    assert len(error_S) >= 6 and np.abs(error_S).max() < 0.05


def test_a_held_out_task_is_predicted_better_than_by_the_even_formula() -> None:
    rows = held_out(load_table("v2-lite"))
    assert [row.domain for row in rows[::2]] == list(load_table("v2-lite").domains)
    for row in rows:
        assert abs(row.law_error) < abs(row.even_error), row.words()
        assert abs(row.law_error) < 0.25
    # Fitted anew by hand for one of them: a grid instead of a search.
    table = load_table("v2-lite")
    grid = np.linspace(0.5, 1.5, 201)
    miss = [
        (np.log(reads_at_random(chosen_by_law(64, 6, s)[None], table.sizes) / table.batch_DS[1:])
         ** 2).sum()
        for s in grid
    ]  # fmt: skip
    assert rows[0].spread == pytest.approx(grid[int(np.argmin(miss))], abs=0.006)


def test_another_size_takes_the_law_and_its_own_size_the_table() -> None:
    traffic = find_traffic("v2-lite")
    assert traffic is not None and traffic.scaled(64, 6) is traffic
    large = traffic.scaled(256, 8)
    assert np.allclose(large.chosen_RE[0], chosen_by_law(256, 8, traffic.spread))
    assert large.spread == traffic.spread and large.locality is traffic.locality
    assert large.scaled(32, 4).fitted_to is traffic
    assert "as measured" in traffic.describe()
    assert "law fitted to it" in large.describe() and "8 of 256" in large.describe()


def test_what_cannot_be_told_is_said(tmp_path: Path) -> None:
    olmoe, mixed = find_traffic("olmoe"), find_traffic("v2-lite-mixed")
    for traffic in (olmoe, mixed):
        assert traffic is not None
        with pytest.raises(ValueError, match="of which loads alone are known"):
            traffic.experts_read(4, consecutive=True)
    assert find_traffic("even") is None
    for name in ("magic", "v2-lite-mixed-mixed", ""):
        with pytest.raises(ValueError, match=r"traffic: got .*allowed is even, v2-lite, olmoe"):
            find_traffic(name)
    with pytest.raises(ValueError, match="file: got"):
        find_traffic(str(tmp_path / "none.npz"))


def test_a_trace_s_file_is_traffic_too(tmp_path: Path, rng: np.random.Generator) -> None:
    source = find_traffic("v2-lite")
    assert source is not None
    documents = [source.sample(60, rng, row, consecutive=True) for row in [3] * 20]
    expert_LNK = np.concatenate(documents)[None]
    trace = make_trace(
        expert_LNK, np.full(expert_LNK.shape, 0.1), 64, sequence_N=np.repeat(range(20), 60)
    )
    save_trace(trace, tmp_path / "a.npz")
    found = find_traffic(str(tmp_path / "a.npz"))
    assert found is not None and found.name == "a.npz"
    assert np.allclose(
        found.chosen_RE[0], np.bincount(expert_LNK.ravel(), minlength=64) / trace.n_tokens
    )
    assert 0 < found.locality.stickiness < 0.5
    wide = make_trace(np.zeros((9, 1, 1), int), np.ones((9, 1, 1)), 1 << 20)
    with pytest.raises(ValueError, match="got a trace of 9437184 experts in all"):
        traffic_of_trace(wide)
    uneven = make_trace([[[0, 1], [2, -1]]], [[[0.5, 0.5], [1.0, 0.0]]], 4)
    with pytest.raises(ValueError, match=r"have 1\.50 experts on average"):
        traffic_of_trace(uneven)


def test_the_law_is_not_asked_beyond_where_it_holds(rng: np.random.Generator) -> None:
    chosen_RE = chosen_by_law(8, 2, 1.0)[None]
    for reads, low in (
        (reads_at_random, 0),
        (lambda chosen, sizes: reads_in_a_row(chosen, Locality(0.5, 9.0), sizes), 1),
    ):
        assert reads(chosen_RE, [low, 10**15])[0] == pytest.approx([2.0 * low, 8])
        for size in (low - 1, 10**400):
            with pytest.raises(
                ValueError, match=rf"n_tokens: got .*, allowed is a whole number in {low}.."
            ):
                reads(chosen_RE, [size])
    # At the largest concentration, documents are alike but for rounding.
    alike = reads_in_a_row(chosen_RE, Locality(0.0, 1e9), SIZES)
    assert np.allclose(alike, reads_at_random(chosen_RE, SIZES), rtol=1e-5)
    with pytest.raises(ValueError, match=r"concentration: got 1e\+300"):
        Locality(0.0, 1e300)


def test_nothing_is_fitted_to_nothing(rng: np.random.Generator) -> None:
    """Where no document has two tokens, locality was once the place where a search begins."""
    expert_LNK = rng.random((1, 300, 8)).argsort(axis=2)[:, :, :2]
    lone = make_trace(expert_LNK, np.full((1, 300, 2), 0.5), 8, sequence_N=np.arange(300))
    traffic = traffic_of_trace(lone)
    assert traffic.experts_read(4) > 2
    with pytest.raises(ValueError, match="traffic: got none of which it is known"):
        traffic.experts_read(4, consecutive=True)
    every = make_trace([[[0, 1]]] * 1, [[[0.5, 0.5]]], 2)
    with pytest.raises(ValueError, match="k: got all 2 experts, allowed are fewer"):
        traffic_of_trace(every).scaled(8, 2)
    assert traffic_of_trace(every).experts_read(9) == 2
    unknown_GS = np.full((1, len(SIZES)), np.nan)
    with pytest.raises(ValueError, match="traffic: got none"):
        fit_spread(8, 2, SIZES, unknown_GS)
    with pytest.raises(ValueError, match="traffic: got none"):
        fit_locality([chosen_by_law(8, 2, 1.0)[None]], SIZES, unknown_GS)
